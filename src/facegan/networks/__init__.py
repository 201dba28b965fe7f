"""Generators and discriminators, a file per architecture, and the attribute classifier."""

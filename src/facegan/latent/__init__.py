"""Latent space: directions, interpolation, selection by attributes, projection."""

"""From the command line to a validated config, and from exceptions to messages."""

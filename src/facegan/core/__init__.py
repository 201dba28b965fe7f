"""What every other package may use: errors, files, console, images, weights files."""

"""From photographs to a packed data set to batches."""

"""Train, watch, judge and use small face GANs."""

"""The method: the alternating training step, losses, penalties, optimizers and the EMA."""

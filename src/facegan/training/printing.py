"""Lines of text beside the progress bar."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar


def has_progress_bar(trainer: pl.Trainer) -> bool:
    """Whether a bar is drawn."""
    bar = trainer.progress_bar_callback
    return isinstance(bar, TQDMProgressBar) and bar.is_enabled


def print_line(trainer: pl.Trainer, text: str) -> None:
    """Prints a line, above the progress bar where there is one."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, TQDMProgressBar) and bar.is_enabled:
        bar.print(text)
    else:
        print(text, flush=True)

"""Errors that a user can correct."""

import re


class FaceganError(Exception):
    """An error that the user can correct: the message names the value, the rule and the remedy.

    The commands print the message alone and exit with code 2; every other exception is a bug
    and keeps its traceback.
    """


class DamagedError(FaceganError):
    """One of the package's own files has not the content that it was written with."""


class NotFoundError(FaceganError):
    """A config names a file, a folder or a data set that does not exist."""


def out_of_memory(error: BaseException) -> FaceganError | None:
    """The error to raise instead of `error` if Python, numpy or torch could not allocate memory."""
    torch_error = isinstance(error, RuntimeError) and re.search(
        "can't allocate memory|out of memory", str(error)
    )
    if not (torch_error or isinstance(error, MemoryError)):
        return None
    size = re.search(r"allocate [\d.]+ ?\w+", str(error))
    return FaceganError(
        f"not enough memory{f' to {size[0]}' if size else ''}: use smaller networks "
        "(width), a smaller model.batch_size or fewer images, or close other programs"
    )

"""The one kind of error that a user is meant to read."""

import re


class FaceganError(Exception):
    """An error that the user can correct: the message names the value, the rule and the remedy.

    The commands print the message alone and exit with code 2; every other exception is a bug
    and keeps its traceback.
    """


class NotFoundError(FaceganError):
    """A file, a folder or a data set that a config names is not there."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, numpy or torch could not allocate memory, on the CPU or on a GPU."""
    torch_says = isinstance(error, RuntimeError) and (
        "can't allocate memory" in str(error) or "out of memory" in str(error)
    )
    return isinstance(error, MemoryError) or torch_says


def out_of_memory(error: BaseException) -> FaceganError:
    """The error that replaces `error` where memory has run out."""
    wanted = re.search(r"allocate [\d.]+ ?\w+", str(error))
    return FaceganError(
        f"there is not enough memory{f' to {wanted[0]}' if wanted else ''}: use smaller networks "
        "(width), a smaller model.batch_size or fewer images, or close other programs"
    )

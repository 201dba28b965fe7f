"""The one kind of error that a user is meant to read."""


class FaceganError(Exception):
    """An error that the user can correct: the message names the value, the rule and the remedy.

    The verbs print the message alone and exit with code 2; every other exception is a bug
    and keeps its traceback.
    """

"""The signals that end a command."""

import signal

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


def heeded_signals() -> list[signal.Signals]:
    """Those of ENDING that the process does not ignore from its start on, as SIGHUP by nohup."""
    there = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    return [signum for signum in there if signal.getsignal(signum) is not signal.SIG_IGN]

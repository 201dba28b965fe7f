"""TensorBoard's event files, written at once.

torch's SummaryWriter leaves the writing to a thread, which prints a traceback of its own where the
disk is full, and holds an event back for up to two minutes.
"""

import re
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import FileWriter, SummaryWriter

from facegan.core.files import named_errors


class EventWriter(SummaryWriter):
    """torch's writer of scalars, images and text, to an EventFile."""

    def __init__(self, folder: Path, images_seen: int) -> None:
        """Events of an earlier process with a step over `images_seen` are hidden."""
        self.events = _FileWriter(folder)
        super().__init__(str(folder))
        start = Event(step=images_seen + 1, session_log=SessionLog(status=SessionLog.START))
        self.events.add_event(start)

    def _get_file_writer(self) -> FileWriter:  # torch's own makes one with a thread
        return self.events


class _FileWriter(FileWriter):
    def __init__(self, folder: Path) -> None:  # not torch's, which starts the thread
        self.event_writer = EventFile(folder)


class EventFile:
    """An event file in `folder`, with the methods of TensorBoard's EventFileWriter."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"events.out.tfevents.{_number(folder):010}.{socket.gethostname()}"
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def get_logdir(self) -> str:
        return str(self.path.parent)

    def add_event(self, event: Event) -> None:
        """Appends `event`. An OSError names the file."""
        with named_errors(self.path), self.path.open("ab") as file:
            RecordWriter(file).write(event.SerializeToString())

    def flush(self) -> None:
        """Nothing: every event is written."""

    def close(self) -> None:
        """Nothing: the file is not open between two events."""


def _number(folder: Path) -> int:
    """The time in seconds; later than in the names in `folder`, which TensorBoard reads in order.

    The clock may have been set back since an earlier process of the run.
    """
    names = (path.name for path in folder.glob("events.out.tfevents.*"))
    taken = [int(match[1]) for name in names if (match := re.match(r"\D+(\d+)", name))]
    return max([int(time.time()), *(number + 1 for number in taken)])

"""What a measurement was made with, for the file that keeps it."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version


def environment() -> dict[str, str]:
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "torch": version("torch"),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }

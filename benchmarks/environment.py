"""The environment of a measurement, which is stored with its results."""

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

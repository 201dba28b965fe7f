"""Speed of packing with data.align=true: python benchmarks/alignment.py PHOTOS

Prints the speed of `prepare` over that of a bare loop, which decodes the same photographs and runs
the same detector once over each, on as many processes: photographs per second of CPU time, which
other programs on the machine hardly change, as the median of several pairs of consecutive runs.
Needs the extra `align`.
"""

import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from facegan.data.align import DETECTION_SIDE
from facegan.data.centerface import detect_faces
from facegan.data.folder import FolderDataset

REPEATS = 5


def detect(path: Path) -> int:
    with Image.open(path) as file:
        photo = file.convert("RGB")
    scale = min(1, DETECTION_SIDE / max(photo.size))
    small = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    return len(detect_faces(np.asarray(small))[0])


def bare_loop(photographs: list[Path]) -> int:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context) as pool:
        return sum(pool.map(detect, photographs, chunksize=16))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this process and of those that `work` starts and ends."""
    began = _cpu_clock()
    work()
    return _cpu_clock() - began


def _cpu_clock() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    root = Path(sys.argv[1])
    photographs = sorted(root.iterdir())
    ratios = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as packed:
            source = FolderDataset(str(root), packed, image_size=28, align=True)
            bare, ours = cpu_seconds(lambda: bare_loop(photographs)), cpu_seconds(source.dataset)
        ratios.append(bare / ours)
    print(f"{statistics.median(ratios):.2f}  of {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    main()

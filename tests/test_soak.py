"""Memory and open files stay flat over a long training."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY, save_photos

pytestmark = pytest.mark.slow
STEPS, BATCH = 200_000, 8
ARGUMENTS = (
    *TINY,
    *(f"model.batch_size={BATCH}", "data=folder", "data.root=photos", "data.image_size=8"),
    *(f"trainer.max_images={STEPS * BATCH}", "trainer.precision=32-true", "hydra.run.dir=run"),
)
GROWTH = 50_000  # KiB between the second and the last quarter: memory of an epoch is freed late


def usage(pid: int) -> tuple[int, int]:
    """The resident memory of a process in KiB, and its open files."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(memory.split()[1]), len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_and_open_files_stay_flat(tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", 400, 8)
    seen = []
    words = [sys.executable, "-m", "facegan.train", *ARGUMENTS]
    with subprocess.Popen(words, cwd=tmp_path) as process:
        while process.poll() is None:
            if (tmp_path / "run/metrics.jsonl").exists():
                with contextlib.suppress(StopIteration, OSError):  # it has just ended
                    seen.append(usage(process.pid))
            time.sleep(1)
    assert process.returncode == 0
    quarter = len(seen) // 4
    (early, files), (late, files_late) = (
        tuple(map(max, zip(*part, strict=True)))
        for part in (seen[quarter : 2 * quarter], seen[3 * quarter : -1])
    )
    print(f"{early} to {late} KiB, {files} to {files_late} open files, {len(seen)} samples")
    assert late < early + GROWTH
    assert files_late <= files

"""The folders of the package; without Hydra, so that `facegan --help` is fast."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# a wheel has conf/ inside the package; a checkout has it at the top
CONFIG_PATH = next(p for p in (PACKAGE / "conf", PACKAGE.parents[1] / "conf") if p.is_dir())
BUNDLED = PACKAGE / "weights"  # in the package

"""Where the configs lie; without Hydra, so that `facegan` alone answers at once."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# a wheel carries conf/ inside the package; a checkout has it at the top
CONFIG_PATH = next(p for p in (PACKAGE / "conf", PACKAGE.parents[1] / "conf") if p.is_dir())
BUNDLED = PACKAGE / "weights"  # that the package carries

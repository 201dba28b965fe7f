"""Check marked PNG files: draw their faces again, and compare.

python -m facegan.verify outputs/faces                       the PNG files of a folder
python -m facegan.verify a.png b.png                         faces by bundled weights
python -m facegan.verify grid.png weights=outputs/latest     by weights of your own
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig

from facegan.cli.arguments import ArgumentKind, quote
from facegan.cli.command import command


@dataclass
class VerifyConfig:
    """The types of conf/verify.yaml."""

    files: list[str] = MISSING
    weights: str | None = MISSING
    trust: Any = None


def complete(arguments: list[str]) -> list[str]:
    """`arguments` with words that are not KEY=VALUE, or that name a file, as files=[…]."""
    files = [a for a in arguments if a[:1] != "-" and ("=" not in a or Path(a).exists())]
    listed = ",".join(quote(file, ArgumentKind.TEXT) for file in files)
    return [*(a for a in arguments if a not in files), *([f"files=[{listed}]"] if files else [])]


@command("verify", VerifyConfig, complete=complete)
def main(cfg: DictConfig) -> None:
    from facegan.latent.verification import verify  # torch, which --help does not need

    sys.exit(0 if verify(cfg.files, cfg.weights) else 1)


if __name__ == "__main__":
    main()

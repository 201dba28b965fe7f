"""Train, sample and evaluate small face GANs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facegan.images import save_grid as save_grid
    from facegan.networks.base import Generator as Generator

__version__: str

__all__ = ["Generator", "__version__", "save_grid"]


def __getattr__(name: str) -> Any:
    """Imports torch only when something needs it, so that `--help` answers at once."""
    if name == "Generator":
        from facegan.networks.base import Generator

        return Generator
    if name == "save_grid":
        from facegan.images import save_grid

        return save_grid
    if name == "__version__":
        from importlib.metadata import version

        return version("facegan")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

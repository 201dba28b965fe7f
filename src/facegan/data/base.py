"""What every source of faces promises."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from facegan.data.archive import Archive, Labels, archive_path, open_archive, write_archive
from facegan.sizes import pyramid


class FaceSource(ABC):
    """Faces that can become an archive under the folder `archives`, `image_size` pixels a side."""

    def __init__(self, archives: str, image_size: int) -> None:
        pyramid(image_size)  # refuses a size that no network makes, before hours of packing
        self.archives = Path(archives)
        self.image_size = image_size

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """All that decides the archive's content, as JSON; "source" and "image_size" among it."""

    @abstractmethod
    def fill(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        """Writes `images`, (N, size, size, 3) uint8 .npy; returns labels and notes to keep."""

    def archive(self) -> Archive:
        """The archive of this recipe, made first where there is none."""
        recipe = self.recipe()
        path = archive_path(self.archives, recipe)
        return open_archive(path) if path.exists() else write_archive(path, recipe, self.fill)

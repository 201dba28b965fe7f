"""The contract of a source of faces."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facegan.core.checks import check_choice
from facegan.core.resolutions import base_and_levels
from facegan.data.dataset import Labels, PackedDataset, dataset_path, open_dataset, write_dataset
from facegan.data.decode import MODES


class FaceSource(ABC):
    """Images that are packed into a data set of `image_size` pixels in the folder `packed_dir`.

    `mode` is "RGB", or "L" for grey images. `attributes` are those of the data set's that are
    used; by default all.
    """

    images_are = "real photographs"  # in the columns of a report
    aligned = False  # whether `crop` is in pixels of CelebA's aligned photographs
    license = ""  # of weights that are trained on these images; empty: no terms are known

    def __init__(
        self,
        packed_dir: str,
        image_size: int,
        mode: str = "RGB",
        attributes: Sequence[str] | None = None,
    ) -> None:
        check_choice("mode", mode, MODES)
        base_and_levels(image_size)  # refuses a size that no network supports before packing
        self.packed_dir = Path(packed_dir)
        self.image_size = image_size
        self.mode = mode
        self.channels = MODES[mode]
        self.attributes = attributes

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """All that the data set's content depends on, as JSON, with "source" and "image_size"."""

    @abstractmethod
    def write(self, images: Path) -> tuple[Labels, dict[str, Any]]:
        """Writes `images`, (N, size, size, channels) uint8 .npy; returns labels and notes."""

    def other_content(self, manifest: dict[str, Any]) -> str:
        """A digest of the photographs if they are not those of `manifest`; empty otherwise.

        Only needed if the recipe does not depend on their content.
        """
        return ""

    def dataset(self) -> PackedDataset:
        """The data set of these photographs, which is packed if it is missing."""
        recipe = self.recipe()
        packed = self._packed(recipe)
        if content := self.other_content(packed.manifest):
            packed = self._packed({**recipe, "content": content})
        packed = dataclasses.replace(packed, license=self.license)
        return packed.with_attributes(self.attributes)

    def _packed(self, recipe: dict[str, Any]) -> PackedDataset:
        path = dataset_path(self.packed_dir, recipe)
        return open_dataset(path) if path.exists() else write_dataset(path, recipe, self.write)

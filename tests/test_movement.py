"""How far a training has moved from the weights that it started from."""

import re
from pathlib import Path

import pytest
import torch
from conftest import Cli

from facegan import Generator
from facegan.latent.movement import movement, starting_faces
from facegan.networks.dcgan import DCGANGenerator


def test_a_generator_has_not_moved_from_itself() -> None:
    generator = Generator.from_pretrained("lite-28")
    start = starting_faces("lite-28", generator)
    assert start is not None
    assert re.fullmatch(
        r"warning: .*init=lite-28.* changed by 0% .*", movement("lite-28", start, generator, 64)
    )
    assert movement("lite-28", start, generator, 20_000).startswith("the faces still resemble")


def test_differences_are_means_over_pixels_in_grey_levels() -> None:
    class Black(DCGANGenerator):
        def sample(self, **_: object) -> torch.Tensor:
            return torch.zeros(64, 3, 8, 8, dtype=torch.uint8)

    start = torch.zeros(64, 3, 8, 8, dtype=torch.uint8)
    start[::2] = 100
    text = movement("run", start, Black(2, width=8, image_size=8), 64)
    assert text.startswith("the faces are no longer those of init=run: ")
    assert text.endswith("each has changed by 50% of the difference between two faces")


def test_other_latents_or_sizes_cannot_be_compared() -> None:
    assert starting_faces("lite-28", DCGANGenerator(8, width=8, image_size=28)) is None


@pytest.mark.slow
def test_a_training_of_moments_warns_of_the_faces_that_it_started_from(cli: Cli) -> None:
    data = ("data=generated", "data.count=1000", "trainer.max_images=64", "trainer.accelerator=cpu")
    out = cli.ok("train", "init=full-28", *data, "evaluate_every=0", "hydra.run.dir=run")
    assert "warning: these are still the faces of init=full-28" in out
    result = cli("evaluate", "weights=run", "evaluation.faces=60")
    still = "these are still the faces of init=full-28"
    assert result.out.splitlines()[-1].startswith(f"warning: {still}")
    assert "run trainer.restart_schedule=true trainer.max_images=20000\n" in result.out
    assert still in Path("run/evaluation.html").read_text()
    assert still in cli("sample", "weights=run", "n=1").err

"""Seeds and their latents."""

import math

import pytest
import torch
import torch.nn.functional as F

from facegan.core.errors import FaceganError
from facegan.networks.latents import balanced_latents, latents, parse_seeds


def test_latents_are_pinned() -> None:
    z = latents([0, 1], 3)
    assert z.dtype == torch.float32
    assert z.shape == (2, 3)
    # a change of torch's CPU generator would change every face
    assert z[0].tolist() == pytest.approx([1.5409961, -0.2934289, -2.1787894])


def test_a_latent_does_not_depend_on_the_other_seeds() -> None:
    alone = latents([5], 8)
    assert torch.equal(latents([9, 5, 2], 8)[1:2], alone)
    assert torch.equal(latents(iter(range(10)), 8)[5:6], alone)


def test_latents_do_not_change_the_global_random_state() -> None:
    before = torch.get_rng_state()
    latents(range(3), 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_latents_are_standard_normal_and_independent() -> None:
    z = latents(range(2000), 16)
    assert z.mean(0).abs().max() < 0.1
    assert (z.std(0) - 1).abs().max() < 0.1
    assert (torch.corrcoef(z.T) - torch.eye(16)).abs().max() < 0.1
    assert torch.corrcoef(z[:, :].flatten().view(2, -1))[0, 1].abs() < 0.05


def test_no_seeds_give_no_latents() -> None:
    assert latents([], 8).shape == (0, 8)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("0-3,100", [0, 1, 2, 3, 100]),
        (" 4 , 1-2 ", [4, 1, 2]),
        ("5-5", [5]),
        ("3,3", [3, 3]),
    ],
)
def test_parse_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-3", "3-1", "1-2-3", "1,,2", "1.5", "1;2", "3-"])
def test_parse_seeds_refuses(text: str) -> None:
    with pytest.raises(FaceganError, match="numbers and ranges of numbers from 0 to") as error:
        parse_seeds(text)
    assert repr(text) in str(error.value)


def test_balanced_latents_have_the_moments_of_a_normal_distribution() -> None:
    z = balanced_latents(range(50), 8)
    assert z.shape == (100, 8)
    torch.testing.assert_close(z[1::2], -z[::2])
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(z, balanced_latents(range(50), 8))


def test_balanced_latents_estimate_means_with_less_error() -> None:
    """The mean of a leaky ReLU of a projection of N(0, 1) is (1 - slope) / √(2π)."""
    slope, errors = 0.2, {balanced_latents: 0.0, latents: 0.0}
    true = (1 - slope) / (2 * math.pi) ** 0.5
    for start in range(0, 4000, 100):
        for draw, count in ((balanced_latents, 50), (latents, 100)):
            units = F.leaky_relu(draw(range(start, start + count), 8)[:, 0], slope)
            errors[draw] += float(units.mean() - true) ** 2
    assert errors[balanced_latents] < errors[latents] / 4

"""Seeds, their latents, and texts of the command line: seeds, edits, attributes."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import REPOSITORY

from facegan import Generator
from facegan.core.errors import FaceganError
from facegan.latent.directions import parse_edit, parse_sweep
from facegan.latent.selection import parse_attributes
from facegan.networks.latents import MAX_SEED, balanced_latents, latents, parse_seeds


def test_latents_are_pinned() -> None:
    z = latents([0, 1], 3)
    assert z.dtype == torch.float32
    assert z.shape == (2, 3)
    # a change of torch's CPU generator would change every face
    assert z[0].tolist() == pytest.approx([1.5409961, -0.2934289, -2.1787894])


@pytest.mark.parametrize("size", [*range(1, 34), 47, 64, 100, 512])
def test_the_documented_numpy_draws_the_same_latents(size: int) -> None:
    program = (REPOSITORY / "examples" / "serve_onnx.py").read_text("utf-8")
    block = re.search(r"(def latent\(.*?)\n\n\n", program, re.S)
    names = {"np": np}
    exec(block[1], names)
    seeds = [0, 7, 12345, MAX_SEED]
    drawn = np.stack([names["latent"](seed, size) for seed in seeds])
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, latents(seeds, size).numpy(), atol=2e-6)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [1.7]}, r"a seed must be a whole number from 0 to 4294967295, got 1\.7"),
        ({"seeds": [-1]}, "a seed must be .*, got -1"),
        ({"seeds": [math.nan]}, "a seed must be .*, got nan"),
        ({"n": -3}, "give n, at least 0, .* got n=-3"),
        ({}, "give n, at least 0, or seeds, not both"),
        ({"n": 2, "seeds": [1]}, "give n, at least 0, or seeds, not both"),
        ({"n": 1, "truncation": math.nan}, "truncation must be a number from 0 to 10, got nan"),
        ({"n": 1, "truncation": 1e308}, "truncation must be .*, got 1e\\+308"),
        ({"n": 1, "attributes": {"Smling": True}}, "an attribute must be one of .*, got .Smling."),
        ({"n": 1, "attributes": {"Smiling": "0.5"}}, "Smiling must be .* from 0 to 1, got '0.5'"),
    ],
)
def test_wrong_arguments_of_sample(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Generator.from_pretrained("labels-28").sample(**arguments)


def test_seeds_of_any_kind_of_whole_number() -> None:
    expected = latents([3], 8)
    for seed in (np.int64(3), torch.tensor(3), 3.0):
        assert torch.equal(latents([seed], 8), expected)


@pytest.mark.parametrize("name", ["lite-28", "dcgan-28", "full-28"])
def test_a_generator_in_bfloat16_draws(name: str) -> None:
    generator = Generator.from_pretrained(name)
    faces = generator.sample(n=2).int()
    assert (generator.to(torch.bfloat16).sample(n=2).int() - faces).abs().float().mean() < 8


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_seeds, "7", [7]),
        (parse_seeds, "0-3,100", [0, 1, 2, 3, 100]),
        (parse_seeds, " 4 , 1-2,5-5,4 ", [4, 1, 2, 5, 4]),
        (parse_attributes, "Smiling, -Eyeglasses", {"Smiling": True, "Eyeglasses": False}),
        (parse_edit, "Smiling,-Male", {"Smiling": 1, "Male": -1}),
        (parse_edit, "Smiling:2,Young:-1", {"Smiling": 2, "Young": -1}),
        (parse_edit, " Male:.5 , PCA_1:1e1", {"Male": 0.5, "PCA_1": 10}),
        (parse_sweep, "-3:3", (-3, 3)),
    ],
)
def test_texts_of_the_command_line(parse: Callable, text: str, value: object) -> None:
    assert parse(text) == value


REFUSED = {
    parse_seeds: ("", "a", "-3", "3-1", "1-2-3", "1,,2", "1.5", "1;2", "3-", str(2**32)),
    parse_attributes: (",", "Smiling,,Male", "-", "Male,-Male", "Male:half", "Male:1.5"),
    parse_edit: ("", ":2", "Smiling:", "Smiling:a", "a:nan", "a:1,a:2", "a:101", "1:2:3"),
    parse_sweep: ("", "3", ":", "a:1", "3:nan", "-101:3", "1:2:3"),
}


@pytest.mark.parametrize(
    ("parse", "text"), [(parse, text) for parse, texts in REFUSED.items() for text in texts]
)
def test_a_text_that_cannot_be_parsed_is_refused_with_the_rule(parse: Callable, text: str) -> None:
    with pytest.raises(FaceganError, match=r"(is|are) .*(names|amounts|numbers).*; got '") as error:
        parse(text)
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

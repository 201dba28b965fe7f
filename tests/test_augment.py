"""Augmentations: the identity at p = 0, closed forms, two derivatives, ADA's control of p."""

import math

import pytest
import torch
from torch import Tensor

from facegan.gan import augment
from facegan.gan.augment import ADA, DiffAugment, NoAugmentation, apply_color, warp

SIZE = 12


def faces(count: int = 8, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, SIZE, SIZE, generator=torch.manual_seed(0)) * 2 - 1


def test_none_is_the_identity_and_draws_nothing() -> None:
    images, state = faces(), torch.get_rng_state()
    assert NoAugmentation()(images) is images
    assert torch.equal(torch.get_rng_state(), state)
    assert NoAugmentation().state_dict() == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_ada_is_the_identity_at_zero(channels: int) -> None:
    images = faces(channels=channels)
    assert torch.equal(ADA()(images), images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augmentation", [ADA(p=1.0), DiffAugment()])
def test_every_image_changes_on_its_own(augmentation: torch.nn.Module, channels: int) -> None:
    torch.manual_seed(0)
    image = faces(1, channels)
    images = augmentation(image.repeat(64, 1, 1, 1))
    assert images.shape == (64, channels, SIZE, SIZE)
    assert not any(torch.equal(some, image[0]) for some in images)
    assert images.flatten(1).std(dim=0).mean() > 0.1


@pytest.mark.parametrize("augmentation", [ADA(p=0.7), DiffAugment()])
def test_two_derivatives(augmentation: torch.nn.Module) -> None:
    images = faces(4).double().requires_grad_(True)
    weight = torch.randn(3 * SIZE * SIZE, dtype=torch.float64, requires_grad=True)

    def critic(images: Tensor) -> Tensor:
        torch.manual_seed(1)
        return (augmentation(images.float()).flatten(1).double() @ weight).tanh()

    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("augmentation", [ADA(p=1.0), DiffAugment()])
def test_half_precision_does_not_reach_the_transforms(augmentation: torch.nn.Module) -> None:
    images = faces().bfloat16()
    torch.manual_seed(0)
    expected = augmentation(images.float())
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augmentation(images), expected)


def test_warp_agrees_with_grid_sample() -> None:
    images, matrix = faces(2), torch.tensor([[[0.8, -0.5, 0.1], [0.4, 0.9, -0.2]]]).repeat(2, 1, 1)
    grid = torch.nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    expected = torch.nn.functional.grid_sample(
        images, grid, padding_mode="reflection", align_corners=False
    )
    assert torch.allclose(warp(images, matrix), expected, atol=1e-4)


def test_translation_moves_and_fills_with_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    shift = torch.tensor([[[1]], [[-1]]])  # a row down, a column to the left
    monkeypatch.setattr(torch, "randint", lambda *_, **__: shift)
    images = faces(1)
    moved = augment.translate(images)
    assert torch.equal(moved[:, :, 1:, :-1], images[:, :, :-1, 1:])
    assert torch.all(moved[:, :, 0] == 0)
    assert torch.all(moved[:, :, :, -1] == 0)


def test_cutout_sets_half_a_side_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    start = torch.tensor([[[2]], [[4]]])
    monkeypatch.setattr(torch, "randint", lambda *_, **__: start)
    images = faces(1)
    expected = images.clone()
    expected[:, :, 2 : 2 + SIZE // 2, 4 : 4 + SIZE // 2] = 0
    assert torch.equal(augment.cutout(images), expected)


@pytest.mark.parametrize(
    ("draws", "expected"),
    [
        ((0.5, 0.5, 0.5), lambda x: x),
        ((0.8, 0.5, 0.5), lambda x: x + 0.3),
        ((0.5, 0.0, 0.5), lambda x: x.mean(1, keepdim=True).expand_as(x)),
        ((0.5, 0.5, 1.0), lambda x: x.mean() + 1.5 * (x - x.mean())),
    ],
)
def test_color_jitter(draws, expected, monkeypatch: pytest.MonkeyPatch) -> None:
    images = faces(1)
    values = torch.tensor(draws)[:, None, None, None, None]
    monkeypatch.setattr(torch, "rand", lambda *_, **__: values)
    assert torch.allclose(augment.jitter_color(images), expected(images), atol=1e-5)


def test_hue_turns_red_into_green_and_keeps_greys() -> None:
    turn = augment._turn_hue(torch.tensor([2 * math.pi / 3]))
    matrix = torch.cat([turn, torch.zeros(1, 3, 1)], dim=2)
    red = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1)
    assert torch.allclose(apply_color(red, matrix).flatten(), torch.tensor([0.0, 1, 0]), atol=1e-6)
    grey = torch.full((1, 1, 2, 2), 0.3)
    assert torch.allclose(apply_color(grey, matrix), grey, atol=1e-6)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_the_share_of_untouched_images_does_not_vanish(p: float) -> None:
    """Below p = 1 the identity is likeliest, which keeps the transforms from leaking (sec. 2.2)."""
    torch.manual_seed(0)
    moved, _ = augment.random_affine(20_000, SIZE, torch.device("cpu"), torch.tensor(p))
    changed, _ = augment.random_color(20_000, torch.device("cpu"), torch.tensor(p))
    # six transforms with p, and two rotations of which one happens with p
    assert abs((~moved).float().mean() - (1 - p) ** 7) < 0.01
    assert abs((~changed).float().mean() - (1 - p) ** 5) < 0.01


def test_p_rises_to_one_in_full_images_and_falls_again() -> None:
    ada = ADA(full_images=6400)
    for _ in range(50):
        ada.adapt(torch.tensor(1.0), 64)
    assert ada.p.item() == pytest.approx(0.48)  # changed at every fourth of 50 updates
    for _ in range(50):
        logs = ada.adapt(torch.tensor(0.9), 64)
    assert logs["augment_p"] == 1
    for _ in range(400):
        ada.adapt(torch.tensor(0.1), 64)
    assert ada.p == 0


def test_p_is_in_the_state() -> None:
    ada = ADA(p=0.25)
    other = ADA()
    other.load_state_dict(ada.state_dict())
    assert other.p == 0.25

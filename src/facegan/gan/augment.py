"""Augmentation inside the critic, for real and generated images alike, so that it does not leak.

Every transform is differentiable twice, since penalties differentiate the critic's gradient, and
draws from torch's global stream, which the training step seeds.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.core.checks import MANY, check_choice, check_number
from facegan.gan.penalties import Logs

SIGN_STEPS = 4  # updates of D between two changes of ADA's p (Karras et al. 2020, section 3)
LUMA = 3**-0.5  # every component of the unit vector along the greys


class Augmentation(nn.Module):
    """Random transforms, drawn for each image: (B, C, H, W) in [-1, 1] -> the same shape."""

    def forward(self, images: Tensor) -> Tensor:
        # half precision is too coarse for positions of pixels
        with torch.autocast(images.device.type, enabled=False):
            return self.transform(images.float())

    def transform(self, images: Tensor) -> Tensor:
        """The transforms in float32."""
        raise NotImplementedError

    def adapt(self, sign: Tensor, images: int) -> Logs:
        """Called after each update of D on `images` real images; returns scalars for the curves.

        `sign` is the mean sign of the discriminator's margin on real images, in [-1, 1].
        """
        return {}


class NoAugmentation(Augmentation):
    """The images as they are."""

    def forward(self, images: Tensor) -> Tensor:
        return images


class DiffAugment(Augmentation):
    """DiffAugment (Zhao et al. 2020, section 3.2), each transform applied to every image.

    `policy` lists some of color, translation and cutout; the ranges are those of their code.
    """

    def __init__(self, policy: Sequence[str] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        transforms = {"color": jitter_color, "translation": translate, "cutout": cutout}
        for name in policy:
            check_choice("policy", name, transforms)
        self.transforms = [transforms[name] for name in policy]

    def transform(self, images: Tensor) -> Tensor:
        for transform in self.transforms:
            images = transform(images)
        return images


class ADA(Augmentation):
    """Adaptive discriminator augmentation (Karras et al. 2020, section 3 and appendix B).

    Flips, quarter turns, translations, scales, rotations and colours, each applied with probability
    p. p rises while the mean sign of D on real images exceeds `target`, at a rate that takes it
    from 0 to 1 in `full_images` images, and falls otherwise. Sampling is bilinear, without the
    paper's wavelet filters.
    """

    p: Tensor
    signs: Tensor

    def __init__(self, target: float = 0.6, full_images: int = 500_000, p: float = 0.0) -> None:
        super().__init__()
        check_number("target", target, -1, 1, whole=False)
        check_number("full_images", full_images, 1, MANY)
        check_number("p", p, 0, 1, whole=False)
        self.target = target
        self.full_images = full_images
        self.register_buffer("p", torch.tensor(float(p)))
        self.register_buffer("signs", torch.zeros(2))  # sum and number since the last change of p

    def transform(self, images: Tensor) -> Tensor:
        moved, matrix = random_affine(len(images), images.shape[-1], images.device, self.p)
        images = torch.where(moved[:, None, None, None], warp(images, matrix), images)
        recolored, color = random_color(len(images), images.device, self.p)
        return torch.where(recolored[:, None, None, None], apply_color(images, color), images)

    def adapt(self, sign: Tensor, images: int) -> Logs:
        sign = _mean_over_processes(sign.detach().float())
        self.signs += torch.stack([sign, torch.ones_like(sign)])
        mean = self.signs[0] / self.signs[1]
        due = self.signs[1] >= SIGN_STEPS
        step = torch.sign(mean - self.target) * self.signs[1] * images / self.full_images
        self.p.copy_(torch.where(due, (self.p + step).clamp(0, 1), self.p))
        self.signs.mul_(~due)
        return {"augment_p": self.p.clone(), "D_real_sign": sign}


def _mean_over_processes(value: Tensor) -> Tensor:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    torch.distributed.all_reduce(value)
    return value / torch.distributed.get_world_size()


def jitter_color(images: Tensor) -> Tensor:
    """Brightness ±0.5, saturation 0 to 2 and contrast 0.5 to 1.5, uniformly."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = torch.lerp(grey, images, 2 * saturation)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, contrast + 0.5)


def translate(images: Tensor, ratio: float = 0.125) -> Tensor:
    """Moves each image by whole pixels, up to `ratio` of its size, and fills in zeros."""
    batch, channels, height, width = images.shape
    most = int(width * ratio + 0.5)
    shift = torch.randint(-most, most + 1, (2, batch, 1), device=images.device)
    rows = torch.arange(height, device=images.device) - shift[0] + most  # (B, H), of the padded
    columns = torch.arange(width, device=images.device) - shift[1] + most
    padded = F.pad(images, (most, most, most, most))
    padded = padded.gather(2, rows[:, None, :, None].expand(-1, channels, -1, padded.shape[3]))
    return padded.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))


def cutout(images: Tensor, ratio: float = 0.5) -> Tensor:
    """Sets a square of `ratio` of the side to zero, its centre anywhere in the image."""
    batch, _, _, length = images.shape
    side = int(length * ratio + 0.5)
    least, end = -(side // 2), length - side // 2 + 1 - side % 2
    start = torch.randint(least, end, (2, batch, 1), device=images.device)
    place = torch.arange(length, device=images.device)
    inside = (place >= start) & (place < start + side)  # (2, B, length)
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return images.masked_fill(hole[:, None], 0.0)


def random_affine(count: int, size: int, device: torch.device, p: Tensor) -> tuple[Tensor, Tensor]:
    """ADA's geometric transforms: which images move, (N,) bool, and matrices (N, 2, 3).

    A matrix maps positions of the output to positions of the input, in [-1, 1] from edge to edge.
    """
    moved = torch.zeros(count, dtype=torch.bool, device=device)

    def happens(probability: Tensor) -> Tensor:
        nonlocal moved
        chosen = torch.rand(count, device=device) < probability
        moved = moved | chosen
        return chosen

    def normal(deviation: float) -> Tensor:
        return torch.randn(count, device=device) * deviation

    one = torch.ones(count, device=device)
    rotation_p = 1 - (1 - p).sqrt()  # so that one of two rotations happens with probability p
    mirror = torch.where(happens(p), -one, one)
    quarters = torch.where(happens(p), torch.randint(1, 4, (count,), device=device), 0.0)
    pixels = ((torch.rand(2, count, device=device) - 0.5) / 4 * size).round()
    whole = torch.where(happens(p), pixels * 2 / size, 0.0)
    zoom = torch.where(happens(p), normal(0.2), 0.0).exp2()
    before = torch.where(happens(rotation_p), (torch.rand(count, device=device) * 2 - 1), 0.0)
    stretch = torch.where(happens(p), normal(0.2), 0.0).exp2()
    after = torch.where(happens(rotation_p), (torch.rand(count, device=device) * 2 - 1), 0.0)
    fraction = torch.where(happens(p), torch.stack([normal(0.25), normal(0.25)]), 0.0)
    matrix = _scale(mirror, one) @ _rotate(quarters * math.pi / 2) @ _shift(*whole)
    matrix = matrix @ _scale(zoom, zoom) @ _rotate(before * math.pi) @ _scale(stretch, 1 / stretch)
    matrix = matrix @ _rotate(after * math.pi) @ _shift(*fraction)
    return moved, matrix[:, :2]


def random_color(count: int, device: torch.device, p: Tensor) -> tuple[Tensor, Tensor]:
    """ADA's colour transforms: which images change, (N,) bool, and matrices (N, 3, 4)."""
    chosen = torch.rand(5, count, device=device) < p
    normal = torch.randn(3, count, device=device)
    brightness = torch.where(chosen[0], normal[0] * 0.2, 0.0)
    contrast = torch.where(chosen[1], normal[1] * 0.5, 0.0).exp2()
    flip = torch.where(chosen[2], torch.rand(count, device=device) < 0.5, False).float()
    angle = torch.where(chosen[3], (torch.rand(count, device=device) * 2 - 1) * math.pi, 0.0)
    saturation = torch.where(chosen[4], normal[2], 0.0).exp2()
    identity = torch.eye(3, device=device)
    luma = torch.full((3, 3), LUMA**2, device=device)  # the projection on greys
    linear = identity - 2 * luma * flip[:, None, None]
    linear = _turn_hue(angle) @ linear
    linear = (luma + (identity - luma) * saturation[:, None, None]) @ linear
    linear = linear * contrast[:, None, None]
    offset = (brightness * contrast)[:, None, None].expand(-1, 3, 1)
    # brightness comes first: the other steps only flip and scale what all channels share
    offset = offset * (1 - 2 * flip[:, None, None])
    return chosen.any(dim=0), torch.cat([linear, offset], dim=2)


def apply_color(images: Tensor, matrix: Tensor) -> Tensor:
    """(B, 3, H, W) or (B, 1, H, W) by matrices (B, 3, 4); grey images stay grey."""
    colored = images.expand(-1, 3, -1, -1).flatten(2)
    result = (matrix[:, :, :3] @ colored + matrix[:, :, 3:]).unflatten(2, images.shape[2:])
    return result if images.shape[1] == 3 else result.mean(dim=1, keepdim=True)


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Images (B, C, H, W) at the positions of `matrix` (B, 2, 3), bilinear, mirrored at the edges.

    `grid_sample` has no second derivative, which penalties need; gathering has.
    """
    _, channels, height, width = images.shape
    x = (torch.arange(width, device=images.device) + 0.5) * 2 / width - 1
    y = (torch.arange(height, device=images.device) + 0.5) * 2 / height - 1
    ones = torch.ones(height * width, device=images.device)
    grid = torch.stack([x.repeat(height), y.repeat_interleave(width), ones])
    positions = matrix @ grid  # (B, 2, H·W)
    column, column_part = _pixel(positions[:, 0], width)
    row, row_part = _pixel(positions[:, 1], height)
    flat = images.flatten(2)

    def pixels(rows: Tensor, columns: Tensor) -> Tensor:
        index = _mirror(rows, height) * width + _mirror(columns, width)
        return flat.gather(2, index[:, None].expand(-1, channels, -1))

    upper = torch.lerp(pixels(row, column), pixels(row, column + 1), column_part)
    lower = torch.lerp(pixels(row + 1, column), pixels(row + 1, column + 1), column_part)
    return torch.lerp(upper, lower, row_part).unflatten(2, (height, width))


def _pixel(positions: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The pixel before each position in [-1, 1], (B, N), and the part of the next, (B, 1, N)."""
    places = (positions + 1) * length / 2 - 0.5
    first = places.floor()
    return first.long(), (places - first)[:, None]


def _mirror(index: Tensor, length: int) -> Tensor:
    """Indices of any size, reflected at the edges into [0, length)."""
    index = index.remainder(2 * length)
    return torch.minimum(index, 2 * length - 1 - index)


def _rotate(angle: Tensor) -> Tensor:
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _matrices(cos, -sin, zero, sin, cos, zero)


def _scale(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return _matrices(x, zero, zero, zero, y, zero)


def _shift(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrices(one, zero, x, zero, one, y)


def _matrices(*upper_rows: Tensor) -> Tensor:
    """Affine matrices (N, 3, 3) of the six entries above the row (0, 0, 1), each (N,)."""
    zero, one = torch.zeros_like(upper_rows[0]), torch.ones_like(upper_rows[0])
    return torch.stack([*upper_rows, zero, zero, one], dim=1).unflatten(1, (3, 3))


def _turn_hue(angle: Tensor) -> Tensor:
    """Rotations of colours about the axis of greys (Rodrigues' formula): (N,) -> (N, 3, 3)."""
    axis = torch.full((3, 3), LUMA**2, device=angle.device)
    cross = LUMA * torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cos * torch.eye(3, device=angle.device) + sin * cross + (1 - cos) * axis

"""Directions in latent space: z + amount · direction changes one thing about a face."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from facegan.core.errors import FaceganError
from facegan.core.files import check_tensors, parse_json, reading, write_tensors

OPPOSITES = {"female": "Male", "women": "Male", "old": "Young", "beard": "No_Beard"}
MAX_AMOUNT = 100.0  # the length of a latent is about sqrt(latent_dim)


@dataclass(frozen=True)
class Directions:
    """K named unit vectors in the latent space of one generator, and their measurements.

    `vectors`: (K, latent_dim). `fit`: (K,), for an attribute the correlation on held-out faces of
    z · w with the classifier's logit, w being the regression; for a principal component the share
    of the features' variance. `effects`: (K, A), the change of the classifier's probability of each
    attribute per unit along each vector, on average between -2 and 2.
    """

    names: tuple[str, ...]
    vectors: Tensor
    fit: Tensor
    effects: Tensor
    attributes: tuple[str, ...]  # of the columns of `effects`
    weights: str  # digest of the generator's weights

    def __getitem__(self, name: str) -> Tensor:
        """The unit vector of a direction, (latent_dim,)."""
        return self.vectors[self.index(name)]

    def index(self, name: str) -> int:
        return find_name(name, self.names, "a direction of this generator")

    def edit(self, z: Tensor, amounts: Mapping[str, float]) -> Tensor:
        """Latents moved along directions: (N, latent_dim) -> (N, latent_dim)."""
        for name, amount in amounts.items():
            z = z + amount * self[name]
        return z

    def effect(self, name: str, attribute: str) -> float:
        """Change of the probability of `attribute` per unit along the direction `name`."""
        return float(self.effects[self.index(name), self.attributes.index(attribute)])

    def own_effect(self, name: str) -> float | None:
        """Change of the probability of the attribute `name` per unit; None for a component."""
        return self.effect(name, name) if name in self.attributes else None

    def side_effects(self, name: str, count: int = 3) -> list[tuple[str, float]]:
        """The other attributes that change most along a direction, with their change per unit."""
        pairs = zip(self.attributes, self.effects[self.index(name)].tolist(), strict=True)
        others = [(attribute, effect) for attribute, effect in pairs if attribute != name]
        return sorted(others, key=lambda pair: -abs(pair[1]))[:count]

    def __str__(self) -> str:
        """A table: name, fit, effect per unit, side effects."""
        width = max(map(len, self.names))
        lines = [f"{'direction':{width}}    fit  effect  what else changes per unit"]
        for name, fit in zip(self.names, self.fit.tolist(), strict=True):
            own = self.own_effect(name)
            effect = "" if own is None else f"{own:+.3f}"
            others = ", ".join(f"{other} {by:+.3f}" for other, by in self.side_effects(name))
            lines.append(f"{name:{width}}  {fit:5.2f}  {effect:6}  {others}")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Writes a safetensors file, atomically."""
        names, attributes = json.dumps(self.names), json.dumps(self.attributes)
        metadata = {"names": names, "attributes": attributes, "weights": self.weights}
        tensors = {"vectors": self.vectors, "fit": self.fit, "effects": self.effects}
        write_tensors(path, {name: t.contiguous() for name, t in tensors.items()}, metadata)

    @classmethod
    def load(cls, path: Path) -> "Directions":
        """Reads a file of `save`. Raises FaceganError for any other file."""
        remedy = "remove it, and the directions are computed again"
        with reading(path, remedy), safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            check_tensors(path, metadata)
            vectors, fit, effects = map(file.get_tensor, ("vectors", "fit", "effects"))
            names, attributes = (parse_json(metadata[k], [str]) for k in ("names", "attributes"))
            count, weights = len(names), metadata["weights"]
            shapes = [tuple(tensor.shape) for tensor in (vectors[:, 0], fit, effects)]
            if shapes != [(count,), (count,), (count, len(attributes))]:
                raise ValueError("tensors of other shapes")
            return cls(tuple(names), vectors, fit, effects, tuple(attributes), weights)


NO_DIRECTIONS = Directions((), torch.empty(0), torch.empty(0), torch.empty(0), (), "")


def find_name(name: str, known: Sequence[str], kind: str) -> int:
    """The index of `name` in `known`, whatever its case.

    Raises FaceganError for an unknown name, with its opposite, the nearest one or all of them.
    """
    lower = [other.lower() for other in known]
    if name.lower() in lower:
        return lower.index(name.lower())
    if (opposite := OPPOSITES.get(name.lower())) in known:
        raise FaceganError(f"{name} is not {kind}; it is the lack of {opposite}: -{opposite}")
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    hint = f"did you mean {known[lower.index(near[0])]}?" if near else f"known: {', '.join(known)}"
    raise FaceganError(f"{name} is not {kind}; {hint}")


def parse_numbers(
    text: str, rule: str, minus: float, least: float, most: float
) -> dict[str, float]:
    """Parses "Smiling,-Hat,Male:0.5" -> {"Smiling": 1, "Hat": `minus`, "Male": 0.5}.

    Raises FaceganError with the `rule` for an empty or repeated name, and for a number out of
    [`least`, `most`].
    """
    values: dict[str, float] = {}
    try:
        for part in text.split(","):
            name, colon, number = part.strip().partition(":")
            value = float(number) if colon else minus if name[:1] == "-" else 1.0
            name = name.strip() if colon else name.removeprefix("-").strip()
            if not name or name in values or not least <= value <= most:  # also refuses NaN
                raise ValueError(part)
            values[name] = value
    except ValueError:
        raise FaceganError(f"{rule}; got {text!r}") from None
    return values


def parse_edit(text: str) -> dict[str, float]:
    """Parses amounts: "Smiling:2,Male,-Young" -> {"Smiling": 2, "Male": 1, "Young": -1}."""
    rule = (
        f"edit is names with amounts from -{MAX_AMOUNT:g} to {MAX_AMOUNT:g}, each name once, such "
        "as Smiling:2,-Young"
    )
    return parse_numbers(text, rule, -1, -MAX_AMOUNT, MAX_AMOUNT)


def parse_sweep(text: str) -> tuple[float, float]:
    """Parses the ends of a sweep: "-3:3" -> (-3.0, 3.0). Raises FaceganError."""
    try:
        first, last = map(float, text.split(":"))
        if not abs(first) <= MAX_AMOUNT >= abs(last):  # also refuses NaN
            raise ValueError(text)
    except ValueError:
        raise FaceganError(
            f"sweep is two amounts from -{MAX_AMOUNT:g} to {MAX_AMOUNT:g}, such as -3:3; "
            f"got {text!r}"
        ) from None
    return first, last


def sweep_amounts(first: float, last: float, frames: int) -> Tensor:
    """Amounts of a video that plays in a loop, (frames,): from `first` to `last` and back.

    The speed follows a cosine, so that it does not jump at the ends.
    """
    phase = torch.arange(frames, dtype=torch.float64) / frames * 2 * torch.pi
    return (first + (last - first) * (1 - phase.cos()) / 2).float()

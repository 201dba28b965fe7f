"""Directions in latent space: z + amount · direction changes one thing about a face."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from facegan.core.errors import FaceganError
from facegan.core.files import check_tensors, write_tensors

MAX_AMOUNT = 100.0  # a latent's length is about sqrt(latent_dim); nothing sensible lies beyond


@dataclass(frozen=True)
class Directions:
    """K named unit vectors in the latent space of one generator, with what is known of them.

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
        """The unit vector of a direction, (latent_dim,); upper and lower case are the same."""
        return self.vectors[self.index(name)]

    def index(self, name: str) -> int:
        return find_direction(name, self.names)

    def edit(self, z: Tensor, amounts: Mapping[str, float]) -> Tensor:
        """Latents moved along directions: (N, latent_dim) -> (N, latent_dim)."""
        for name, amount in amounts.items():
            z = z + amount * self[name]
        return z

    def own_effect(self, name: str) -> float | None:
        """Change of the probability of the attribute `name` per unit; None for a component."""
        if name not in self.attributes:
            return None
        return self.effect(name, name)

    def effect(self, name: str, attribute: str) -> float:
        """Change of the probability of `attribute` per unit along the direction `name`."""
        return float(self.effects[self.index(name), self.attributes.index(attribute)])

    def side_effects(self, name: str, count: int = 3) -> list[tuple[str, float]]:
        """The other attributes that change most along a direction, with their change per unit."""
        effects = self.effects[self.index(name)].tolist()
        others = [
            (attribute, effect)
            for attribute, effect in zip(self.attributes, effects, strict=True)
            if attribute != name
        ]
        return sorted(others, key=lambda pair: -abs(pair[1]))[:count]

    def __str__(self) -> str:
        """A table: name, fit, effect per unit, what else changes."""
        width = max(map(len, self.names))
        lines = [f"{'direction':{width}}    fit  effect  what else changes per unit"]
        for name, fit in zip(self.names, self.fit.tolist(), strict=True):
            own = self.own_effect(name)
            effect = "      " if own is None else f"{own:+.3f}"
            others = ", ".join(f"{other} {by:+.3f}" for other, by in self.side_effects(name))
            lines.append(f"{name:{width}}  {fit:5.2f}  {effect}  {others}")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Writes a safetensors file, atomically."""
        metadata = {
            "names": json.dumps(self.names),
            "attributes": json.dumps(self.attributes),
            "weights": self.weights,
        }
        tensors = {"vectors": self.vectors, "fit": self.fit, "effects": self.effects}
        write_tensors(path, {name: t.contiguous() for name, t in tensors.items()}, metadata)

    @classmethod
    def load(cls, path: Path) -> "Directions":
        """Reads a file of `save`. Raises FaceganError for any other."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                check_tensors(path, metadata)
                tensors = {name: file.get_tensor(name) for name in ("vectors", "fit", "effects")}
            names, attributes = (tuple(json.loads(metadata[k])) for k in ("names", "attributes"))
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise FaceganError(
                f"{path} holds no directions ({error}): remove it, and they are computed again"
            ) from error
        return cls(names=names, attributes=attributes, weights=metadata["weights"], **tensors)


def find_direction(name: str, known: Sequence[str]) -> int:
    """The place of a direction in `known`; upper and lower case are the same.

    Raises FaceganError, with the nearest name or all of them.
    """
    return find_name(name, known, "direction of this generator")


def find_name(name: str, known: Sequence[str], kind: str) -> int:
    """The place of a name of some kind in `known`, as `find_direction`."""
    lower = [direction.lower() for direction in known]
    if name.lower() in lower:
        return lower.index(name.lower())
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    hint = (
        f"did you mean {known[lower.index(close[0])]}?"
        if close
        else f"known are {', '.join(known)}"
    )
    raise FaceganError(f"{name} is no {kind}; {hint}")


def parse_edit(text: str) -> dict[str, float]:
    """Amounts as a user types them: "Smiling:2,Young:-1" -> {"Smiling": 2.0, "Young": -1.0}.

    A name alone means 1. Raises ValueError.
    """
    amounts: dict[str, float] = {}
    for part in text.split(","):
        name, colon, amount = part.strip().partition(":")
        value = _parse_amount(amount, text) if colon else 1.0
        if not name or name in amounts:
            raise ValueError(_edit_rule(text))
        amounts[name] = value
    return amounts


def parse_sweep(text: str) -> tuple[float, float]:
    """The ends of a sweep as a user types them: "-3:3" -> (-3.0, 3.0). Raises ValueError."""
    first, colon, last = text.partition(":")
    if not colon:
        raise ValueError(f"a sweep is two amounts such as -3:3, got {text!r}")
    return _parse_amount(first, text), _parse_amount(last, text)


def sweep_amounts(first: float, last: float, frames: int) -> Tensor:
    """Amounts of a video that plays in a loop, (frames,): from `first` to `last` and back.

    The speed follows a cosine, so that the ends show no jump.
    """
    phase = torch.arange(frames, dtype=torch.float64) / frames * 2 * torch.pi
    return (first + (last - first) * (1 - phase.cos()) / 2).float()


def _parse_amount(text: str, whole: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        raise ValueError(_edit_rule(whole)) from None
    if not abs(amount) <= MAX_AMOUNT:  # not of NaN either
        raise ValueError(f"an amount must be from -{MAX_AMOUNT:g} to {MAX_AMOUNT:g}, got {text}")
    return amount


def _edit_rule(text: str) -> str:
    return f"an edit is names with amounts, such as Smiling:2,Young:-1; got {text!r}"

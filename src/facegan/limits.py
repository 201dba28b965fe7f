"""Which values an argument may have: the bounds of numbers by name, and types in words."""

import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MANY = 10**12  # of images


@dataclass(frozen=True)
class Limits:
    """Numbers of [least, most]; with `count`, a list of so many."""

    least: float
    most: float
    whole: bool = True
    count: int | None = None

    def __str__(self) -> str:
        kind = "whole number" if self.whole else "number"
        bounds = f"from {_plain(self.least)} to {_plain(self.most)}"
        return f"a list of {self.count} {kind}s {bounds}" if self.count else f"a {kind} {bounds}"

    def allow(self, value: Any) -> bool:
        if self.count is None:
            return self._allow_number(value)
        several = isinstance(value, Sequence) and len(value) == self.count
        return several and all(map(self._allow_number, value))

    def _allow_number(self, value: Any) -> bool:
        number = int if self.whole else int | float
        right = isinstance(value, number) and not isinstance(value, bool)
        return right and self.least <= value <= self.most  # not of NaN


FRACTION = Limits(0, 1, whole=False)
BELOW_ONE = 0.999999
LIMITS = {  # of the arguments of this package, torch's optimizers and Lightning's classes, by name
    # data
    "count": Limits(1, 10**6),
    "crop": Limits(1, 10**5),
    "image_size": Limits(8, 1792),  # 4·2^k and 7·2^k
    # networks
    "blocks": Limits(1, 64),
    "dropout": Limits(0, 0.99, whole=False),
    "hidden": Limits(0, 65536),
    "latent_dim": Limits(1, 8192),
    "max_width": Limits(1, 8192),
    "negative_slope": FRACTION,
    "width": Limits(1, 8192),
    # the method
    "ema_halflife": Limits(0, 10**9, whole=False),
    "final_lr_factor": Limits(0, 100, whole=False),
    "full_images": Limits(1, MANY),
    "gamma": Limits(0, 10**6, whole=False),
    "interval": Limits(1, 10**6),
    "n_critic": Limits(1, 1000),
    "p": FRACTION,
    "seed": Limits(0, 2**32 - 1),
    "shift": Limits(0, 1000),
    "target": Limits(-1, 1, whole=False),
    "weight": Limits(0, 10**6, whole=False),
    # optimizers
    "beta2": Limits(0, BELOW_ONE, whole=False),
    "betas": Limits(0, BELOW_ONE, whole=False, count=2),
    "eps": FRACTION,
    "lr": Limits(1e-12, 10, whole=False),
    "momentum": FRACTION,
    "weight_decay": Limits(0, 100, whole=False),
    # the training
    "check_val_every_n_epoch": Limits(1, 10**6),
    "log_every_n_steps": Limits(1, 10**6),
    "max_depth": Limits(-1, 1000),
    "max_epochs": Limits(1, 10**6),
    "max_images": Limits(1, MANY),
    "min_delta": Limits(0, 10**9, whole=False),
    "num_nodes": Limits(1, 10**4),
    "patience": Limits(1, 10**6),
}
KNOWN_PACKAGES = ("facegan", "pytorch_lightning", "torch")
NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "null",
}


def has_limits(target: Any) -> bool:
    """Whether LIMITS is about the arguments of `target`, a name; a user's own class is free."""
    return str(target).split(".")[0] in KNOWN_PACKAGES


def describe_type(hint: Any, bounds: tuple[float, float] | None = None) -> str:
    """A type as a user writes its values: "a whole number or null" for `int | None`."""
    if hint in (int, float) and bounds is not None:
        return str(Limits(*bounds, whole=hint is int))
    if hint in NAMES:
        return NAMES[hint]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(describe_type(part, bounds) for part in parts))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, parts))}"
    if is_list(hint):
        return "a list"
    return str(getattr(hint, "__name__", hint))


def is_list(hint: Any) -> bool:
    """Whether only a list may stand where `hint` is asked for."""
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Sequence)


def is_text(hint: Any) -> bool:
    """Whether only text, and perhaps null, may stand where `hint` is asked for."""
    return hint is str or set(typing.get_args(hint)) == {str, types.NoneType}


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"

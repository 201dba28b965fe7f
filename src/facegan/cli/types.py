"""Types of arguments in words."""

import types
import typing
from collections.abc import Sequence
from typing import Any

NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "null",
}


def describe_type(hint: Any, bounds: tuple[float, float] | None = None) -> str:
    """A type as a user writes its values: "a whole number or null" for `int | None`."""
    if hint in (int, float) and bounds is not None:
        return f"{NAMES[hint]} from {bounds[0]} to {bounds[1]}"
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

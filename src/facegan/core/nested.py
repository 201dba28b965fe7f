"""Nested mappings, such as configs."""

from collections.abc import Mapping
from typing import Any


def flatten(config: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """{"model": {"loss": {"alpha": 2}}} -> {"model.loss.alpha": 2}."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            inner = flatten(value, separator)
            flat |= {f"{name}{separator}{key}": leaf for key, leaf in inner.items()}
        else:
            flat[name] = value
    return flat

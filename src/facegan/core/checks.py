"""Checks of arguments, for constructors."""

from typing import Any

MANY = 10**12  # of images: more than any training sees


def check_number(name: str, value: Any, least: float, most: float, whole: bool = True) -> None:
    """Raises ValueError unless `value` is a number in [least, most]; bools and NaN are refused."""
    kind = int if whole else int | float
    if isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most:
        return
    article = "a whole number" if whole else "a number"
    raise ValueError(f"{name} must be {article} from {least} to {most}, got {value!r}")


def check_share(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a bool or a number in [0, 1], also of numpy or torch."""
    check_number(name, value if isinstance(value, str) else float(value), 0, 1, whole=False)


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raises ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")

"""What callbacks rely on is looked up as Python and torch look attributes up."""

import pytest
from torch import nn

from facegan.training.protocols import (
    GENERATIVE,
    TRAINED,
    GenerativeModule,
    generative,
    is_generative,
    trained,
)


class Module(nn.Module):
    """All attributes; the networks are submodules, which nn.Module finds by __getattr__."""

    def __init__(self) -> None:
        super().__init__()
        for name in GENERATIVE:
            setattr(self, name, nn.Linear(1, 1) if name in ("ema", "loss") else 1)


def test_submodules_are_attributes() -> None:
    module = Module()
    assert is_generative(module)
    assert generative(module) is module
    assert trained(module) is module


def test_a_missing_attribute_is_named() -> None:
    module = Module()
    del module.ema
    assert not is_generative(module)
    with pytest.raises(TypeError, match="Module lacks ema, which callbacks need"):
        generative(module)


def test_the_protocols_list_their_attributes() -> None:
    assert TRAINED == ("images_seen", "batch_size", "optimizer_by_name")
    assert {"ema", "ema_halflife", "final_lr_factor"} < set(GENERATIVE) - set(TRAINED)


def test_isinstance_is_not_used() -> None:
    """From Python 3.12 on it would not see submodules; the tests may run on an earlier one."""
    with pytest.raises(TypeError, match="runtime_checkable"):
        isinstance(Module(), GenerativeModule)

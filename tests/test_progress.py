"""What a training prints while it runs."""

import pytest
from conftest import Cli

from facegan.training import progress


def test_the_first_steps_give_an_estimate(
    cli: Cli, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_ESTIMATE", 0)
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0)
    result = cli("train", *small, "trainer.max_epochs=1")
    assert result.code == 0, result.err
    assert "epoch 1: 24 images, " in result.out
    assert "epoch 1: 32 images, " in result.out
    assert "images/s, about 0 s to epoch 1" in result.out


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12240, "3.4 h"), (89, "89 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert progress.format_duration(seconds) == text

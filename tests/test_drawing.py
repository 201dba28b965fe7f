"""Requests that wait for one generator are drawn together, and each gets its own images."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from facegan.web.drawing import Drawing


class Doubler:
    """Draws twice its latents, and counts the rows of each call; fails for negative ones."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def draw(self, z: Tensor) -> Tensor:
        self.calls.append(len(z))
        if z.min() < 0:
            raise ValueError("negative")
        return 2 * z


def draw_at_once(requests: list[tuple[Doubler, Tensor]]) -> list[Tensor | Exception]:
    """The results of requests that all wait before the first of them is drawn."""
    drawing, go = Drawing(), threading.Event()
    drawing.thread.submit(go.wait)
    with ThreadPoolExecutor(len(requests)) as pool:
        futures = [pool.submit(drawing, *request) for request in requests]
        while len(drawing.waiting) < len(requests):
            time.sleep(0.001)
        go.set()
        return [future.exception() or future.result() for future in futures]


def test_what_waits_is_drawn_together() -> None:
    generator = Doubler()
    parts = [torch.full((n, 1), float(n)) for n in (1, 2, 3)]
    results = draw_at_once([(generator, part) for part in parts])
    assert generator.calls == [6]
    assert all(torch.equal(r, 2 * part) for r, part in zip(results, parts, strict=True))


def test_generators_are_not_mixed() -> None:
    one, other = Doubler(), Doubler()
    draw_at_once([(one, torch.ones(1, 4)), (other, torch.ones(2, 9)), (one, torch.ones(3, 4))])
    assert (one.calls, other.calls) == ([4], [2])


def test_an_error_reaches_all_that_waited_and_the_next_request_is_drawn() -> None:
    generator = Doubler()
    results = draw_at_once([(generator, -torch.ones(1, 1)), (generator, torch.ones(1, 1))])
    assert [str(result) for result in results] == ["negative", "negative"]
    drawing = Drawing()
    with pytest.raises(ValueError, match="negative"):
        drawing(generator, -torch.ones(1, 1))
    assert drawing(generator, torch.ones(1, 1)).item() == 2

"""Named random streams are pure functions of a name and a position."""

from facegan.core.seeds import derive_seed


def test_pinned() -> None:
    # a change would give every resumed run another future
    assert derive_seed("training step", 0, 64, 0) == 3_159_512_398_490_695_998


def test_distinct_by_name_and_position() -> None:
    positions = [(a, b) for a in range(20) for b in range(20)]
    keys = [*positions, *[(a,) for a in range(400)]]
    seeds = {derive_seed(name, *key) for name in ("latents", "photographs") for key in keys}
    assert len(seeds) == 2 * len(keys)

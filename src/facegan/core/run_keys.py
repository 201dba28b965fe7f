"""Which keys of a run's config may change when the run is resumed or repeated."""

CHANGEABLE = (
    "trainer",
    "checkpoint",
    "snapshots",
    "health",
    "evaluate_every",
    "sample_every",
    "logger",
    "callbacks",
    "resume",
    "replay",
    "trust",
)
MOVABLE = ("root", "packed_dir")  # under data: paths of the photographs and of the packed data set
PER_COMMAND = ("resume", "replay", "trust")  # given with each command


def may_change(key: str) -> bool:
    """Whether a full key may change when a run is resumed."""
    group, _, name = key.partition(".")
    return group in CHANGEABLE or (group == "data" and name in MOVABLE)

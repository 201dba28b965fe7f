"""Which keys of a run's config may change when the run is resumed."""

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
    "trust",
)
MOVABLE = ("root", "packed_dir")  # under data: paths of the photographs and of the packed data set

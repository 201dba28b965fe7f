"""Named random streams: every draw is a pure function of a name and a position."""

import hashlib


def derive_seed(name: str, *position: int) -> int:
    """A seed below 2^63 for the stream `name` at `position`, the same on every machine.

    Draws from it need no saved state: the position determines them.
    """
    text = ":".join([name, *map(str, position)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1

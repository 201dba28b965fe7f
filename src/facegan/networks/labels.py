"""The labels of a conditional network: their joint distribution, and orders for faces."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from facegan.core.checks import MANY, check_choice, check_number, check_share

MAX_COMBINATIONS = 4096  # that a weights file carries
MAX_LABELS = 1000
STREAM = 0x9E3779B9  # changes the bits of a seed: another random stream than its latent's
VALUES = {"-": -1.0, "?": 0.0, "+": 1.0}  # no, unknown, yes
PRIMES = [n for n in range(2, 180) if all(n % divisor for divisor in range(2, n))]


class LabelTable:
    """How often each combination of labels occurs in a data set.

    A label is 1 (yes), -1 (no) or 0 (unknown). `combinations` is (K, A), the most frequent first,
    `counts` is (K,), both float32.
    """

    def __init__(self, names: Sequence[str], counts: Mapping[str, int]) -> None:
        """`counts` maps combinations such as "+-?", a character for each name, to their number.

        Raises ValueError for other characters and lengths, and for numbers out of range.
        """
        if not 1 <= len(names) <= MAX_LABELS or not 1 <= len(counts) <= MAX_COMBINATIONS:
            raise ValueError(
                f"there must be 1 to {MAX_LABELS} labels with 1 to {MAX_COMBINATIONS} "
                f"combinations, got {len(names)} and {len(counts)}"
            )
        if any(len(text) != len(names) or {*text} - {*VALUES} for text in counts):
            raise ValueError("a combination must have a character of +-? for each label")
        for number in counts.values():
            check_number("the count of a combination", number, 1, MANY)
        self.names = tuple(map(str, names))
        self.config = {"names": list(self.names), "counts": dict(counts)}
        with torch.device("cpu"):  # a network may be built on the meta device
            self.combinations = torch.tensor([[VALUES[sign] for sign in text] for text in counts])
            self.counts = torch.tensor([*counts.values()], dtype=torch.float32)

    @classmethod
    def of(cls, names: Sequence[str], labels: Iterable[Sequence[int]]) -> "LabelTable":
        """The table of labels, (N, A) in {-1, 0, 1}, without their rarest combinations."""
        texts = ("".join("?+-"[label] for label in row) for row in labels)
        return cls(names, dict(Counter(texts).most_common(MAX_COMBINATIONS)))

    def draw(self, seeds: Iterable[int], order: Mapping[str, float] | None = None) -> Tensor:
        """Labels for faces, one row for each seed: (N, A).

        `order`: the share of faces, in [0, 1], that have an attribute. The labels without an order
        are drawn from the distribution, given the ordered ones. A seed with the same order has the
        same labels in every set of seeds. Raises ValueError for an unknown name or share.
        """
        shares: dict[int, float] = {}  # by column
        for name, share in (order or {}).items():
            check_choice("an attribute", name, self.names)
            check_share(name, share)
            shares[self.names.index(name)] = share
        drawn = [self._draw(int(seed), shares) for seed in seeds]
        return torch.stack(drawn) if drawn else torch.empty(0, len(self.names))

    def _draw(self, seed: int, shares: Mapping[int, float]) -> Tensor:
        columns = [*shares]
        wanted = torch.tensor([1.0 if has(shares[c], seed, c) else -1.0 for c in columns])
        # the least of exponential variables with these rates: a draw in proportion to the counts
        stream = torch.Generator().manual_seed(seed ^ STREAM)
        times = -torch.rand(len(self.counts), generator=stream).log() / self.counts
        missing = (self.combinations[:, columns] != wanted).sum(dim=1)
        times[missing > missing.min()] = torch.inf  # all fit, unless no combination does
        labels = self.combinations[times.argmin()].clone()
        labels[columns] = wanted
        return labels

    def share(self, order: Mapping[str, float]) -> float:
        """The share of the data with the labels that `order` gives to all faces or to none."""
        fits = torch.ones(len(self.counts), dtype=torch.bool)
        for name, share in order.items():
            if share in (0, 1):
                fits &= self.combinations[:, self.names.index(name)] == 2 * share - 1
        return float(self.counts[fits].sum() / self.counts.sum())


def has(share: float, seed: int, column: int) -> bool:
    """Whether a seed's face has an attribute that a share of the faces has.

    The seeds follow a Kronecker sequence (Niederreiter 1992, "Random Number Generation and
    Quasi-Monte Carlo Methods", section 3.1), so that of n consecutive ones n · share have it,
    within one or two.
    """
    step = PRIMES[column % len(PRIMES)] ** 0.5 % 1
    return (step * seed + 0.5) % 1 < share

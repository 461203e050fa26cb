"""What a workload is: one sample of a contender, the metrics that come of it, and the targets they are held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.contender import Contender


@dataclass(frozen=True)
class Scale:
    """How much is done in one run."""

    rounds: int
    #: Sequential hellos of one sample.
    hellos: int
    #: Instances started at once.
    burst: int
    #: Events raised one after the other.
    events: int
    stored: int
    steps: int
    waiting: tuple[int, ...]


QUICK = Scale(1, 40, 200, 10, 2_000, 500, (200,))
NORMAL = Scale(3, 100, 500, 30, 100_000, 2_000, (200, 10_000))
FULL = Scale(5, 100, 500, 50, 1_000_000, 2_000, (200, 10_000))


@dataclass(frozen=True)
class Target:
    """What `metric` of the contender `of` must be: `factor` times `base`'s (or an absolute figure, without a base).

    `most`: at most so much; otherwise at least.
    """

    of: str
    metric: str
    base: str | None
    factor: float
    most: bool = True
    #: The base's metric, if it is another.
    against: str = ""

    def met(self, ratio: float) -> bool:
        """Whether this ratio (or figure) is good enough."""
        return ratio <= self.factor if self.most else ratio >= self.factor


@dataclass(frozen=True)
class Workload:
    """A named measurement. `sample` answers metrics by name; units are part of the names ("p50 ms", "per s")."""

    key: str
    title: str
    sample: Callable[[Contender, Scale], Mapping[str, float]]
    targets: tuple[Target, ...] = ()
    #: Rounds, if fewer than the scale's: for what takes long.
    rounds: int | None = None
    #: Only these contenders (by name or by its first word), if not all.
    only: tuple[str, ...] = ()

    def suits(self, name: str) -> bool:
        """Whether a contender of this name takes part."""
        return not self.only or any(name == one or name.split(" ")[0] == one for one in self.only)

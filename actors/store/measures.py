"""What a process counts while it works, in plain dicts and lists; read by the registry when somebody asks for the numbers.

Counting is on the hot path, so it takes no lock and asks nothing: a counter is an entry of a dict, a histogram a list of counts
for fixed bounds. All of it is written by one process's event loop, or by its committer while the loop waits for that.
`METRICS` has everything that is measured, with its labels; nothing else can be counted. Numbers begin at 0 with the process;
`registry/measuring.py` makes hub-wide ones of them that go on over its restarts.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from durable_ray.actors.store.records import FINISHED
from durable_ray.actors.store.writes import (
    Answer,
    CommitTurn,
    Done,
    FinishUnstarted,
    Started,
    StartInstance,
    TurnCommitted,
    Write,
)

#: A metric's name and the values of its labels.
Series = tuple[str, ...]

#: Seconds.
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LONG = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)

#: Names of orchestrators (and of activities) that have series of their own; further ones share `OTHER`.
MOST_NAMES, OTHER = 200, "other"


class Metric(Struct, frozen=True):
    """A metric: its type, what it says, its labels and, of a histogram, its bounds."""

    kind: Literal["counter", "gauge", "histogram"]
    says: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


#: Without the prefix `durable_ray_`, and without the `_total` that Prometheus wants of counters.
METRICS: Mapping[str, Metric] = {
    "starts": Metric("counter", "Instances that were started, sub-orchestrations too", ("orchestrator",)),
    "completions": Metric("counter", "Instances that ended", ("orchestrator", "status")),
    "turns": Metric("counter", "Turns that were committed"),
    "turn_seconds": Metric("histogram", "From the moment an instance's turn is taken until it is durable", (), _FAST),
    "commit_seconds": Metric("histogram", "Time of one commit in the store", (), _FAST),
    "commit_size": Metric("histogram", "Turns, starts and messages in one commit", (), _SIZES),
    "commit_errors": Metric("counter", "Commits that the store did not make"),
    "activity_attempts": Metric(
        "counter",
        "Attempts of activities that ended: completed, failed, crashed (their process died too often) or cancelled",
        ("activity", "way", "outcome"),
    ),
    "activity_seconds": Metric("histogram", "From the start of an attempt until its result is here", ("way",), _LONG),
    "wakes": Metric("counter", "Notifications that the store has something for an instance"),
    "recoveries": Metric(
        "counter",
        "Instances under way that a new process loaded as it opened: after a crash, a move or passivation",
    ),
    "lease_losses": Metric(
        "counter", "Hosts that were fenced: another process had become the owner of their instances"
    ),
    "turns_queued": Metric("gauge", "Instances whose turn is next"),
    "commits_queued": Metric("gauge", "Submissions that wait for their commit"),
    "activities_running": Metric("gauge", "Attempts that were given to a process and have no result yet"),
    "instances_in_memory": Metric("gauge", "Instances that hosts hold in memory"),
    "instances": Metric("gauge", "Instances in the store", ("orchestrator", "status")),
    "instances_queued": Metric("gauge", "Instances that wait because max_running of theirs run", ("orchestrator",)),
    "permits_taken": Metric("gauge", "Attempts that hold a permit of a limited activity", ("activity",)),
    "permits_awaited": Metric("gauge", "Attempts that wait for a permit of a limited activity", ("activity",)),
    "places_taken": Metric("gauge", "Processes of dedicated instances"),
    "places": Metric("gauge", "Processes of dedicated instances that there may be at once; none if there is no limit"),
    "hosts": Metric("gauge", "Hosts that have a process and answered"),
    "hosts_unreachable": Metric(
        "gauge", "Hosts that have a process and did not answer in time: their numbers are missing"
    ),
    "workers": Metric("gauge", "Processes that run activities"),
    "store_bytes": Metric("gauge", "Size of the database, without the log that is ahead of it"),
    "mailbox_messages": Metric("gauge", "Messages that are stored and not taken by a turn yet"),
    "mailbox_age_seconds": Metric(
        "gauge",
        "For how long, at least, the oldest of them has waited: since it was first seen by a question for the numbers",
    ),
}


class Histogram(Struct):
    """How many values were at most each bound (the last: above all), and their sum."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Histogram:
        """An empty one."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, `times` over."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


class Measured(Struct):
    """The numbers of one process: counters and histograms since it began (µs), gauges as they are."""

    process: str
    began: int
    counters: dict[Series, float] = field(default_factory=dict)
    histograms: dict[Series, Histogram] = field(default_factory=dict)
    gauges: dict[Series, float] = field(default_factory=dict)


class Measures:
    """The counters of one process.

    Example:
        >>> measures = Measures(0)
        >>> measures.count("starts", "order")
        >>> measures.observe("turn_seconds", 0.002)
        >>> measures.snapshot.counters
        {('starts', 'order'): 1}
    """

    def __init__(self, began: int) -> None:
        self.snapshot = Measured(uuid.uuid4().hex, began)
        self._counters, self._histograms = self.snapshot.counters, self.snapshot.histograms
        self._names: set[str] = set()

    def count(self, *series: str, by: float = 1) -> None:
        """Count one more (or `by` more) of a counter, named with the values of its labels."""
        self._counters[series] = self._counters.get(series, 0) + by

    def observe(self, *series: str | float, times: int = 1) -> None:
        """Count a value of a histogram: its name, the values of its labels, the value."""
        *named, value = series
        self.histogram(*map(str, named)).observe(float(value), times)

    def histogram(self, *series: str) -> Histogram:
        """The histogram of this name and these labels; kept by those who count often."""
        found = self._histograms.get(series)
        if found is None:
            found = self._histograms[series] = Histogram.of(METRICS[series[0]].bounds)
        return found

    def name(self, name: str) -> str:
        """A name as a label's value: the first `MOST_NAMES` as they are, all others as one, whatever callers make up."""
        if name in self._names:
            return name
        if len(self._names) >= MOST_NAMES:
            return OTHER
        self._names.add(name)
        return name


def tally(measures: Measures, writes: Sequence[Write], answers: Sequence[Answer]) -> None:
    """Count what a commit has made durable: starts, turns, completions."""
    turns = 0
    for write, answer in zip(writes, answers, strict=True):
        if isinstance(write, CommitTurn) and isinstance(answer, TurnCommitted):
            turns += 1
            for child in write.children:
                if child.instance_id not in answer.conflicts:
                    measures.count("starts", measures.name(child.name))
            if write.status in FINISHED:
                measures.count("completions", measures.name(write.name), write.status)
        elif isinstance(write, FinishUnstarted) and isinstance(answer, Done):
            measures.count("completions", measures.name(write.name), write.status)
        elif isinstance(write, StartInstance) and isinstance(answer, Started):
            measures.count("starts", measures.name(write.new.name))
            replaced = answer.replaced
            if replaced is not None and not replaced.finished:
                measures.count("completions", measures.name(replaced.name), "Terminated")
    if turns:
        measures.count("turns", by=turns)

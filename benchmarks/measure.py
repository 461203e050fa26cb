"""Figures: medians with their spread, ratios of what was measured side by side, memory of a tree of processes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A median with the least and the greatest value."""

    median: float
    least: float
    greatest: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def latencies(work: Callable[[], object], n: int, budget: float = 10.0) -> list[float]:
    """Milliseconds of each of n calls, or of as many as fit into `budget` seconds."""
    found: list[float] = []
    end = time.perf_counter() + budget
    while len(found) < n and (not found or time.perf_counter() < end):
        found.append(seconds(work) * 1e3)
    return found


def ratios(ours: Sequence[float], base: Sequence[float]) -> Spread:
    """Round by round: what was measured in the same minute is compared, not what was measured in the same run."""
    return Spread.of([mine / other for mine, other in zip(ours, base, strict=False)])


def family(pids: Iterable[int]) -> set[int]:
    """These processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
    found: set[int] = set()
    todo = list(pids)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def memory(pids: Iterable[int]) -> Mapping[int, float]:
    """Each living process's own share of memory (PSS), in MiB, but for files: a process's share of libraries grows when any
    other process that has loaded them ends."""
    found: dict[int, float] = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                sizes = dict(line.split(":", 1) for line in rollup if line.startswith("Pss_"))
            found[pid] = sum(int(sizes[kind].split()[0]) for kind in ("Pss_Anon", "Pss_Shmem")) / 1024
        except (OSError, KeyError):
            continue
    return found

"""Runs the workloads in rounds: in each all contenders after one another, the reference before and after the others.

The machine's speed drifts within a run; figures of one round were taken within seconds of each other, so ratios are
made round by round and their median is reported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.contender import Contender, Skip
from benchmarks.workload import Scale, Workload


@dataclass
class Outcome:
    """What a workload gave: contender -> metric -> one value a round; contender -> why it did not take part."""

    workload: Workload
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    load: float = 0.0

    def values(self, contender: str, metric: str) -> list[float]:
        """One value a round; none if it was not measured."""
        return self.figures.get(contender, {}).get(metric, [])


def run(
    workload: Workload,
    contenders: Sequence[Contender],
    scale: Scale,
    say: Callable[[str], object],
    reference: str = "Ray actors",
) -> Outcome:
    """Measure one workload on all contenders that suit it."""
    outcome = Outcome(workload, load=os.getloadavg()[0])
    began = time.perf_counter()
    taking_part = [one for one in contenders if workload.suits(one.name)]
    first = [one for one in taking_part if one.name == reference]
    rounds = scale.rounds if workload.rounds is None else min(scale.rounds, workload.rounds)
    for number in range(rounds):
        samples: list[tuple[str, Mapping[str, float]]] = []
        for contender in [*taking_part, *first]:
            if contender.name in outcome.skipped:
                continue
            try:
                found = contender.sample(workload, scale)
            except Skip as why:
                outcome.skipped[contender.name] = str(why)
                continue
            except Exception as error:
                outcome.skipped[contender.name] = f"failed: {type(error).__name__}: {str(error)[:300]}"
                say(f"  {workload.key} {contender.name}: {outcome.skipped[contender.name]}")
                continue
            samples.append((contender.name, found))
            say(f"  {workload.key} round {number + 1} {contender.name}: {_shown(found)}")
        _add(outcome, samples)
    outcome.seconds = time.perf_counter() - began
    return outcome


def _add(outcome: Outcome, samples: Iterable[tuple[str, Mapping[str, float]]]) -> None:
    """A contender sampled twice in a round counts with the mean of both."""
    together: dict[tuple[str, str], list[float]] = {}
    for name, found in samples:
        for metric, value in found.items():
            together.setdefault((name, metric), []).append(value)
    for (name, metric), values in together.items():
        outcome.figures.setdefault(name, {}).setdefault(metric, []).append(sum(values) / len(values))


def _shown(found: Mapping[str, float]) -> str:
    return ", ".join(f"{metric} {value:.4g}" for metric, value in found.items())

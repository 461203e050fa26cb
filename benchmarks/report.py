"""The table: each metric of each contender with its spread, and each target with the ratio that decides it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.driver import Outcome
from benchmarks.measure import Spread, ratios
from benchmarks.workload import Target


@dataclass(frozen=True)
class Verdict:
    """A target with what was measured; `ratio` is None where one side is missing."""

    workload: str
    target: Target
    ratio: Spread | None
    met: bool | None

    def __str__(self) -> str:
        target = self.target
        bound = "at most" if target.most else "at least"
        versus = f" x {target.base}" if target.base else ""
        wanted = f"{target.of}, {target.metric}: {bound} {target.factor:g}{versus}"
        if self.ratio is None:
            return f"{wanted} - not measured"
        said = "met" if self.met else "NOT MET"
        return f"{wanted} - {number(self.ratio)} - {said}"


def verdicts(outcome: Outcome) -> list[Verdict]:
    """Each target of a workload, judged by the median of its ratios."""
    found = []
    for target in outcome.workload.targets:
        ours = outcome.values(target.of, target.metric)
        base = outcome.values(target.base, target.against or target.metric) if target.base else [1.0] * len(ours)
        ratio = ratios(ours, base) if ours and base else None
        met = None if ratio is None else target.met(ratio.median)
        found.append(Verdict(outcome.workload.key, target, ratio, met))
    return found


def number(spread: Spread) -> str:
    """`median (least-greatest)`."""
    if spread.n == 1:
        return f"{spread.median:.3g}"
    return f"{spread.median:.3g} ({spread.least:.3g}-{spread.greatest:.3g})"


def table(outcomes: Iterable[Outcome], durability: dict[str, str]) -> str:
    """Everything as Markdown."""
    lines = ["| workload | contender | measured: median (min-max) | durability |", "|---|---|---|---|"]
    judged: list[Verdict] = []
    for outcome in outcomes:
        work = outcome.workload
        for name, metrics in outcome.figures.items():
            cells = ", ".join(f"{metric} {number(Spread.of(values))}" for metric, values in metrics.items())
            lines.append(f"| {work.key} {work.title} | {name} | {cells} | {durability.get(name, '')} |")
        for name, why in outcome.skipped.items():
            lines.append(f"| {work.key} {work.title} | {name} | skipped: {why} | |")
        judged += verdicts(outcome)
    lines += ["", "| workload | target | ratio in this run: median (min-max) | |", "|---|---|---|---|"]
    lines += [_judged(verdict) for verdict in judged]
    return "\n".join(lines)


def _judged(verdict: Verdict) -> str:
    wanted, *rest = str(verdict).split(" - ")
    ratio, met = rest if len(rest) == 2 else (rest[0], "")
    return f"| {verdict.workload} | {wanted} | {ratio} | {met} |"


def missed(outcomes: Sequence[Outcome]) -> list[Verdict]:
    """The targets that were measured and not met."""
    return [verdict for outcome in outcomes for verdict in verdicts(outcome) if verdict.met is False]

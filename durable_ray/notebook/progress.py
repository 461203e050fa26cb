"""How far an instance has got, as a value whose text is one line.

By what the orchestrator says (`ctx.set_custom_status({"progress": 0.4})`, or `{"progress": [4, 10]}`), else by how many of the
activities and sub-orchestrations that it has asked for are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durable_ray.actors.instances.status import OrchestrationStatus
from durable_ray.notebook.markup import cut, lasting
from durable_ray.notebook.statuses import waits_for
from durable_ray.notebook.timeline import spans_of

_BAR = 20


@dataclass(frozen=True)
class Progress:
    """How far an instance has got; `str()` of it is one line.

    Attributes:
        status: the instance's.
        done, total: how many of what is to be done; both 0 if nothing is known of that.
        fraction: from 0 to 1; None if it is not known.
        waits_for: what it waits for, in words; empty if it waits for nothing.
        elapsed: since it was started.
    """

    status: OrchestrationStatus
    done: int
    total: int
    fraction: float | None
    waits_for: str
    elapsed: timedelta

    def __str__(self) -> str:
        status = self.status
        parts = [cut(status.instance_id, 40), str(status.runtime_status)]
        if status.runtime_status.finished:
            parts.append(f"after {lasting(self.elapsed)}")
            if status.failure is not None:
                parts.append(f"· {list(status.failure.chain())[-1]}")
            return " ".join(" ".join(parts).split())
        if self.fraction is not None:
            filled = round(self.fraction * _BAR)
            parts.append(f"{self.fraction:4.0%} [{'#' * filled}{'-' * (_BAR - filled)}]")
        if self.total:
            parts.append(f"{self.done} of {self.total}")
        parts.append(lasting(self.elapsed))
        custom = status.custom_status
        if custom is not None and not (isinstance(custom, dict) and set(custom) == {"progress"}):
            parts.append(f"· {cut(str(custom), 60)}")
        if self.waits_for:
            parts.append(f"· waits: {cut(self.waits_for, 80)}")
        return " ".join(" ".join(parts).split())

    @property
    def news(self) -> tuple[Any, ...]:
        """All but the time."""
        status = self.status
        return status.runtime_status, status.custom_status, self.done, self.total, self.waits_for

    @property
    def step(self) -> tuple[Any, ...]:
        """What changes when there is news worth a line of a log: not each of many activities, nor the time."""
        status = self.status
        tenth = None if self.fraction is None else int(self.fraction * 10)
        return str(status.runtime_status), tenth, self.waits_for if self.total <= 1 else "", status.waiting_reason


def progress_of(status: OrchestrationStatus, entries: Iterable[Mapping[str, Any]], elapsed: timedelta) -> Progress:
    """How far an instance has got, by its status and its history (which may be left out where it is long).

    Example:
        >>> progress_of(status, (), timedelta(seconds=3)).fraction  # doctest: +SKIP
        0.4
    """
    entries = list(entries)
    done, total = said_by(status.custom_status) or _counted(entries)
    fraction = _fraction_said(status.custom_status)
    if fraction is None and total:
        fraction = min(1.0, done / total)
    return Progress(status, done, total, fraction, waits_for(status, entries), elapsed)


def said_by(custom_status: Any) -> tuple[int, int] | None:
    """Done and total, if the custom status has them as `{"progress": [done, total]}`.

    Example:
        >>> said_by({"progress": [4, 10]}), said_by({"progress": 0.4})
        ((4, 10), None)
    """
    said = custom_status.get("progress") if isinstance(custom_status, dict) else None
    if isinstance(said, list | tuple) and len(said) == 2 and all(type(part) is int and part >= 0 for part in said):
        return said[0], said[1]
    return None


def _fraction_said(custom_status: Any) -> float | None:
    said = custom_status.get("progress") if isinstance(custom_status, dict) else None
    known = isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= 1
    return float(said) if known and said is not None else None


def _counted(entries: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    work = [span for span in spans_of(entries) if span.kind in ("activity", "child")]
    return sum(span.end is not None for span in work), len(work)

"""What `doctor` finds of a hub that answers: instances that make no progress, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from durable_ray.cli.hub.port import HubPort, InstanceView
from durable_ray.client.json_views import by_status

Level = Literal["ok", "warning", "problem"]

#: A sweep of the registry is due every few seconds: what is later than this is not merely waiting for one.
_LATE = timedelta(minutes=1)
_LONG = timedelta(hours=1)
_FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. `remedy`: what to do about a warning or a problem."""

    level: Level
    subject: str
    detail: str
    remedy: str = ""


def hub_findings(hub: HubPort) -> list[CheckResult]:
    """How many instances there are, and how many failed."""
    numbers = by_status(hub.counts())
    detail = ", ".join(f"{number} {status}" for status, number in sorted(numbers.items()))
    found = [CheckResult("ok", "instances", detail or "none")]
    if failed := numbers.get("Failed"):
        remedy = "deploy the fix, then: durable-ray list --status Failed --ids | durable-ray rewind -"
        found.append(CheckResult("warning", "failed instances", str(failed), remedy))
    return found


def stuck(instances: Iterable[InstanceView], now: datetime) -> Iterator[CheckResult]:
    """What is wrong with the live ones among these; those that merely wait for what they asked for are well."""
    for one in instances:
        if one.finished:
            continue
        finding = _stuck(one, now)
        if finding is not None:
            yield finding


def unplaced(instances: Iterable[InstanceView]) -> Iterator[CheckResult]:
    """Activities that wait for what the cluster does not have or not free, of instances shown with all that they wait for."""
    for one in instances:
        for wait in one.waiting_for or ():
            if wait["kind"] == "resource":
                detail = f"activity {wait['name']!r} waits: {wait['detail']}"
                remedy = "add a node that has it, or lower what @activity(...) asks for; `ray status` shows all demand"
                yield CheckResult("problem", f"instance {one.instance_id}", detail, remedy)
                break


def damaged(found: Iterable[tuple[str, str]]) -> Iterator[CheckResult]:
    """Instances, in memory or passivated, whose stored history is damaged."""
    for instance_id, detail in found:
        remedy = f"restore the store from a backup (docs/operations.md), or: durable-ray terminate {instance_id}"
        yield CheckResult("problem", f"instance {instance_id}", detail, remedy)


def _stuck(one: InstanceView, now: datetime) -> CheckResult | None:
    who = f"instance {one.instance_id}"
    silent = now - one.updated_at
    if one.waiting_reason == "max_running":
        return None
    if one.waiting_reason:
        return CheckResult("problem", who, f"waits for {one.waiting_reason}", _remedy(one))
    if one.status == "Suspended":
        if silent < _FORGOTTEN:
            return None
        return CheckResult(
            "warning", who, f"suspended for {_days(silent)}", f"durable-ray resume {one.instance_id}, or terminate"
        )
    if one.status == "Pending":
        late = now - max(one.scheduled_start or one.created_at, one.created_at)
        if late < _LATE:
            return None
        detail = f"has not begun for {_days(late)}"
        if one.placement == "dedicated":
            return CheckResult(
                "problem",
                who,
                f"{detail}: no room for its actor",
                "raise max_dedicated, or start with --placement shared",
            )
        return CheckResult("problem", who, detail, "durable-ray up brings missing hosts back")
    if one.next_due is not None and now - one.next_due > _LATE:
        return CheckResult(
            "problem", who, f"overdue for {_days(now - one.next_due)}", "durable-ray up brings missing hosts back"
        )
    if one.recoveries:
        detail = f"its process died {one.recoveries} times during its turns"
        return CheckResult(
            "warning", who, detail, "look for os._exit, native code or too little memory in the orchestrator"
        )
    if one.outstanding and silent > _LONG:
        detail = f"{one.outstanding} activities under way, nothing new for {_days(silent)}"
        return CheckResult(
            "warning", who, detail, f"durable-ray history {one.instance_id} shows which; give activities a timeout="
        )
    return None


def _remedy(one: InstanceView) -> str:
    reason = one.waiting_reason or ""
    if reason.startswith("code") and "packed by Python" in reason:
        return (
            f"run its hosts on that Python; or deploy it from the new one, durable-ray terminate {one.instance_id}, and then "
            f"durable-ray rewind {one.instance_id} --latest (docs/production.md)"
        )
    if reason.startswith("code"):
        return "durable-ray deploy its module again (or install what is missing on every node); it goes on by itself"
    if reason.startswith("history"):
        return f"restore the store from a backup (docs/operations.md), or: durable-ray terminate {one.instance_id}"
    if reason.startswith("host"):
        return (
            "mend what it names (Ray's log of the host has more); it is tried again by itself, a minute later at most"
        )
    if reason.startswith("admission"):
        return "raise max_dedicated, or start with --placement shared"
    return f"durable-ray history {one.instance_id}"


def _days(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

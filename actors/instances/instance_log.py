"""The log of instances, logger `durable_ray.instances`: what an operator reads at INFO, what one follows at DEBUG.

INFO has one line for each start, completion, failure, termination and recovery, and for each host that was fenced. DEBUG has
one line for each step of an instance (`trace`), so that `grep` of its ID shows its way from the start to the end. A process
of the hub shows what DURABLE_RAY_LOG_LEVEL asks for; without it INFO, but no completions, of which there may be thousands a
second.
"""

from __future__ import annotations

import logging
import os

from durable_ray.orchestrations.history.snapshot import Snapshot
from durable_ray.orchestrations.values.payloads import Payload, is_pickled

log = logging.getLogger("durable_ray.instances")
#: Apart, so that it can be turned off by itself.
completions = logging.getLogger("durable_ray.instances.completed")

LEVEL_VARIABLE = "DURABLE_RAY_LOG_LEVEL"
#: Characters of a reason that are logged.
_MAX_REASON = 500


def started(instance_id: str) -> None:
    """A start was accepted and is durable; logged by the process that starts. The sentence is Durable Functions'."""
    log.info("Started orchestration with ID = '%s'.", instance_id)


def finished(snapshot: Snapshot) -> None:
    """The last turn of an instance is durable."""
    if snapshot.status == "Terminated":
        terminated(snapshot.instance_id, snapshot.output)
    elif snapshot.status == "Failed":
        if log.isEnabledFor(logging.INFO):
            log.info("Failed orchestration with ID = '%s'. Failure: %s", snapshot.instance_id, _failure(snapshot))
    else:
        completions.info("Completed orchestration with ID = '%s'.", snapshot.instance_id)


def terminated(instance_id: str, reason: Payload | None) -> None:
    """A termination is durable."""
    if log.isEnabledFor(logging.INFO):
        log.info("Terminated orchestration with ID = '%s'. Reason: %s", instance_id, _reason(reason))


def recovered(instance_id: str, recoveries: int) -> None:
    """A new process of the instance's host has taken over from one that died while the instance's code ran."""
    log.info("Recovered orchestration with ID = '%s' after its host died; recovery %d.", instance_id, recoveries)


def fenced(host: str, epoch: int) -> None:
    """Another process owns this host."""
    log.error("Fenced host '%s' (epoch %d): another process owns it, this one ends.", host, epoch)


def trace(
    step: str,
    instance_id: str,
    execution_id: str = "",
    turn: int | None = None,
    task: int | None = None,
    **more: object,
) -> None:
    """Log one step of an instance at DEBUG. Called only where `log.isEnabledFor(logging.DEBUG)`: all that the hot path pays."""
    known = {"instance": instance_id, "execution": execution_id or None, "turn": turn, "task": task, **more}
    log.debug("%s: %s", step, " ".join(f"{name}={value}" for name, value in known.items() if value is not None))


def show() -> None:
    """Write the log to this process's standard error, if nobody has configured logging otherwise."""
    level = os.environ.get(LEVEL_VARIABLE, "").upper()
    if level in logging.getLevelNamesMapping():
        log.setLevel(level)
    else:
        log.setLevel(logging.INFO)
        completions.setLevel(logging.WARNING)
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        log.addHandler(handler)


def _failure(snapshot: Snapshot) -> str:
    # An error's text may have line breaks, and must not forge a line.
    return _short(repr(str(snapshot.failure))[1:-1])


def _reason(reason: Payload | None) -> str:
    # Payloads are JSON, in which control characters are escaped.
    if reason is None:
        return "none given"
    return "a Python value" if is_pickled(reason) else _short(reason)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."

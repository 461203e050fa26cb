"""The log of instances' lives, for operators: who was started, and who was terminated and why.

The logger `durable_ray.instances`, at INFO. A start is logged by whoever starts (the process of the client, of the gateway),
a termination by whoever commits it (a host, the registry): neither costs a turn anything.
"""

from __future__ import annotations

import logging

from durable_ray.orchestrations.values.payloads import PICKLED, Payload

log = logging.getLogger("durable_ray.instances")

#: Characters of a reason that are logged.
_MAX_REASON = 500


def started(instance_id: str) -> None:
    """A start was accepted and is durable. The sentence is Durable Functions'."""
    log.info("Started orchestration with ID = '%s'.", instance_id)


def terminated(instance_id: str, reason: Payload | None) -> None:
    """A termination is durable."""
    if log.isEnabledFor(logging.INFO):
        log.info("Terminated orchestration with ID = '%s'. Reason: %s", instance_id, _shown(reason))


def show() -> None:
    """Write the log to this process's standard error, if nobody has configured logging otherwise."""
    log.setLevel(logging.INFO)
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        log.addHandler(handler)


def _shown(reason: Payload | None) -> str:
    # Payloads are JSON, in which control characters are escaped: a reason cannot forge a line.
    if reason is None:
        return "none given"
    if reason.startswith(PICKLED):
        return "a Python value"
    return reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}..."

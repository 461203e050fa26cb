"""A hundred thousand finished instances, quickly: none is run, each is written as one that did nothing leaves itself.

Written through the store's own commits (a start and its one turn in one transaction), so indexes and counters are as if
each had been run. They have no history.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from durable_ray.actors.store.records import NewInstance
from durable_ray.actors.store.writes import CommitTurn, StartInstance, Write

_GROUP = 1_000


def filled(hub: Any, n: int) -> list[str]:
    """IDs of n completed instances of the hub, created from now on."""
    ids: list[str] = []
    fence = hub.store.acquire_lease("benchmark-filler")
    while len(ids) < n:
        group = [uuid.uuid4().hex for _ in range(min(_GROUP, n - len(ids)))]
        writes: list[Write] = []
        for instance_id in group:
            writes += _whole_life(instance_id, int(time.time() * 1e6))
        hub.store.commit(fence, writes)
        ids += group
    return ids


def _whole_life(instance_id: str, now: int) -> list[Write]:
    new = NewInstance(instance_id, "e1", "empty", "benchmark-filler", "shared", now)
    turn = CommitTurn(
        instance_id=instance_id,
        execution_id="e1",
        host="benchmark-filler",
        turn=0,
        name="empty",
        old_status="Pending",
        status="Completed",
        updated_at=now,
        body="",
        first_event=0,
        events=0,
        started_at=now,
        completed_at=now,
        next_due=None,
        output="null",
        custom_status=None,
        failure=None,
        waiting_reason=None,
    )
    return [StartInstance(new, "reject", None), turn]

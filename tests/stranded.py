"""The check for stranded instances: every live one must have a pending message, timer or task, or wait for an outside event.

What the code waits for is known only to the code; but all else that could continue an instance is in its history and its
row, and the two must agree. An oracle for tests after faults and races.
"""

from __future__ import annotations

from collections.abc import Iterator

from durable_ray.actors.errors import DamagedHistory
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import LIVE, InstanceQuery, Loaded
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import ParentAddress
from durable_ray.orchestrations.history.snapshot import Snapshot

_PAGE = 500


def stranded(store: Store, now: int, *, at_rest: bool = False) -> list[str]:
    """Sentences about live instances that nothing will continue; empty if there are none.

    Args:
        now: µs since the epoch.
        at_rest: nothing is in progress, so no message, due time or activity may be left over either.

    Example:
        >>> from durable_ray.actors.store.opening import open_store
        >>> stranded(open_store("sqlite://"), 0)
        []
    """
    return [sentence for loaded in _active(store) for sentence in _stranded(store, loaded, now, at_rest)]


def _active(store: Store) -> Iterator[Loaded]:
    token: str | None = None
    while True:
        page = store.query(InstanceQuery(statuses=LIVE, payloads="none"), _PAGE, token)
        yield from store.load([row.instance_id for row in page.rows]).values()
        token = page.token
        if token is None:
            return


def _stranded(store: Store, loaded: Loaded, now: int, at_rest: bool) -> Iterator[str]:
    row = loaded.row
    name = f"{row.status} instance {row.instance_id!r}"
    if row.turn == 0:
        if row.queued:
            return
        if row.next_due is None:
            yield f"{name} never had a turn and is not due for one"
        elif at_rest and row.next_due <= now and row.waiting_reason is None:
            yield f"{name} was due for its first turn and did not have it"
        return
    try:
        _, snapshot = restore(loaded)
    except DamagedHistory as error:
        yield str(error)
        return
    due = snapshot.next_due()
    if due is not None and (row.next_due is None or row.next_due > due):
        yield f"{name} has something due at {due}, but its row says {row.next_due}"
    if row.outstanding != len(snapshot.activities):
        yield f"{name} has {len(snapshot.activities)} activities under way, but its row says {row.outstanding}"
    yield from _unanswered(store, snapshot, loaded, name)
    if at_rest:
        yield from _left_over(snapshot, loaded, now, name)


def _unanswered(store: Store, snapshot: Snapshot, loaded: Loaded, name: str) -> Iterator[str]:
    """Sub-orchestrations that will never send their result."""
    answered = {message.message_id for message in loaded.inbox}
    for task_id, task in snapshot.children.items():
        if task_id in snapshot.retries or not isinstance(task.scheduled, ev.ChildScheduled):
            continue
        child_id = task.scheduled.instance_id
        child = store.rows([child_id]).get(child_id)
        address = ParentAddress(snapshot.instance_id, snapshot.execution_id, task_id)
        mine = child is not None and child.parent == address
        expected = f"{snapshot.execution_id}:{task_id}:refused" in answered
        if child is not None and mine:
            expected = expected or not child.finished or f"{child.execution_id}:done" in answered
        if not expected:
            stands = "absent" if child is None else child.status if mine else "another's"
            yield f"{name} waits for its child {child_id!r}, which is {stands} and has sent no answer"


def _left_over(snapshot: Snapshot, loaded: Loaded, now: int, name: str) -> Iterator[str]:
    due = snapshot.next_due()
    if loaded.inbox:
        yield f"{name} has {len(loaded.inbox)} messages that nobody takes"
    if due is not None and due <= now:
        yield f"{name} was due at {due} and did nothing"
    running = [task_id for task_id in snapshot.activities if task_id not in snapshot.retries]
    if running:
        yield f"{name} waits for activities {running} that nobody runs"

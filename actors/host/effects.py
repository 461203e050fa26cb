"""What the instances of a host have sent out: activities under way, and the results that come back for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from durable_ray.actors.activities.ports import Activities, ActivityResult, Address, Invocation
from durable_ray.actors.clock import Clock
from durable_ray.actors.host.late_results import LateResults
from durable_ray.actors.host.message_delivery import Redelivery
from durable_ray.actors.host.turn_scheduler import Lanes
from durable_ray.actors.host.turns import Turn
from durable_ray.actors.instances.active_instance import Letter, Live
from durable_ray.actors.instances.instance_cache import Residence
from durable_ray.actors.store.committer import Committer
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.history.rewinding import just_rewound
from durable_ray.orchestrations.history.transition import Append


class Errands:
    """Sends activities out after the commit, and brings each result to whoever still wants it."""

    def __init__(
        self,
        residence: Residence,
        lanes: Lanes,
        redelivery: Redelivery,
        clock: Clock,
        committer: Committer,
        fenced: Callable[[], None],
    ) -> None:
        self._residence = residence
        self._lanes = lanes
        self._redelivery = redelivery
        self.late = LateResults(clock, committer, self.acknowledge, redelivery.bring, fenced)
        #: Set by the host, whose activities report to `result`.
        self.activities: Activities

    def send(self, live: Live, append: Append, execution_id: str) -> None:
        """A turn of `live` is durable: begin what it scheduled, stop what it gave up."""
        if append.dispatch and not live.snapshot.finished:
            self.activities.submit([_invocation(live, task_id) for task_id in append.dispatch])
        if append.cancel:
            self.activities.cancel([Address(live.instance_id, execution_id, *task) for task in append.cancel.items()])

    def admit(self, live: Live) -> None:
        """`live` was loaded: ask for what it has under way.

        After a rewind not before its code has said what it still asks for (`rewinding.py`).
        """
        self.late.forget(live.instance_id)
        live.withheld = just_rewound(self._residence.histories[live.instance_id])
        if not live.withheld:
            self.release(live)

    def release(self, live: Live) -> None:
        """Ask for what `live` has under way. What still runs, here or on a worker, is not run twice."""
        live.withheld = False
        under_way = [task_id for task_id in live.snapshot.activities if task_id not in live.snapshot.retries]
        if under_way:
            self.activities.submit([_invocation(live, task_id) for task_id in under_way])

    def ended(self, live: Live, turn: Turn) -> None:
        """`live` has ended by this turn: results that it has not taken by then came too late for it."""
        self.late.keep(live, turn)
        self.acknowledge(
            [letter for letter in live.letters if not self.late.take(live.instance_id, letter)], live.instance_id
        )

    def result(self, address: Address, event: ActivityResult) -> None:
        """An activity answered. Its address decides whether anybody still wants to know."""
        message_id = f"{address.execution_id}:{address.task_id}:{address.attempt}"
        letter = Letter(Message(message_id, event, address.execution_id))
        live = self._residence.peek(address.instance_id)
        if live is None and self.late.take(address.instance_id, letter):
            return
        if live is None:
            self._redelivery.bring(address.instance_id, [letter])
        elif live.snapshot.execution_id == address.execution_id and address.task_id in live.snapshot.activities:
            self._lanes.post(live, letter)
        else:
            self.acknowledge([letter], address.instance_id)

    def acknowledge(self, letters: Iterable[Letter], instance_id: str) -> None:
        """The results among these are durable (or nobody's): whoever keeps them may let go."""
        results = [
            Address(instance_id, letter.message.execution_id or "", event.task_id, event.attempt)
            for letter in letters
            if isinstance(event := letter.message.event, ev.ActivityCompleted | ev.ActivityFailed)
        ]
        if results:
            self.activities.acknowledge(results)


def _invocation(live: Live, task_id: int) -> Invocation:
    task = live.snapshot.activities[task_id]
    assert isinstance(task.scheduled, ev.ActivityScheduled)
    address = Address(live.instance_id, live.snapshot.execution_id, task_id, task.attempt)
    return Invocation(address, task.scheduled.name, task.code_id, task.scheduled.input)

"""The ports of a host: other actors, the crash marker; and how an attempt of an activity is addressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed, Payload


class Address(Struct, frozen=True):
    """The full address of an activity's result. A result for another execution or attempt is dropped."""

    instance_id: str
    execution_id: str
    task_id: int
    attempt: int


class Invocation(Struct, frozen=True):
    """One attempt of an activity, to be run somewhere."""

    address: Address
    name: str
    code_id: str
    input: Payload | None


ActivityResult = ActivityCompleted | ActivityFailed
#: Called on the host's event loop, once per invocation (a second time is harmless: the address check drops it).
OnResult = Callable[[Address, ActivityResult], None]


class Peers(Protocol):
    """The other actors of the hub. All one-way: what a lost notification was about is found by a sweep of the store."""

    def notify(self, host: str, instance_ids: Iterable[str], resident: bool) -> None:
        """The store has something for these instances of `host`; `resident` False: it has to be activated."""

    def finished(self, instance_ids: Iterable[str]) -> None:
        """These dedicated instances have ended (the registry may admit others)."""

    def fenced(self, host: str) -> None:
        """This process is not the owner of `host` any more and must end without being restarted.
        The registry is informed, and has the work of `host` done elsewhere."""


class Marker(Protocol):
    """A crash marker that survives this process: which instance's turn is being run."""

    def set(self, instance_id: str) -> None:
        """This instance's code runs now."""

    def clear(self) -> None:
        """No instance's code runs now."""

    def timed_out(self) -> bool:
        """Whether the previous process was ended because the code that ran took too long; cleared by being read."""

    def take(self) -> str | None:
        """The instance whose code ran when the previous process died; cleared by being read."""

    def remove(self) -> None:
        """Delete it: the host passivates, so no instance's code will run in it."""

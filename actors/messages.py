"""What clients, hosts and the registry say to each other. Values only; a code here is one word, never an exception.

Every request that changes something carries a `request_id`; `retry` says that the sender does not know what became of an
earlier try, so the receiver looks for its recorded outcome first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from durable_ray.actors.store.records import IfExists, InstanceRow, Placement
from durable_ray.orchestrations.history.events import Message, Payload

#: What clients, hosts and registry of a hub have to agree on; raised when a message between them changes its meaning.
PROTOCOL = 3

ReplyCode = Literal[
    "ok",  # done, durably
    "exists",  # the ID is taken (`row` says by whom)
    "absent",  # no such instance
    "finished",  # it has ended (`detail` is its status)
    "refused",  # not in a state for this (`detail` says why)
    "moved",  # not here, or not yet; ask the registry where, and there again (`retry`)
    "unknown",  # no such definition
    "mismatch",  # its history does not replay on that code (`detail` says where)
]


class StartOptions(Struct, frozen=True):
    """What a starter asks for. `named`: it chose the ID. `start_at` is a time, `delay` counts from the start (µs)."""

    name: str
    instance_id: str
    execution_id: str
    named: bool
    input: Payload | None = None
    version: str | None = None
    start_at: int | None = None
    delay: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    placement: Placement | None = None
    priority: int | None = None


class StartRequest(Struct, frozen=True):
    """Begin an instance. Sent to the partition of a random ID, and to the registry for a chosen one."""

    request_id: str
    start_options: StartOptions
    if_exists: IfExists = "reject"
    retry: bool = False
    #: Definitions' revision the sender has seen; the host catches up first, so that "deploy, then start" holds.
    revision: int = 0
    #: A message delivered with the start, in the same transaction (signal-with-start): to the instance that is there
    #: then, so only a start that lets an existing one be can carry it. A refused one would deliver it all the same.
    signal: Message | None = None

    def __post_init__(self) -> None:
        if self.signal is not None and self.if_exists != "use_existing":
            raise ValueError(f'a start with a signal has if_exists="use_existing", not {self.if_exists!r}')


class Delivery(Struct, frozen=True):
    """A message for an instance."""

    request_id: str
    instance_id: str
    message: Message
    retry: bool = False
    #: Only for the instance that was created then (µs), which continue-as-new keeps; no later one of the ID hears of it.
    created_at: int | None = None


class Reply(Struct, frozen=True):
    """What became of a request."""

    code: ReplyCode
    detail: str = ""
    row: InstanceRow | None = None
    host: str = ""
    placement: Placement = "shared"


def started_anew() -> Reply:
    """What is said of a request for an instance that was, where its ID has another by now."""
    return Reply("absent", "another instance was started under its ID meanwhile")


class Ending(Struct, frozen=True):
    """How an instance ended. `status` may also be "absent" (there is none) or "moved" (another host has it)."""

    instance_id: str
    status: str
    output: Payload | None = None
    failure: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Hello:
    """Who answers, for whom, and which protocol it speaks. A dataclass as ever, so that other releases can read it."""

    host: str
    hub: str
    protocol: int
    epoch: int
    pid: int
    #: With its password, and so never shown as it is.
    store: str = dataclasses.field(repr=False)
    version: str = ""
    partitions: int = 0
    #: The process is about to end: whoever wants the host makes another.
    leaving: bool = False


class PurgedPage(Struct, frozen=True):
    """What one step of a purge did, and the token that continues it; None if it has come to its end."""

    deleted: int
    token: str | None

"""The messages between clients, hosts and the registry: requests and replies, as plain values.

Every request that changes something carries a `request_id`; `retry` means that the sender does not know the outcome of an
earlier attempt, so the receiver reads its receipt first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from durable_ray.actors.store.records import IfExists, InstanceRow, Placement
from durable_ray.orchestrations.history.events import Message, Payload

#: What clients, hosts and registry of a hub have to agree on; raised when a message between them changes its meaning.
PROTOCOL = 3

ReplyCode = Literal[
    "ok",  # done, durably
    "exists",  # the ID is taken (`row` is the instance that has it)
    "absent",  # no such instance
    "finished",  # it has ended (`detail` is its status)
    "refused",  # not in a state for this (`detail` says why)
    "moved",  # not here, or not yet; ask the registry where, and there again (`retry`)
    "unknown",  # no such definition
    "mismatch",  # its history does not replay on that code (`detail` says where)
]


class StartOptions(Struct, frozen=True):
    """The options of a start. `named`: the caller chose the ID. `start_at` is a time, `delay` counts from the start (µs)."""

    name: str = ""
    instance_id: str = ""
    execution_id: str = ""
    named: bool = False
    input: Payload | None = None
    version: str | None = None
    start_at: int | None = None
    delay: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    placement: Placement | None = None
    priority: int | None = None

    @classmethod
    def like(cls, record: object, **given: Any) -> StartOptions:
        """The options that a row or the action of a schedule has, in fields of the same names; but for those `given`."""
        return cls(**{name: getattr(record, name) for name in cls.__struct_fields__ if hasattr(record, name)} | given)


class StartRequest(Struct, frozen=True):
    """Start an instance. Sent to the partition of a random ID, and to the registry for a chosen one."""

    request_id: str
    start_options: StartOptions
    if_exists: IfExists = "reject"
    retry: bool = False
    #: The definitions' revision that the sender has seen; the host refreshes first, so that "deploy, then start" holds.
    revision: int = 0
    #: A message delivered with the start, in the same transaction (signal-with-start): to the instance that is there
    #: then, so only a start with "use_existing" can carry it: a refused start would deliver it all the same.
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
    #: Only for the instance that was created then (µs), which continue-as-new keeps; not for a later one of the ID.
    created_at: int | None = None


class Reply(Struct, frozen=True):
    """The outcome of a request."""

    code: ReplyCode
    detail: str = ""
    row: InstanceRow | None = None
    host: str = ""
    placement: Placement = "shared"


class ScheduleReply(Struct, frozen=True):
    """The outcome of a request about a schedule; `state` is the text of the schedule as it is then (`ScheduleState`)."""

    code: Literal[
        "ok",  # done, durably
        "exists",  # there is one of this ID
        "absent",  # there is none
        "unknown",  # its orchestrator is not deployed (`detail` says which)
        "invalid",  # it cannot be (`detail` says why)
        "version",  # it was changed meanwhile
        "state",  # it is not in a state for this (`detail` says why)
    ]
    detail: str = ""
    state: str | None = None


def started_anew() -> Reply:
    """The reply to a request for an instance whose ID belongs to a later one by now."""
    return Reply("absent", "another instance was started under its ID meanwhile")


class Ending(Struct, frozen=True):
    """How an instance ended. `status` may also be "absent" (there is none) or "moved" (another host has it)."""

    instance_id: str
    status: str
    output: Payload | None = None
    failure: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Hello:
    """The handshake: host, hub and protocol of a process. A dataclass as ever, so that other releases can read it."""

    host: str
    hub: str
    protocol: int
    epoch: int
    pid: int
    #: The URL with its password, therefore not in `repr`.
    store: str = dataclasses.field(repr=False)
    version: str = ""
    partitions: int = 0
    #: The process is about to exit; the host needs another.
    leaving: bool = False


class PurgedPage(Struct, frozen=True):
    """The outcome of one step of a purge, and its continuation token; None if the purge is complete."""

    deleted: int
    token: str | None

"""Histories outside of their store: one line of JSON for each instance, for a developer's machine or for CI.

The line has the events as the store has them, with their payloads, so it is as confidential as the inputs and outputs are. A
value that JSON cannot say stands there as a pickle, which whoever replays the line has to trust.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from durable_ray.actors.instances.histories import restore
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import LIVE, InstanceQuery, Loaded
from durable_ray.orchestrations.history.codec import decode_events, encode_events
from durable_ray.orchestrations.history.events import Event

#: Raised only when older releases could no longer read what this one writes.
_FORMAT = 1
_PAGE = 100


class NotExported(ValueError):
    """A text is no exported history; the message says where and why."""


class ExportedHistory(Struct, frozen=True):
    """The history of one execution, and what is needed to replay it.

    Attributes:
        how: "reference": its code is the package that is installed, so that another release of it is its code from then on;
            "value": it keeps the code that it began with.
        history: the events, oldest first.
    """

    instance_id: str
    execution_id: str
    name: str
    version: str
    status: str
    how: str
    history: tuple[Event, ...]

    def to_json(self) -> str:
        """The history as one line."""
        head = {name: getattr(self, name) for name in self.__struct_fields__[:-1]}
        return json.dumps({"durable_ray_history": _FORMAT, **head, "history": json.loads(encode_events(self.history))})

    @classmethod
    def from_json(cls, line: str) -> ExportedHistory:
        """What `to_json` wrote. Raises NotExported."""
        try:
            found = json.loads(line)
            form = found.pop("durable_ray_history", None)
            if form != _FORMAT:
                raise NotExported(f"its format is {form!r}, this release reads {_FORMAT}: upgrade durable_ray")
            events = tuple(decode_events(json.dumps(found.pop("history"))))
            given = msgspec.convert(found, dict[str, str])
            return cls(**given, history=events)
        except NotExported:
            raise
        except Exception as error:
            raise NotExported(f"this is no exported history ({type(error).__name__}: {error})") from error


def exported(store: Store, instance_ids: Sequence[str] | None = None) -> Iterator[ExportedHistory]:
    """The histories of these instances, or of all that have not ended.

    Raises:
        DamagedHistory: one cannot be trusted.
        LookupError: there is no such instance.
    """
    if instance_ids is not None:
        for instance_id in instance_ids:
            loaded = store.load([instance_id]).get(instance_id)
            if loaded is None:
                raise LookupError(instance_id)
            yield _exported(store, loaded)
        return
    token: str | None = None
    while True:
        page = store.query(InstanceQuery(statuses=LIVE, payloads="none"), _PAGE, token)
        for loaded in store.load([row.instance_id for row in page.rows]).values():
            if loaded.row.turn:
                yield _exported(store, loaded)
        token = page.token
        if token is None:
            return


def _exported(store: Store, loaded: Loaded) -> ExportedHistory:
    row = loaded.row
    events, snapshot = restore(loaded)
    code = store.definition("orchestrator", row.name, code_id=snapshot.code_id or row.code_id)
    how = "value" if code is None else code.how
    return ExportedHistory(row.instance_id, row.execution_id, row.name, row.version, row.status, how, tuple(events))


def read_histories(lines: Iterable[str]) -> Iterator[ExportedHistory]:
    """The histories of a file of such lines. Raises NotExported, with the number of the line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield ExportedHistory.from_json(line)
            except NotExported as error:
                raise NotExported(f"line {number}: {error}") from error

"""New code against histories, before it is deployed: what would break, where, and how to go on.

What "break" means depends on how the code of an instance is stored. By reference its code *is* the installed package: it breaks
when its host starts with the new one. By value it keeps what it began with, whatever is deployed; only `rewind --latest` would
be refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from durable_ray.actors.code.packing import pickle_value
from durable_ray.actors.instances.audit.exporting import ExportedHistory
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.engine.replaying import replay_outcome
from durable_ray.orchestrations.engine.work import PayloadCodec
from durable_ray.orchestrations.values.payloads import Payload, decode, encode

CodeVerdict = Literal["ok", "breaks", "keeps", "differs", "absent"]


class JsonAlone:
    """A codec for histories of unknown origin: a pickled value in them is refused, for opening one may run any code."""

    __slots__ = ()

    def encode(self, value: object) -> Payload:
        """Write a value as a payload."""
        return encode(value, pickler=pickle_value)

    def decode(self, payload: Payload | None, hint: object = None) -> Any:
        """Read a payload as `hint` says. Raises UnreadablePayload for a pickle."""
        return None if payload is None else decode(payload, hint)


JSON_ALONE = JsonAlone()


class CodeCheck(Struct, frozen=True):
    """What becomes of one instance on the code that was checked.

    Attributes:
        verdict: "ok": it goes on. "breaks": it fails with a NonDeterminismError when its host has the new code. "keeps": its
            history does not replay, but it keeps the code that it has. "differs": its history replays, and then the code does
            something that the old one did not do there. "absent": the code has no orchestrator of its name.
        event: the number of the event at which it does not replay.
        detail: what the code does there.
        remedy: how to go on.
    """

    instance_id: str
    name: str
    version: str
    verdict: CodeVerdict
    event: int | None = None
    detail: str = ""
    remedy: str = ""


def check_code(
    histories: Iterable[ExportedHistory],
    orchestrators: Mapping[tuple[str, str], Orchestrator[..., Any]],
    codec: PayloadCodec,
) -> Iterator[CodeCheck]:
    """Replay each history on the orchestrator of its name and version, else on what goes by its name.

    Args:
        orchestrators: by (name, version); with the version "" the one that a host finds where the code was.
        codec: how payloads become values.
    """
    for one in histories:
        found = orchestrators.get((one.name, one.version)) or orchestrators.get((one.name, ""))
        if found is None:
            yield CodeCheck(
                one.instance_id, one.name, one.version, "absent",
                detail="the code has no orchestrator of its name and version",
                remedy="keep it for as long as such instances run",
            )  # fmt: skip
            continue
        outcome = replay_outcome(one.instance_id, found, codec, one.history)
        if outcome.same:
            yield CodeCheck(one.instance_id, one.name, one.version, "ok")
        elif not outcome.mismatch:
            remedy = "it goes on so; give the change a new version= if that is not meant"
            yield CodeCheck(one.instance_id, one.name, one.version, "differs", None, outcome.beyond, remedy)
        else:
            yield _broken(one, outcome.event, outcome.mismatch)


def _broken(one: ExportedHistory, event: int | None, detail: str) -> CodeCheck:
    if one.how == "value":
        remedy = f"nothing, it keeps its code; durable-ray rewind {one.instance_id} --latest would be refused"
        return CodeCheck(one.instance_id, one.name, one.version, "keeps", event, detail, remedy)
    remedy = (
        "keep the old function where it is and put the new one beside it with another version= "
        f"(this one's is {one.version or 'none'}); or let it end first; or, once it has failed: deploy code that agrees, and "
        f"durable-ray rewind {one.instance_id}"
    )
    return CodeCheck(one.instance_id, one.name, one.version, "breaks", event, detail, remedy)

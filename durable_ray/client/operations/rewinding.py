"""The steps of a rewind, for one instance and for many; to other code only after all histories were tried on it.

The registry knows which instances a rewind brings back and what their newest code is; only their hosts can run code. So
the client asks one for the list, the others to try, and the first again to do it, unless something has changed meanwhile.
"""

from __future__ import annotations

import uuid

from durable_ray.actors.instances.requests import why
from durable_ray.actors.instances.rewind_plan import Move
from durable_ray.actors.messages import Delivery, Reply
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.router import Router
from durable_ray.client.steps import Steps
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message

#: How often a tree that changes while it is read is read again.
_ROUNDS = 5


def check_version(version: str | None) -> None:
    """Raise ValueError for a version that a rewind cannot choose."""
    if version not in (None, "latest"):
        raise ValueError(
            f"version is 'latest' (the newest deployed code) or None (the code it began with), not {version!r}; "
            "to run another version start a new instance"
        )


def rewinding(
    reach: Router, instance_id: str, reason: str | None, version: str | None, created_at: int | None = None
) -> Steps[Reply]:
    """Rewind an instance (with `created_at` only the one that was created then); what became of it."""
    reason, request_id = why(reason), uuid.uuid4().hex
    if version is None:
        return (yield from reach.registry(Registry.rewind, request_id, instance_id, reason, None, created_at))
    for _ in range(_ROUNDS):
        moves = yield from reach.registry(Registry.moves, instance_id)
        if isinstance(moves, Reply):
            return moves
        for move in moves:
            reply = yield from reach.ask_host(move.host, _question(move))
            if reply.code == "mismatch":
                return Reply("mismatch", f"{move.instance_id!r} on {_text(move)}: {reply.detail}")
            if reply.code != "ok":
                break  # it has changed: read it again
        else:
            wanted = {move.instance_id: move for move in moves}
            done = yield from reach.registry(Registry.rewind, request_id, instance_id, reason, wanted, created_at)
            if done.code != "moved":
                return done
    return Reply("refused", "it changes while it is being rewound; try again")


def _question(move: Move) -> Delivery:
    request_id = uuid.uuid4().hex
    event = ev.ExecutionRewound(None, (), move.version, move.code_id)
    return Delivery(request_id, move.instance_id, Message(request_id, event, move.execution_id))


def _text(move: Move) -> str:
    return f"the newest {move.name!r}" + (f" (version {move.version!r})" if move.version else "")

"""Replay check: whether a finished instance's history replays on other code, before a rewind moves it there.

The request carries the `ExecutionRewound` that is to be written. Only hosts run orchestrator code, so the registry asks one.
Nothing is written here.
"""

from __future__ import annotations

from typing import Any

from durable_ray.actors.code.definition_cache import DefinitionMissing
from durable_ray.actors.code.packing import PYTHON_PAYLOADS, DefinitionCannotLoad
from durable_ray.actors.errors import DamagedHistory
from durable_ray.actors.host.host import InstanceHost
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.instances.rewind_plan import Move, rewind_events
from durable_ray.actors.messages import Reply
from durable_ray.actors.store.records import InstanceRow
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.rewinding import regions
from durable_ray.orchestrations.values.failures import NonDeterminismError


async def check_replay(host: InstanceHost, row: InstanceRow, wanted: ev.ExecutionRewound) -> Reply:
    """Whether the history of a finished instance replays on the code of `wanted`; if not, a "mismatch" says where."""
    try:
        await host.background.blocking(host.definition_cache.refresh)
        orchestrator = await host.background.blocking(
            lambda: host.definition_cache.open("orchestrator", row.name, wanted.code_id)
        )
    except (DefinitionMissing, DefinitionCannotLoad) as error:
        return Reply("mismatch", f"the code cannot be loaded: {error}")
    loaded = (await host.background.blocking(lambda: host.store.load([row.instance_id]))).get(row.instance_id)
    if loaded is None or loaded.row.row_version != row.row_version:
        return Reply("mismatch", "it has changed meanwhile")
    try:
        history, _ = restore(loaded)
    except DamagedHistory as error:
        return Reply("mismatch", str(error))
    move = Move(row.instance_id, row.execution_id, row.turn, row.host, row.name, wanted.version, wanted.code_id)
    newest = host.definition_cache.activity
    events, _ = rewind_events(
        row.instance_id, history, host.clock.now(), wanted.reason, lambda name: newest(name)[0], move
    )
    assert isinstance(orchestrator, Orchestrator)
    host.marker.set(row.instance_id)
    try:
        _replay(row.instance_id, orchestrator, [*history, *events])
    except BaseException as error:  # no error of user code may reach the host's event loop
        return Reply("mismatch", str(error))
    finally:
        host.marker.clear()
    return Reply("ok")


def _replay(instance_id: str, orchestrator: Orchestrator[..., Any], events: list[ev.Event]) -> None:
    """Raise an error if `orchestrator` does not repeat what `events` record, up to what the rewind lets it do anew."""
    before = next(regions(events)).first
    for part in (events[:before], events):
        execution = Execution(instance_id, orchestrator, PYTHON_PAYLOADS)
        try:
            decision = execution.advance(part, replaying=True)
        finally:
            execution.close()
        if decision.outcome is not None and len(part) == before:
            did = type(decision.outcome).__name__.lower()
            raise NonDeterminismError(
                f"history says that the code still waited at event #{before}, but the code running now had {did} by then."
            )

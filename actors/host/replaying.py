"""Replay: loads an instance's code when it is first needed and replays its history to rebuild the execution.

An instance whose code cannot be loaded waits with a `waiting_reason` and continues when it can be; it does not fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from durable_ray.actors.activities.ports import Marker
from durable_ray.actors.code.definition_cache import DefinitionCache, DefinitionMissing
from durable_ray.actors.code.packing import PYTHON_PAYLOADS, DefinitionCannotLoad
from durable_ray.actors.host.turn_scheduler import TurnScheduler
from durable_ray.actors.instances.active_instance import ActiveInstance, Obstacle
from durable_ray.actors.instances.instance_cache import InstanceCache
from durable_ray.actors.store.background import Blocking, Spawn
from durable_ray.actors.store.contract import Store
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.values.failures import FailureDetails

log = logging.getLogger("durable_ray.host")

#: Seconds between attempts to load code that the store lacks or that cannot be loaded here.
_RETRY_CODE = 5.0


class Replaying:
    """Rebuilds the executions of instances that have none in memory."""

    def __init__(
        self,
        definition_cache: DefinitionCache,
        instance_cache: InstanceCache,
        turn_scheduler: TurnScheduler,
        store: Store,
        marker: Marker,
        blocking: Blocking,
        spawn: Spawn,
        fail: Callable[[ActiveInstance, FailureDetails], None],
    ) -> None:
        self._definition_cache = definition_cache
        self._instance_cache = instance_cache
        self._turn_scheduler = turn_scheduler
        self._store = store
        self._marker = marker
        self._blocking = blocking
        self._spawn = spawn
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        #: Instances whose code could not be loaded, each with the timer of its next attempt.
        self._waiting: dict[str, tuple[ActiveInstance, asyncio.TimerHandle]] = {}

    def changed(self) -> None:
        """Something was deployed, perhaps what these wait for: try again now."""
        for active, retry in tuple(self._waiting.values()):
            retry.cancel()
            self._try_again(active)

    def replay(self, active: ActiveInstance) -> bool:
        """Rebuild the execution from history; False if its code has to be loaded first: then the instance is enqueued later."""
        code_id = active.snapshot.code_id or active.row.code_id
        orchestrator = self._definition_cache.loaded_orchestrator(active.row.name, code_id)
        if orchestrator is None:
            if active.obstacle is None:
                active.obstacle = Obstacle.CODE
                self._spawn(self._fetch_code(active, code_id))
            return False
        active.execution = Execution(active.instance_id, orchestrator, PYTHON_PAYLOADS)
        history = self._instance_cache.histories.pop(active.instance_id, None)
        if history:
            self._marker.set(active.instance_id)
            try:
                decision = active.execution.advance(history, replaying=True)
            except BaseException as error:  # no error of user code may reach the host's event loop
                self._fail(active, FailureDetails.of(error))
                return False
            finally:
                self._marker.clear()
            if decision.commands or decision.outcome or active.fresh:
                active.leftover = decision
            active.fresh = False
        return True

    async def _fetch_code(self, active: ActiveInstance, code_id: str) -> None:
        try:
            # Unknown code was just deployed, and what it calls with it.
            await self._blocking(self._definition_cache.refresh)
            await self._blocking(lambda: self._definition_cache.open("orchestrator", active.row.name, code_id))
        except (DefinitionMissing, DefinitionCannotLoad) as error:
            # The instance waits and continues when the code can be loaded.
            log.warning("instance %r waits for its code: %s", active.instance_id, error)
            retry = self._loop.call_later(_RETRY_CODE, self._try_again, active)
            self._waiting[active.instance_id] = (active, retry)
            active.waiting_reason = f"code: {error}"
            active.redirect_callers()
            await self._blocking(lambda: self._store.set_waiting_reason(active.instance_id, active.waiting_reason))
            return
        except Exception as error:
            log.warning("the code of %r could not be fetched, trying again: %s", active.instance_id, error)
            self._loop.call_later(1.0, self._try_again, active)
            return
        self._try_again(active)

    def _try_again(self, active: ActiveInstance) -> None:
        self._waiting.pop(active.instance_id, None)
        if active.obstacle is Obstacle.CODE:
            active.obstacle = None
        self._turn_scheduler.enqueue(active)

"""Giving an instance its code back: loaded when it is first needed, and run over all that has happened to it so far.

An instance whose code cannot be had waits, says so, and goes on when it can; that is nothing it did wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from durable_ray.actors.activities.ports import Marker
from durable_ray.actors.code.definition_cache import DefinitionMissing, Library
from durable_ray.actors.code.packing import PYTHON_PAYLOADS, DefinitionCannotLoad
from durable_ray.actors.host.turn_scheduler import Lanes
from durable_ray.actors.instances.active_instance import Live
from durable_ray.actors.instances.instance_cache import Residence
from durable_ray.actors.store.contract import Store
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.values.failures import FailureDetails

log = logging.getLogger("durable_ray.host")

#: Seconds between two tries for code that the store lacks or that cannot be loaded here.
_RETRY_CODE = 5.0


class Replaying:
    """Makes executions of instances that have none in memory."""

    def __init__(
        self,
        library: Library,
        residence: Residence,
        lanes: Lanes,
        store: Store,
        marker: Marker,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        spawn: Callable[[Any], None],
        fail: Callable[[Live, FailureDetails], None],
    ) -> None:
        self._library = library
        self._residence = residence
        self._lanes = lanes
        self._store = store
        self._marker = marker
        self._blocking = blocking
        self._spawn = spawn
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        #: Those whose code could not be had, and when they try again.
        self._waiting: dict[str, tuple[Live, asyncio.TimerHandle]] = {}

    def learned(self) -> None:
        """Something was deployed: it may be what they wait for."""
        for live, retry in tuple(self._waiting.values()):
            retry.cancel()
            self._try_again(live)

    def replay(self, live: Live) -> bool:
        """Whether `live` has its code and is where its history left it; if not, it is queued again when it is."""
        code_id = live.snapshot.code_id or live.row.code_id
        orchestrator = self._library.loaded_orchestrator(live.row.name, code_id)
        if orchestrator is None:
            if not live.held:
                live.held = True
                self._spawn(self._fetch_code(live, code_id))
            return False
        live.execution = Execution(live.instance_id, orchestrator, PYTHON_PAYLOADS)
        history = self._residence.histories.pop(live.instance_id, None)
        if history:
            self._marker.set(live.instance_id)
            try:
                decision = live.execution.advance(history, replaying=True)
            except BaseException as error:  # nothing that user code raises may reach the host's loop
                self._fail(live, FailureDetails.of(error))
                return False
            finally:
                self._marker.clear()
            if decision.commands or decision.outcome or live.fresh:
                live.leftover = decision
            live.fresh = False
        return True

    async def _fetch_code(self, live: Live, code_id: str) -> None:
        try:
            # Code not seen before was just deployed, and what it calls with it.
            await self._blocking(self._library.refresh)
            await self._blocking(lambda: self._library.open("orchestrator", live.row.name, code_id))
        except (DefinitionMissing, DefinitionCannotLoad) as error:
            # Not the instance's fault: it waits, says so, and goes on when the code can be had.
            log.warning("instance %r waits for its code: %s", live.instance_id, error)
            retry = self._loop.call_later(_RETRY_CODE, self._try_again, live)
            self._waiting[live.instance_id] = (live, retry)
            live.waiting_reason = f"code: {error}"
            live.turn_away()
            await self._blocking(lambda: self._store.set_waiting_reason(live.instance_id, live.waiting_reason))
            return
        except Exception as error:
            log.warning("the code of %r could not be fetched, trying again: %s", live.instance_id, error)
            self._loop.call_later(1.0, self._try_again, live)
            return
        self._try_again(live)

    def _try_again(self, live: Live) -> None:
        self._waiting.pop(live.instance_id, None)
        live.held = False
        self._lanes.enqueue(live)

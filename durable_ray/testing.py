"""Test orchestrators in one process, without Ray: the real engine, hosts and store, on virtual time.

Time stands still while anything is under way and jumps to the next timer when all is idle, so a reminder after thirty days
takes milliseconds.

Example:
    >>> import durable_ray as dr
    >>> from durable_ray.testing import TestHub
    >>> @dr.orchestrator
    ... async def reminder(ctx, days: int) -> str:
    ...     await ctx.create_timer(timedelta(days=days))
    ...     return "now"
    >>> with TestHub() as hub:
    ...     hub.client.start_new(reminder, 30).wait_for_completion(timeout=5)
    'now'
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from durable_ray.actors.clock import Alarm, Clock, SystemClock
from durable_ray.actors.cluster.in_process import InProcessHub, call
from durable_ray.actors.instances.placement import is_dedicated
from durable_ray.actors.instances.status import micros, moment
from durable_ray.actors.messages import PROTOCOL, Hello
from durable_ray.actors.registry.actor_lifecycle import Unreachable
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import open_store
from durable_ray.client import inside
from durable_ray.client.client import AsyncClient, Client
from durable_ray.client.deploying import Deployer
from durable_ray.client.drive import LoopDriver, PerLoop, drive
from durable_ray.client.steps import Call, Steps, TargetGone, TargetUnavailable
from durable_ray.doubles import ActivityDouble, answering
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog, catalog
from durable_ray.orchestrations.authoring.definitions import Activity
from durable_ray.orchestrations.values.times import after, duration
from durable_ray.told_history import ReplayFailed, history_lines, replay

__all__ = ["ActivityDouble", "ReplayFailed", "TestHub", "VirtualClock", "history_lines", "replay"]

R = TypeVar("R")


class _VirtualAlarm:
    def __init__(self, ring: Callable[[], None]) -> None:
        self.ring: Callable[[], None] | None = ring

    def cancel(self) -> None:
        """Call it off."""
        self.ring = None


class VirtualClock:
    """A clock that moves only when it is advanced. Belongs to one event loop."""

    def __init__(self, start: datetime) -> None:
        self._now = micros(start)
        self._alarms: list[tuple[int, int, _VirtualAlarm]] = []
        self._numbers = itertools.count()
        #: From so many alarms on, cancelled ones are removed.
        self._many = 64

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        return self._now

    def call_at(self, at: int, ring: Callable[[], None]) -> Alarm:
        """Ring at or after `at`."""
        alarm = _VirtualAlarm(ring)
        if len(self._alarms) >= self._many:
            self._alarms = [entry for entry in self._alarms if entry[2].ring is not None]
            heapq.heapify(self._alarms)
            self._many = max(64, 2 * len(self._alarms))
        heapq.heappush(self._alarms, (at, next(self._numbers), alarm))
        return alarm

    def set(self, to: int) -> None:
        """Set the time without ringing anything, also backwards: as somebody who mends a wrong clock."""
        self._now = to

    def next(self) -> int | None:
        """When the next alarm rings, if there is one."""
        while self._alarms and self._alarms[0][2].ring is None:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def waits(self, *, but: Alarm | None) -> bool:
        """Whether an alarm is set, other than this one."""
        return any(alarm.ring is not None and alarm is not but for _, _, alarm in self._alarms)

    def advance(self, to: int) -> None:
        """Set the time to `to` and ring what is due."""
        self._now = max(self._now, to)
        while (due := self.next()) is not None and due <= self._now:
            _, _, alarm = heapq.heappop(self._alarms)
            ring, alarm.ring = alarm.ring, None
            if ring is not None:
                ring()


class TestHub:
    """A hub in this process, with a blocking `client` and an awaitable `async_client`.

    Args:
        store: URL of its store; in memory by default. A file survives the hub, so a second one goes on where it stopped.
        start: the virtual time at which it begins; None: real time.
        auto_advance: jump to the next timer whenever all is idle; not for schedules alone, but those due on the way to another
            timer are run. Without it, time moves by `advance` only.
        settings: the hub's settings.
        definitions: what may be started by name; by default all that this process has decorated.
    """

    __test__ = False

    def __init__(
        self,
        store: str = "sqlite://",
        *,
        start: datetime | None = datetime(2030, 1, 1, tzinfo=UTC),
        auto_advance: bool = True,
        settings: HubSettings | None = None,
        definitions: DefinitionCatalog = catalog,
    ) -> None:
        #: The hub's store. Whatever is written past the hub needs a fence of its own, as everywhere.
        self.store: Store = open_store(store)
        #: The virtual clock, which belongs to the hub's event loop; None: real time.
        self.virtual_clock = None if start is None else VirtualClock(start)
        clock: Clock = self.virtual_clock or SystemClock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-hub", daemon=True)
        self._thread.start()
        self._doubles: list[ActivityDouble] = []
        config = (settings or HubSettings(partitions=1, sweep_interval=0.5)).settled()
        self.hub = InProcessHub(self.store, clock, config)
        self.on_loop(self.hub.open()).result(30)
        self._pump: Future[None] | None = None
        if self.virtual_clock is not None and auto_advance:
            self._pump = self.on_loop(self._keep_time_moving(self.virtual_clock))
        hello = Hello("registry", self.hub.name, PROTOCOL, 1, os.getpid(), store, "")
        partitions = self.hub.settings.partitions
        self.client = Client._of(hello, Deployer(definitions, None), partitions, _Driver(self))
        inside.enter(self.hub.name, self.client)
        self.async_client = AsyncClient._of(hello, Deployer(definitions, None), partitions, _AsyncDriver(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TestHub, {'real' if self.virtual_clock is None else 'virtual'} time {self.now:%Y-%m-%d %H:%M:%SZ}>"

    def _repr_html_(self) -> str:
        return self.client._repr_html_()

    @property
    def now(self) -> datetime:
        """The hub's time."""
        return moment(self.hub.clock.now())

    def advance(self, by: timedelta | float) -> None:
        """Let virtual time pass, timer by timer, until `by` (timedelta, or seconds) has passed and all is idle."""
        virtual = self.virtual_clock
        if virtual is None:
            raise RuntimeError("this hub runs on real time")
        self.on_loop(self._advance(virtual, after(virtual.now(), duration(by, "by", least=0)))).result(60)

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until nothing happens any more without anything from outside: all have ended, or wait for events.

        With `auto_advance` timers come due meanwhile (schedules alone do not keep it waiting); without it, or on real time,
        time does not advance, and instances may also wait for timers.

        Args:
            timeout: real seconds.

        Raises:
            TimeoutError: something is still under way, or an orchestration sleeps again and again; the message says until when.

        Example:
            >>> with TestHub() as hub:  # doctest: +SKIP
            ...     handle = hub.client.start_new(reminder, 30)
            ...     hub.settle()
            ...     assert handle.get_status().runtime_status == "Completed"
        """
        work = self.on_loop(self.settled() if self._pump is None else self._at_rest())
        try:
            work.result(timeout)
        except TimeoutError as late:
            work.cancel()
            raise TimeoutError(
                f"the hub has not come to rest in {timeout:g} s: something is still under way, or an orchestration sleeps "
                f"again and again (it is {self.now:%Y-%m-%d %H:%M:%SZ} now); with TestHub(auto_advance=False) time moves by "
                "advance() only"
            ) from late

    def fake(
        self,
        activity: Activity[..., Any, Any],
        does: Callable[..., Any] | None = None,
        *,
        returns: object = None,
        raises: BaseException | type[BaseException] | None = None,
    ) -> ActivityDouble:
        """Let something else run in place of an activity, in this hub, from its next call on.

        It runs in the test's own process and is no copy: what it appends to a list, the test sees. It takes the activity's
        arguments (its context too, if the activity does), brought to their types; retries and timeouts are the activity's.

        Args:
            does: a function, plain or async, or a `unittest.mock.Mock`.
            returns: what it returns, instead.
            raises: what it raises, instead.

        Returns:
            The double: `.calls` has what it was called with.

        Raises:
            TypeError: it is no activity, or two things were said.

        Example:
            >>> sent = []
            >>> hub.fake(send_mail, sent.append)  # doctest: +SKIP
        """
        if not isinstance(activity, Activity):
            raise TypeError(f"{activity!r} is no activity: decorate the function with @durable_ray.activity")
        double = ActivityDouble(activity, answering(does, returns, raises))
        self._doubles.append(double)
        for client in (self.client, self.async_client):
            # First all that is decorated: else the activity itself might be deployed after its double.
            self.client._driver.run(client._deployer.deploy(client._router))
        self.client.register(double.definition)
        return double

    async def settled(self) -> None:
        """As `settle`, on the hub's event loop. Checked twice: a callback may be on its way between two threads."""
        calm = 0
        while calm < 2:
            await asyncio.sleep(0)
            if self.virtual_clock is not None:
                self.virtual_clock.advance(self.virtual_clock.now())  # what is due already needs no time to pass
            calm = calm + 1 if self.hub.idle else 0
            if not calm:
                await asyncio.sleep(0.0005)

    async def _at_rest(self) -> None:
        clock = self.virtual_clock
        while True:
            await self.settled()
            if clock is None or not self._moves(clock):
                return
            await asyncio.sleep(0.001)  # the next timer is due as soon as time has moved

    def _moves(self, clock: VirtualClock) -> bool:
        """Whether time goes on by itself: not for schedules alone, or it would go from one run to the next for ever."""
        return clock.waits(but=self.hub.registry.schedule_alarm.alarm)

    def on_loop(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Run a coroutine on the hub's event loop, where its registry and its hosts live."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        """Call `callback` on the hub's event loop, after what is under way there."""
        self._loop.call_soon_threadsafe(callback, *args)

    def forget_location(self, instance_id: str) -> None:
        """Let both clients forget where they saw this instance last, as a new client would not know it."""
        for client in (self.client, self.async_client):
            client._router.forget(instance_id)

    def crash(self) -> None:
        """End all hosts as a power cut would, and start them again as Ray does: what was not committed is gone."""
        self.on_loop(self._crash()).result(60)

    def close(self) -> None:
        """Stop the hub."""
        inside.leave(self.hub.name, self.client)
        for double in self._doubles:
            double.close()
        if self._pump is not None:
            self._pump.cancel()
        self.on_loop(self.hub.close()).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.store.close()

    # --- inside -----------------------------------------------------------------------------------

    def _on_loop(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _crash(self) -> None:
        names = tuple(self.hub.services)
        for name in names:
            await self.hub.drop(name)
        for name in names:
            if not is_dedicated(name):
                await self.hub.ensure(name)
        await self.hub.registry.admission.sweep()
        await self.hub.registry.notifier.sweep()

    async def _advance(self, clock: VirtualClock, to: int) -> None:
        await self.settled()
        while (due := clock.next()) is not None and due <= to:
            clock.advance(due)
            await self.settled()
        clock.advance(to)
        await self.settled()

    async def _keep_time_moving(self, clock: VirtualClock) -> None:
        while True:
            await self.settled()
            due = clock.next()
            if due is not None and self._moves(clock):
                clock.advance(due)
            else:
                await asyncio.sleep(0.002)


class _Driver:
    """Blocking steps: each call runs on the hub's loop."""

    def __init__(self, hub: TestHub) -> None:
        self._hub = hub

    def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""
        return drive(steps, self._call)

    def awaiting(self) -> _AsyncDriver:
        """A driver of the same hub that is awaited."""
        return _AsyncDriver(self._hub)

    def _call(self, wanted: Call) -> Any:
        return self._hub.on_loop(_answered(self._hub, wanted)).result(wanted.seconds)


class _AsyncDriver:
    """Awaitable steps, from any event loop."""

    def __init__(self, hub: TestHub) -> None:
        self._hub = hub
        self._loops = PerLoop(lambda: LoopDriver(self._call))  # as over Ray

    async def run(self, steps: Steps[R]) -> R:
        """Drive `steps` to their end."""
        return await self._loops.get().run(steps)

    def blocking(self) -> _Driver:
        """A driver of the same hub that blocks."""
        return _Driver(self._hub)

    async def _call(self, wanted: Call) -> Any:
        return await asyncio.wrap_future(self._hub.on_loop(_answered(self._hub, wanted)))


async def _answered(hub: TestHub, wanted: Call) -> Any:
    try:
        return await call(hub.hub, wanted.target, wanted.method, *wanted.args, **wanted.kwargs)
    except KeyError as error:
        raise TargetGone(wanted.target) from error
    except Unreachable as error:
        raise TargetUnavailable(str(error)) from error

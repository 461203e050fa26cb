"""The turnstile: what has no limit goes straight through; what has one begins with its permit and gives it back once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import durable_ray as dr
from durable_ray.actors.activities.limiter import ActivityLimiter
from durable_ray.actors.activities.permits import PERMITS
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import Permit
from durable_ray.orchestrations.history.events import ActivityCompleted
from tests.unit.actors.hosting import double, invocation, new_library, new_store, row_of, until


@dr.activity(name="unit.limited", max_running=1)
def limited(value: int) -> int:
    return value


class Inner:
    """Runs nothing: notes what it was told."""

    idle = True

    def __init__(self) -> None:
        self.submitted: list[Invocation] = []
        self.cancelled: list[Address] = []
        self.acknowledged: list[Address] = []

    def submit(self, invocations: Any) -> None:
        self.submitted += invocations

    def cancel(self, addresses: Any) -> None:
        self.cancelled += addresses

    def acknowledge(self, addresses: Any) -> None:
        self.acknowledged += addresses

    async def adopt(self) -> None: ...

    async def close(self) -> None: ...


class Peers:
    """Notes who was notified."""

    def __init__(self) -> None:
        self.notified: list[tuple[str, list[str]]] = []

    def notify(self, host: str, instance_ids: Any, resident: bool) -> None:
        self.notified.append((host, list(instance_ids)))

    def finished(self, instance_ids: Any) -> None: ...

    def fenced(self, host: str) -> None: ...


class Standing:
    """A turnstile on a store, and what is around it."""

    def __init__(self, store: Store, *definitions: Any, host: str = "h") -> None:
        self.store, self.inner, self.peers = store, Inner(), Peers()
        self.told: list[Address] = []
        self.definition_cache = new_library(*definitions, store=store)

        def tell(address: Address, event: ActivityResult) -> None:
            self.told.append(address)

        async def blocking(call: Callable[[], Any]) -> Any:
            return await asyncio.get_running_loop().run_in_executor(None, call)

        self.activity_limiter = ActivityLimiter(
            store,
            store.acquire_lease(host),
            self.definition_cache,
            HubSettings().settled(),
            self.peers,
            tell,
            lambda instance_id: 0,
            blocking,
            lambda: None,
        )
        self.activity_limiter.inner = self.inner

    def answer(self, address: Address) -> None:
        self.activity_limiter.result(address, ActivityCompleted(address.task_id, address.attempt, "1"))

    async def rest(self) -> None:
        await until(lambda: self.activity_limiter._exchanging is None and not self.activity_limiter._tasks)


def held(store: Store, host: str = "h") -> list[tuple[int, bool]]:
    return [(permit.task_id, granted) for permit, granted in store.permits(host)]


async def test_what_has_no_limit_goes_straight_through_and_the_store_is_not_asked(monkeypatch: Any) -> None:
    standing = Standing(new_store(), double)
    monkeypatch.setattr(standing.store, "permit", None)
    work = [invocation(double, n) for n in range(3)]
    standing.activity_limiter.submit(work)
    assert standing.inner.submitted == work
    standing.answer(work[0].address)
    standing.activity_limiter.cancel([work[1].address])
    standing.activity_limiter.withdraw("i")
    standing.activity_limiter.acknowledge([work[0].address])
    assert standing.activity_limiter.idle
    assert (standing.told, standing.inner.cancelled) == ([work[0].address], [work[1].address])


async def test_one_goes_in_when_another_has_come_out() -> None:
    standing = Standing(new_store(), double, limited)
    first, second, free = invocation(limited, 1), invocation(limited, 2), invocation(double, 3)
    standing.activity_limiter.submit([first, free, second])
    assert standing.inner.submitted == [free]
    await standing.rest()
    assert standing.inner.submitted == [free, first]
    assert not standing.activity_limiter.idle
    standing.activity_limiter.submit([first, second])  # the instance was loaded anew and asks again
    await standing.rest()
    assert standing.inner.submitted == [free, first, first]  # which runs already, as `inner` knows
    standing.answer(first.address)
    await standing.rest()
    assert standing.inner.submitted[3:] == [second]
    assert held(standing.store) == [(2, True)]


async def test_what_comes_just_when_an_exchange_ends_is_asked_for() -> None:
    standing = Standing(new_store(), limited)
    first, second = invocation(limited, 1), invocation(limited, 2)
    submit = standing.inner.submit

    def another_comes(invocations: Any) -> None:
        """Between the last look of the exchange, under way here, and the word that it has ended."""
        submit(invocations)
        asyncio.get_running_loop().call_soon(standing.activity_limiter.submit, [second])

    standing.inner.submit = another_comes  # type: ignore[method-assign]
    standing.activity_limiter.submit([first])
    await until(lambda: held(standing.store) == [(1, True), (2, False)])


async def test_what_has_answered_and_is_not_durable_yet_asks_for_nothing() -> None:
    standing = Standing(new_store(), limited)
    work = invocation(limited)
    standing.activity_limiter.submit([work])
    await standing.rest()
    standing.answer(work.address)
    standing.activity_limiter.submit([work])
    await standing.rest()
    assert (standing.inner.submitted, held(standing.store)) == ([work, work], [])
    standing.activity_limiter.acknowledge([work.address])
    standing.activity_limiter.submit([work])  # a rewind: it runs again
    await standing.rest()
    assert held(standing.store) == [(1, True)]


async def test_an_activity_that_was_just_deployed_is_asked_for_its_limit_first() -> None:
    standing = Standing(new_store())
    standing.store.put_definitions([row_of(limited)])
    work = [invocation(limited, n) for n in range(2)]
    standing.activity_limiter.submit(work)
    await standing.rest()
    assert standing.inner.submitted == work[:1]
    nobody = Invocation(Address("i", "e", 9, 1), "unit.nobody", "", None)
    standing.activity_limiter.submit([nobody])
    await standing.rest()
    assert standing.inner.submitted == [work[0], nobody]  # `inner` says that there is none of that name


async def test_who_gives_up_while_the_store_is_asked_gives_back_what_it_is_granted(monkeypatch: Any) -> None:
    standing = Standing(new_store(), limited)
    standing.activity_limiter.refresh()
    await standing.rest()
    asked, go_on = threading.Event(), threading.Event()
    real = standing.store.permit

    def slow(*args: Any) -> tuple[Permit, ...]:
        answer = real(*args)
        asked.set()
        go_on.wait(10)
        return answer

    monkeypatch.setattr(standing.store, "permit", slow)
    work = invocation(limited)
    standing.activity_limiter.submit([work])
    await until(asked.is_set)
    assert held(standing.store) == [(1, True)]
    standing.activity_limiter.cancel([work.address])
    go_on.set()
    await standing.rest()
    assert (standing.inner.submitted, held(standing.store)) == ([], [])


async def test_another_host_that_is_granted_is_notified_and_begins() -> None:
    store = new_store()
    here, there = Standing(store, limited), Standing(store, limited, host="there")
    first, second = invocation(limited, 1), invocation(limited, 2)
    here.activity_limiter.submit([first])
    await here.rest()
    there.activity_limiter.submit([second])
    await there.rest()
    assert there.inner.submitted == []
    here.answer(first.address)
    await here.rest()
    assert here.peers.notified == [("there", [PERMITS])]
    there.activity_limiter.refresh()
    await there.rest()
    assert there.inner.submitted == [second]


async def test_a_successor_keeps_what_is_asked_for_again_and_gives_back_the_rest() -> None:
    store = new_store()
    before = Standing(store, limited)
    before.activity_limiter.submit([invocation(limited, n) for n in range(3)])
    await before.rest()
    after = Standing(store, limited)
    wanted = invocation(limited, 0)
    after.activity_limiter.submit([wanted])
    await after.rest()
    assert (after.inner.submitted, held(store)) == ([wanted], [(0, True), (1, False), (2, False)])
    after.activity_limiter.refresh()
    await after.rest()
    assert held(store) == [(0, True)]


async def test_who_waits_and_was_forgotten_asks_again() -> None:
    """A host that came back just when the registry gave it up for good."""
    store = new_store()
    standing, other = Standing(store, limited), Standing(store, limited, host="other")
    runs = invocation(limited, 0)
    other.activity_limiter.submit([runs])
    await other.rest()
    waits = invocation(limited, 1)
    standing.activity_limiter.submit([waits])
    await standing.rest()
    store.forget_permits(["h"])
    standing.activity_limiter.refresh()
    await standing.rest()
    assert held(store) == [(1, False)]
    other.answer(runs.address)
    await other.rest()
    standing.activity_limiter.refresh()
    await standing.rest()
    assert standing.inner.submitted == [waits]

"""The limiter: what has no limit goes straight through; what has one begins with its permit and gives it back once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import durable_ray as dr
from durable_ray.actors.activities.dispatcher import Dispatcher
from durable_ray.actors.activities.permits import PERMITS
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import Permit
from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed
from tests.unit.actors.hosting import (
    Slate,
    ToldClock,
    double,
    invocation,
    limiting,
    new_library,
    new_store,
    row_of,
    until,
)


@dr.activity(name="unit.limited", max_running=1)
def limited(value: int) -> int:
    return value


class Peers:
    """Notes who was notified."""

    def __init__(self) -> None:
        self.notified: list[tuple[str, list[str]]] = []

    def notify(self, host: str, instance_ids: Any, resident: bool) -> None:
        self.notified.append((host, list(instance_ids)))

    def finished(self, instance_ids: Any) -> None: ...

    def fenced(self, host: str) -> None: ...


class Standing:
    """A dispatcher and its limiter on a store, and what is around them; the code of `definitions` is in memory."""

    def __init__(self, store: Store, *definitions: Any, host: str = "h") -> None:
        self.store, self.slate, self.peers = store, Slate(), Peers()
        self.results: list[tuple[Address, ActivityResult]] = []
        self.definition_cache = new_library(*definitions, store=store)
        for definition in definitions:
            self.definition_cache.packed("activity", definition.name, row_of(definition).code_id)

        def tell(address: Address, result: ActivityResult) -> None:
            self.results.append((address, result))

        self.limiter = limiting(self.definition_cache, store, self.peers, host)
        executors = {"local": self.slate.made}
        self.dispatcher = Dispatcher(tell, self.definition_cache, ToldClock(), self.limiter, executors)

    @property
    def submitted(self) -> list[Invocation]:
        return [job.invocation for job in self.slate.jobs]

    def answer(self, address: Address) -> None:
        self.slate.told(address, ActivityCompleted(address.task_id, address.attempt, "1"))

    async def rest(self) -> None:
        await until(lambda: self.limiter._exchanging is None and not self.dispatcher._tasks)


def held(store: Store, host: str = "h") -> list[tuple[int, bool]]:
    return [(permit.task_id, granted) for permit, granted in store.permits(host)]


async def test_what_has_no_limit_goes_straight_through_and_the_store_is_not_asked(monkeypatch: Any) -> None:
    standing = Standing(new_store(), double)
    monkeypatch.setattr(standing.store, "permit", None)
    work = [invocation(double, n) for n in range(2)]
    standing.dispatcher.submit(work)
    assert standing.submitted == work
    standing.answer(work[0].address)
    standing.dispatcher.cancel([work[1].address])
    standing.limiter.withdraw("i")
    standing.dispatcher.acknowledge([work[0].address])
    assert standing.dispatcher.idle
    assert ([address for address, _ in standing.results], standing.slate.cancelled) == (
        [work[0].address],
        [work[1].address],
    )


async def test_one_goes_in_when_another_has_come_out() -> None:
    standing = Standing(new_store(), double, limited)
    first, second, free = invocation(limited, 1), invocation(limited, 2), invocation(double, 3)
    standing.dispatcher.submit([first, free, second])
    assert standing.submitted == [free]
    await standing.rest()
    assert standing.submitted == [free, first]
    assert not standing.dispatcher.idle
    standing.dispatcher.submit([first, second])  # the instance was loaded anew and asks again
    await standing.rest()
    assert standing.submitted == [free, first], "which runs already"
    standing.answer(first.address)
    await standing.rest()
    assert standing.submitted[2:] == [second]
    assert held(standing.store) == [(2, True)]


async def test_what_comes_just_when_an_exchange_ends_is_asked_for() -> None:
    standing = Standing(new_store(), limited)
    first, second = invocation(limited, 1), invocation(limited, 2)
    submit = standing.slate.submit

    def another_comes(jobs: Any) -> None:
        """Between the last look of the exchange, under way here, and the word that it has ended."""
        submit(jobs)
        asyncio.get_running_loop().call_soon(standing.dispatcher.submit, [second])

    standing.slate.submit = another_comes  # type: ignore[method-assign]
    standing.dispatcher.submit([first])
    await until(lambda: held(standing.store) == [(1, True), (2, False)])


async def test_what_has_answered_and_is_not_durable_yet_asks_for_nothing() -> None:
    standing = Standing(new_store(), limited)
    work = invocation(limited)
    standing.dispatcher.submit([work])
    await standing.rest()
    standing.answer(work.address)
    standing.dispatcher.submit([work])
    await standing.rest()
    assert (standing.submitted, held(standing.store)) == ([work], [])
    standing.dispatcher.acknowledge([work.address])
    standing.dispatcher.submit([work])  # a rewind: it runs again
    await standing.rest()
    assert held(standing.store) == [(1, True)]


async def test_an_activity_that_was_just_deployed_is_asked_for_its_limit_first() -> None:
    standing = Standing(new_store())
    standing.store.put_definitions([row_of(limited)])
    work = [invocation(limited, n) for n in range(2)]
    standing.dispatcher.submit(work)
    await standing.rest()
    assert standing.submitted == work[:1]
    nobody = Invocation(Address("i", "e", 9, 1), "unit.nobody", "", None)
    standing.dispatcher.submit([nobody])
    await standing.rest()
    assert standing.submitted == work[:1]
    ((address, result),) = standing.results
    assert isinstance(result, ActivityFailed)
    assert (address, result.failure.error_type) == (nobody.address, "durable_ray.UnknownDefinition")


async def test_who_gives_up_while_the_store_is_asked_gives_back_what_it_is_granted(monkeypatch: Any) -> None:
    standing = Standing(new_store(), limited)
    standing.limiter.refresh()
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
    standing.dispatcher.submit([work])
    await until(asked.is_set)
    assert held(standing.store) == [(1, True)]
    standing.dispatcher.cancel([work.address])
    go_on.set()
    await standing.rest()
    assert (standing.submitted, held(standing.store)) == ([], [])


async def test_another_host_that_is_granted_is_notified_and_begins() -> None:
    store = new_store()
    here, there = Standing(store, limited), Standing(store, limited, host="there")
    first, second = invocation(limited, 1), invocation(limited, 2)
    here.dispatcher.submit([first])
    await here.rest()
    there.dispatcher.submit([second])
    await there.rest()
    assert there.submitted == []
    here.answer(first.address)
    await here.rest()
    assert here.peers.notified == [("there", [PERMITS])]
    there.limiter.refresh()
    await there.rest()
    assert there.submitted == [second]


async def test_a_successor_keeps_what_is_asked_for_again_and_gives_back_the_rest() -> None:
    store = new_store()
    before = Standing(store, limited)
    before.dispatcher.submit([invocation(limited, n) for n in range(3)])
    await before.rest()
    after = Standing(store, limited)
    wanted = invocation(limited, 0)
    after.dispatcher.submit([wanted])
    await after.rest()
    assert (after.submitted, held(store)) == ([wanted], [(0, True), (1, False), (2, False)])
    after.limiter.refresh()
    await after.rest()
    assert held(store) == [(0, True)]


async def test_who_waits_and_was_forgotten_asks_again() -> None:
    """A host that came back just when the registry gave it up for good."""
    store = new_store()
    standing, other = Standing(store, limited), Standing(store, limited, host="other")
    runs = invocation(limited, 0)
    other.dispatcher.submit([runs])
    await other.rest()
    waits = invocation(limited, 1)
    standing.dispatcher.submit([waits])
    await standing.rest()
    store.forget_permits(["h"])
    standing.limiter.refresh()
    await standing.rest()
    assert held(store) == [(1, False)]
    other.answer(runs.address)
    await other.rest()
    standing.limiter.refresh()
    await standing.rest()
    assert standing.submitted == [waits]

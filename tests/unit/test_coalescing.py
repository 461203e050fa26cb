"""The contract of the awaited client's joining of calls: everybody gets their own answer, in order, in one call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from durable_ray.actors.api import HostApi
from durable_ray.actors.messages import Ending
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.coalescing import Coalescer
from durable_ray.client.deploying import Deployer
from durable_ray.client.drive import PerLoop, drive_async
from durable_ray.client.ordering import Ordering
from durable_ray.client.router import Router
from durable_ray.client.steps import Call, TargetGone
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity
from durable_ray.orchestrations.authoring.options import ActivityOptions


def says(value: str) -> str:
    return value


def holding(lock: Any) -> Callable[[str], str]:
    def holds_a_lock(value: str) -> str:
        with lock:
            return value

    return holds_a_lock


class Target:
    """Answers lists with their items doubled, and waits for what is told to have ended."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ended: set[str] = set()
        self.changed = asyncio.Event()

    async def send(self, call: Call) -> Any:
        self.calls.append(call)
        if call.target == "gone":
            raise TargetGone("gone")
        if call.method is not HostApi.wait:
            return [item * 2 for item in call.args[0]]
        while not self.ended.intersection(call.args[0]):
            self.changed.clear()
            await self.changed.wait()
        return [Ending(one, "Completed") for one in call.args[0] if one in self.ended]

    async def deployed(self, call: Call) -> int:
        self.calls.append(call)
        await asyncio.sleep(0)
        return 1

    def end(self, *instance_ids: str) -> None:
        self.ended.update(instance_ids)
        self.changed.set()


@dataclass(frozen=True)
class Retryable:
    """A request; doubled, it is its number."""

    number: int
    retry: bool

    def __mul__(self, times: int) -> str:
        return str(self.number)


def waiting(instance_id: str, seconds: float = 5.0) -> Call:
    return Call("host", HostApi.wait, ([instance_id], seconds), {"start": False})


async def test_requests_of_one_step_go_in_one_call_in_their_order() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    calls = [Call("host", HostApi.deliver_many, ([n, n + 100],)) for n in range(5)]
    answers = await asyncio.gather(*map(coalescer.make, calls))
    assert answers == [[2 * n, 2 * (n + 100)] for n in range(5)]
    assert [call.args[0] for call in target.calls] == [[0, 100, 1, 101, 2, 102, 3, 103, 4, 104]]


async def test_hosts_and_methods_are_kept_apart() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    kinds = [("a", HostApi.start_many), ("b", HostApi.start_many), ("a", HostApi.deliver_many)]
    await asyncio.gather(*[coalescer.make(Call(host, method, ([1],))) for host, method in kinds])
    assert [(call.target, call.method) for call in target.calls] == kinds


async def test_what_is_asked_again_holds_up_nobody_who_asks_for_the_first_time() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    first, again = Retryable(1, False), Retryable(2, True)
    answers = await asyncio.gather(
        *[coalescer.make(Call("host", HostApi.deliver_many, ([r],))) for r in (first, again, first)]
    )
    assert answers == [["1"], ["2"], ["1"]]
    assert [call.args[0] for call in target.calls] == [[first, first], [again]]


async def test_very_many_go_in_several_calls() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    answers = await asyncio.gather(*[coalescer.make(Call("host", HostApi.start_many, ([n],))) for n in range(1200)])
    assert answers == [[2 * n] for n in range(1200)]
    assert [len(call.args[0]) for call in target.calls] == [500, 500, 200]


async def test_where_calls_go_one_after_the_other_those_that_come_meanwhile_share_the_next() -> None:
    target, gate = Target(), asyncio.Event()

    async def send(call: Call) -> Any:
        answer = await target.send(call)
        await gate.wait()
        return answer

    coalescer = Coalescer(send, lambda target: target == "far")
    for host in ("far", "near"):
        gate.clear()
        target.calls.clear()
        made = []
        for number in range(4):
            made.append(asyncio.create_task(coalescer.make(Call(host, HostApi.deliver_many, ([number],)))))
            for _ in range(5):
                await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(*made) == [[0], [2], [4], [6]]
        assert [call.args[0] for call in target.calls] == ([[0], [1, 2, 3]] if host == "far" else [[0], [1], [2], [3]])


@pytest.mark.parametrize("in_turn", [True, False])
async def test_a_call_made_while_another_is_answered_goes_once_and_quietly(in_turn: bool) -> None:
    """Its list is sent by whoever ends the call before it: the step that was to send it finds nothing, and says nothing."""
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: noise.append(context))
    answers: list[asyncio.Future[Any]] = []

    async def send(call: Call) -> Any:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    coalescer = Coalescer(send, lambda target: in_turn)
    first = asyncio.create_task(coalescer.make(Call("host", HostApi.deliver_many, (["a"],))))
    while not answers:
        await asyncio.sleep(0)
    second = asyncio.create_task(coalescer.make(Call("host", HostApi.deliver_many, (["b"],))))
    answers[0].set_result(["A"])
    while len(answers) < 2:
        await asyncio.sleep(0)
    answers[1].set_result(["B"])
    assert await asyncio.gather(first, second) == [["A"], ["B"]]
    assert (len(answers), noise) == (2, [])


async def test_after_an_error_those_that_waited_for_their_turn_are_asked() -> None:
    calls: list[Call] = []

    async def send(call: Call) -> Any:
        calls.append(call)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise TargetGone("gone")
        return call.args[0]

    coalescer = Coalescer(send, lambda target: True)
    first = asyncio.create_task(coalescer.make(Call("far", HostApi.deliver_many, (["a"],))))
    while not calls:
        await asyncio.sleep(0)
    second = asyncio.create_task(coalescer.make(Call("far", HostApi.deliver_many, (["b"],))))
    with pytest.raises(TargetGone):
        await first
    assert await second == ["b"]


async def test_an_error_reaches_everybody_who_was_in_the_call() -> None:
    coalescer = Coalescer(Target().send)
    calls = [coalescer.make(Call("gone", HostApi.start_many, ([n],))) for n in range(3)]
    assert [type(e) for e in await asyncio.gather(*calls, return_exceptions=True)] == [TargetGone] * 3
    with pytest.raises(TargetGone):
        await coalescer.make(Call("gone", HostApi.wait, (["x"], 5.0)))


async def test_each_wait_is_answered_when_its_own_instance_ends() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    waits = {name: asyncio.create_task(coalescer.make(waiting(name))) for name in "abc"}
    await asyncio.sleep(0)
    target.end("b")
    assert await waits["b"] == [Ending("b", "Completed")]
    assert not waits["a"].done()
    target.end("a", "c")
    assert await asyncio.gather(waits["a"], waits["c"]) == [[Ending("a", "Completed")], [Ending("c", "Completed")]]
    assert [call.args[0] for call in target.calls] == [["a", "b", "c"], ["a", "c"]]


async def test_a_wait_that_lasts_too_long_answers_nothing_and_the_next_one_still_hears() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    assert await coalescer.make(waiting("a", 0.01)) == []
    again = asyncio.create_task(coalescer.make(waiting("a")))
    await asyncio.sleep(0)
    target.end("a")
    assert await again == [Ending("a", "Completed")]


async def test_a_caller_who_gives_up_takes_nobody_along() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    first, second = (asyncio.create_task(coalescer.make(waiting("a"))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    target.end("a")
    assert await second == [Ending("a", "Completed")]


async def test_many_who_deploy_the_same_make_one_call() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    answers = await asyncio.gather(*[coalescer.make(Call("registry", Registry.register, ([1, 2],))) for _ in range(5)])
    assert answers == [[2, 4]] * 5
    assert len(target.calls) == 1
    await coalescer.make(Call("registry", Registry.register, ([1, 2],)))
    assert len(target.calls) == 2


@pytest.mark.parametrize("stuck", [False, True])
async def test_all_who_start_at_once_deploy_with_one_call(stuck: bool) -> None:
    catalog, target = DefinitionCatalog(), Target()
    catalog.register(Activity(says, ActivityOptions("says")))
    if stuck:
        catalog.register(Activity(holding(threading.Lock()), ActivityOptions("holds_a_lock")))
    deployer, coalescer = Deployer(catalog, None), Coalescer(target.deployed)

    async def deploy() -> None:
        await drive_async(deployer.deploy(Router()), coalescer.make, Ordering(lambda steps: None).take)  # type: ignore[arg-type]

    await asyncio.gather(*[deploy() for _ in range(20)])
    (call,) = target.calls
    assert [(row.name, row.absent) for row in call.args[0]] == [("says", False), ("holds_a_lock", True)][: 1 + stuck]
    await deploy()
    assert len(target.calls) == 1


async def test_of_targets_that_were_waited_for_nothing_is_kept() -> None:
    target = Target()
    coalescer = Coalescer(target.send)
    for number in range(50):
        name = f"instance:{number}"
        answers = [
            asyncio.create_task(coalescer.make(Call(name, HostApi.wait, ([name], 5.0), {"start": s}))) for s in (0, 1)
        ]
        given_up = asyncio.create_task(coalescer.make(Call(name, HostApi.wait, ([name], 5.0))))
        await asyncio.sleep(0)
        given_up.cancel()
        target.end(name)
        await asyncio.gather(*answers)
    assert not coalescer._watches


def test_a_loop_that_has_ended_is_forgotten() -> None:
    coalescers = PerLoop(lambda: Coalescer(Target().send))

    async def make() -> Any:
        return await coalescers.get().make(Call("host", HostApi.deliver_many, ([1],)))

    for _ in range(5):
        assert asyncio.run(make()) == [2]
    assert len(coalescers) == 1

"""Functions of several parameters: called by their signature, stored by name, from Python and from outside."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.testing import TestHub


@dataclass
class Money:
    amount: int
    currency: str = "EUR"


class Opaque:
    """JSON cannot say it."""

    def __init__(self, value: int) -> None:
        self.value = value


@dr.activity
def arg_charge(customer: str, price: Money, *, wait: timedelta = timedelta(0)) -> str:
    return f"{customer} {price.amount} {price.currency} {wait.total_seconds():g}"


@dr.activity
def arg_ship(ctx: dr.ActivityContext, to: str, /, *items: int, express: bool = False, **notes: bytes) -> Any:
    return [ctx.name, to, list(items), express, {name: note.decode() for name, note in notes.items()}]


@dr.activity
def arg_scaled(n: Any, factor: int = 2) -> Any:
    return [n, factor]


@dr.activity
def arg_opened(box: Opaque, times: int) -> int:
    return box.value * times


@dr.orchestrator
async def arg_order(ctx: dr.OrchestrationContext, customer: str, price: Money, *, express: bool = False) -> list[Any]:
    charged = await ctx.call(arg_charge, customer, price, wait=timedelta(seconds=90))
    shipped = await ctx.call(arg_ship, customer, 1, 2, express=express, gift=b"ribbon")
    return [charged, shipped]


@dr.orchestrator
async def arg_steps(ctx: dr.OrchestrationContext, *, left: int, seen: list[int] | None = None) -> list[int]:
    seen = [*(seen or []), left]
    if left:
        ctx.continue_as_new(arg_steps.bind(left=left - 1, seen=seen))
    return seen


@dr.orchestrator
async def arg_parent(ctx: dr.OrchestrationContext, how: str) -> Any:
    if how == "child":
        return await ctx.call(arg_order, "ada", Money(3), express=True)
    if how == "options":
        bound = arg_charge.bind("ada", Money(3))
        return await ctx.call_activity(bound, retry_policy=dr.RetryPolicy(max_number_of_attempts=2))
    if how == "name":
        return await ctx.call_activity("arg_charge", {"customer": "ada", "price": {"amount": 3}})
    if how == "opaque":
        return await ctx.call(arg_opened, Opaque(7), times=3)
    if how == "one":
        return await ctx.call(arg_scaled, 7)
    if how == "more":
        return await ctx.call(arg_scaled, {"factor": 1}, factor=3)
    if how == "alike":
        return await ctx.call(arg_scaled, {"$arguments": {}})
    if how == "missing":
        return await ctx.call(arg_charge, "ada")  # type: ignore[call-arg]
    return await ctx.call_activity("arg_charge", {"customer": "ada", "price": {"amount": "many"}})


@dr.orchestrator
def arg_generator(ctx: dr.OrchestrationContext, a: int, b: int) -> Generator[Any, Any, Any]:
    shown = yield ctx.call(arg_scaled, a, factor=b)
    return [shown, ctx.get_input()]


ORDERED = ["ada 3 EUR 90", ["arg_ship", "ada", [1, 2], True, {"gift": "ribbon"}]]


def inputs(client: dr.Client, instance_id: str) -> list[Any]:
    """The inputs of an instance's activities, as they are stored."""
    entries = client.get_history(instance_id, show_input=True) or []
    return [entry["Input"] for entry in entries if entry["EventType"] == "TaskCompleted"]


def test_an_orchestrator_and_its_activities_take_their_own_arguments(client: dr.Client, hub: TestHub) -> None:
    handle = client.start(arg_order, "ada", Money(3), express=True)
    assert handle.wait_for_completion(20) == ORDERED
    status = handle.get_status()
    assert status is not None
    assert status.input == {
        "$arguments": {"customer": "ada", "price": {"amount": 3, "currency": "EUR"}, "express": True}
    }
    hub.crash()
    assert handle.wait_for_completion(20) == ORDERED
    again = handle.restart()
    assert again.wait_for_completion(20) == ORDERED


def test_options_go_beside_bound_arguments(client: dr.Client) -> None:
    bound = arg_order.bind("ada", Money(3), express=True)
    assert client.start_new(bound, instance_id="o-1", tags={"a": "b"}).wait_for_completion(20) == ORDERED
    first, second = client.start_many(arg_steps, [arg_steps.bind(left=0), arg_steps.bind(left=1, seen=[5])])
    assert client.wait_many([first, second], 20) == [[0], [5, 1, 0]]
    signalled = client.signal_with_start(bound, "go", instance_id="o-2")
    assert signalled.wait_for_completion(20) == ORDERED


@pytest.mark.parametrize(
    ("how", "result"),
    [
        ("child", ORDERED),
        ("options", "ada 3 EUR 0"),
        ("name", "ada 3 EUR 0"),
        ("opaque", 21),
        ("one", [7, 2]),
        ("more", [{"factor": 1}, 3]),
        ("alike", [{"$arguments": {}}, 2]),
    ],
)
def test_what_an_orchestrator_calls(client: dr.Client, how: str, result: Any) -> None:
    assert client.start_new(arg_parent, how).wait_for_completion(20) == result


def test_one_input_is_stored_as_it_always_was(client: dr.Client) -> None:
    client.start_new(arg_parent, "one", instance_id="one").wait_for_completion(20)
    client.start_new(arg_parent, "more", instance_id="more").wait_for_completion(20)
    assert inputs(client, "one") == [7]
    assert inputs(client, "more") == [{"$arguments": {"n": {"factor": 1}, "factor": 3}}]


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("missing", "activity 'arg_charge': missing a required argument: 'price'"),
        ("wrong", "parameter 'price' of activity 'arg_charge': "),
    ],
)
def test_a_call_that_does_not_fit_names_the_parameter(client: dr.Client, how: str, sentence: str) -> None:
    with pytest.raises(dr.OrchestrationFailed) as raised:
        client.start_new(arg_parent, how).wait_for_completion(20)
    assert sentence in str(raised.value)
    assert raised.value.details.is_caused_by(dr.InvalidArguments)


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (lambda c: c.start(arg_order, "ada"), "orchestrator 'arg_order': missing a required argument: 'price'"),
        (lambda c: c.start(arg_order, "ada", Money(1), colour=1), "unexpected keyword argument 'colour'"),
        (lambda c: c.start(arg_order, "ada", 12), "parameter 'price' of orchestrator 'arg_order'"),
        (lambda c: c.start_new(arg_order, "ada"), "takes its arguments by name: an object with its parameters"),
        (lambda c: c.start_new(arg_order, {"customer": "ada"}), "called without 'price'"),
        (lambda c: c.start_new(arg_order, {"customer": "a", "price": {}, "x": 1}), "has no parameter 'x'"),
        (lambda c: c.start_new(arg_steps), "called without 'left'"),
    ],
)
def test_a_start_that_does_not_fit_is_refused_at_the_door(client: dr.Client, start: Any, sentence: str) -> None:
    with pytest.raises(dr.InvalidArguments) as raised:
        start(client)
    assert sentence in str(raised.value)
    assert client.list_instances() == []


def test_what_makes_no_sense_is_refused(client: dr.Client) -> None:
    bound = arg_steps.bind(left=1)
    with pytest.raises(TypeError, match="has its arguments already"):
        client.start_new(bound, 5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="has the arguments of another function"):
        client.start_many(arg_order, [bound])
    with pytest.raises(TypeError, match="start takes a decorated orchestrator"):
        client.start("arg_order", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ({"customer": "ada", "price": {"amount": 3}, "express": True}, None),
        ({"$arguments": {"customer": "ada", "price": {"amount": 3}, "express": True}}, None),
        ({"customer": "ada"}, "is called without 'price'"),
        ({"customer": "ada", "price": {"amount": "x"}}, "parameter 'price'"),
        (["ada", {"amount": 3}], "takes its arguments by name"),
        ({"$arguments": {"customer": "ada"}, "more": 1}, "beside '$arguments' an input has no other keys"),
    ],
)
def test_json_from_outside_starts_by_name(client: dr.Client, payload: Any, sentence: str | None) -> None:
    client.register()
    text = json.dumps({"FunctionName": "arg_order", "Input": payload})
    (handle,) = client.start_from(text)
    if sentence is None:
        assert handle.wait_for_completion(20) == ORDERED
        return
    with pytest.raises(dr.OrchestrationFailed) as raised:
        handle.wait_for_completion(20)
    assert sentence in str(raised.value)


def test_a_generator_and_its_input(client: dr.Client) -> None:
    assert client.start(arg_generator, 4, b=5).wait_for_completion(20) == [[4, 5], {"a": 4, "b": 5}]


def test_a_parameter_that_gets_a_default_understands_older_calls(client: dr.Client) -> None:
    """The payload says what it is: an activity that was changed to take one input does not take the arguments for it."""

    @dr.activity(name="arg_grown")
    def before(n: Any, factor: int) -> Any:
        return [n, factor]

    payload = {"$arguments": {"n": {"factor": 9}, "factor": 2}}
    assert before.bind({"factor": 9}, 2).input == payload

    @dr.activity(name="arg_grown_2")
    def after(n: Any, factor: int = 3) -> Any:
        return [n, factor]

    @dr.orchestrator(name="arg_calls_grown")
    async def calls(ctx: dr.OrchestrationContext) -> Any:
        return await ctx.call_activity("arg_grown_2", payload)

    assert client.start(calls).wait_for_completion(20) == [{"factor": 9}, 2]


async def test_the_awaited_client_starts_likewise(hub: TestHub) -> None:
    handle = await hub.async_client.start(arg_order, "ada", Money(3), express=True)
    assert await handle.wait_for_completion(20) == ORDERED

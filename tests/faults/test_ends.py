"""User code that would end a program ends its own instance: beside it, in the same process, everybody goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

import durable_ray as dr
from durable_ray.testing import TestHub


class Private(BaseException):
    """Somebody's own way out."""


ENDS = {
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "private": Private,
}


class ExitsWhenRead:
    """A value that no JSON can say, and that leaves when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return sys.exit, ("when it is read",)


class ExitsWhenWritten:
    """A value that leaves when it is written."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        raise KeyboardInterrupt("when it is written")


@dr.orchestrator
async def ends_neighbour(ctx: dr.OrchestrationContext) -> str:
    return str(await ctx.wait_for_external_event("Go"))


@dr.orchestrator
async def ends_itself(ctx: dr.OrchestrationContext, how: str) -> None:
    await ctx.wait_for_external_event("Go")
    raise ENDS[how]("enough")


@dr.orchestrator
async def ends_by_callback(ctx: dr.OrchestrationContext) -> None:
    asyncio.get_running_loop().call_later(1, sys.exit, 7)
    await ctx.wait_for_external_event("Never")


@dr.activity(name="ends.activity", local=True)
def activity(how: str) -> None:
    raise ENDS[how]("enough")


@dr.activity(name="ends.async", local=True)
async def async_activity(how: str) -> None:
    raise ENDS[how]("enough")


@dr.activity(name="ends.value", local=True)
def value(when: str) -> object:
    return ExitsWhenRead() if when == "read" else ExitsWhenWritten()


@dr.orchestrator
async def ends_an_activity(ctx: dr.OrchestrationContext, call: list[str]) -> object:
    return await ctx.call_activity(*call)


@dr.orchestrator
async def ends_with_a_value(ctx: dr.OrchestrationContext) -> object:
    return ExitsWhenWritten()


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub() as hub:
        yield hub


@pytest.fixture
def neighbour(hub: TestHub) -> Iterator[dr.InstanceHandle]:
    handle = hub.client.start_new(ends_neighbour)
    handle.wait_for_start(10)
    yield handle
    handle.raise_event("Go", "on")
    assert handle.wait_for_completion(10) == "on"


def failure(handle: dr.InstanceHandle) -> dr.FailureDetails:
    with pytest.raises(dr.OrchestrationFailed) as failed:
        handle.wait_for_completion(20)
    return failed.value.details


@pytest.mark.parametrize("how", ENDS)
def test_an_orchestrator_ends_itself_and_nobody_else(hub: TestHub, neighbour: dr.InstanceHandle, how: str) -> None:
    handle = hub.client.start_new(ends_itself, how)
    handle.raise_event("Go")
    assert failure(handle).is_caused_by(ENDS[how])


def test_a_callback_ends_its_orchestrator_and_nobody_else(hub: TestHub, neighbour: dr.InstanceHandle) -> None:
    assert failure(hub.client.start_new(ends_by_callback)).is_caused_by(SystemExit)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("name", ["ends.activity", "ends.async"])
def test_an_activity_fails_and_nobody_else(hub: TestHub, neighbour: dr.InstanceHandle, name: str, how: str) -> None:
    assert failure(hub.client.start_new(ends_an_activity, [name, how])).is_caused_by(ENDS[how])


@pytest.mark.parametrize("when", ["read", "written"])
def test_a_value_that_leaves_is_the_failure_of_who_reads_or_writes_it(
    hub: TestHub, neighbour: dr.InstanceHandle, when: str
) -> None:
    details = failure(hub.client.start_new(ends_an_activity, ["ends.value", when]))
    assert f"when it is {when}" in str(details)


def test_a_result_that_leaves_when_it_is_written_is_a_failure(hub: TestHub, neighbour: dr.InstanceHandle) -> None:
    assert "when it is written" in str(failure(hub.client.start_new(ends_with_a_value)))

"""A failure through a whole hub: what led to it is found by whoever waits, by retries of a parent, and in the status."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.testing import TestHub
from tests.management.shapes import note, ran


@dr.activity
def unreachable(what: str) -> None:
    """Never there."""
    import json
    import os
    from pathlib import Path

    with Path(os.environ["DURABLE_RAY_TEST_LEDGER"]).open("a") as ledger:
        ledger.write(json.dumps(what) + "\n")
    raise ConnectionRefusedError(f"{what} is down")


@dr.orchestrator
async def calls_it(ctx: dr.OrchestrationContext, what: str) -> None:
    """A child whose activity fails, in a group."""

    async def call() -> None:
        await ctx.call_activity(unreachable, what)

    async with asyncio.TaskGroup() as group:
        group.create_task(call())


@pytest.mark.parametrize(
    ("filters", "attempts"),
    [
        ({}, 3),
        ({"retry_on": [ConnectionError]}, 3),
        ({"retry_on": [PermissionError]}, 1),
        ({"do_not_retry_on": [ConnectionError]}, 1),
        ({"do_not_retry_on": [PermissionError]}, 3),
    ],
    ids=str,
)
def test_a_childs_retry_policy_sees_what_failed_in_it(
    client: dr.Client, hub: TestHub, filters: Any, attempts: int
) -> None:
    policy = dr.RetryPolicy(1, 3, **filters)

    @dr.orchestrator(name="retries_a_child")
    async def parent(ctx: dr.OrchestrationContext) -> None:
        await ctx.call_activity(note, "begin")
        await ctx.call_sub_orchestrator(calls_it, "db", retry_policy=policy)

    handle = client.start_new(parent)
    for _ in range(5):
        hub.settle()
        hub.advance(timedelta(seconds=2))
    with pytest.raises(dr.OrchestrationFailed) as caught:
        handle.wait_for_completion(20)
    assert ran() == ["begin", *["db"] * attempts]
    assert caught.value.is_caused_by(ConnectionError)
    assert not caught.value.is_caused_by(PermissionError)
    status = handle.get_status()
    assert status is not None
    assert status.failure is not None
    assert "db is down" in str(status.failure)
    assert status.failure.is_caused_by(ConnectionRefusedError)


async def test_the_traceback_of_an_error_has_the_callers_line_and_one_of_ours(hub: TestHub) -> None:
    """Who waits, by whatever way, reads where in their code that was, and not how a client works."""
    failed = hub.client.start_new(calls_it, "db", instance_id="failed")
    hub.settle()
    awaited = hub.async_client.get_handle("failed")

    async def by_await() -> None:
        await failed

    async def by_method() -> None:
        await awaited.wait_for_completion()

    async def nobody() -> None:
        await hub.async_client.terminate("nobody")

    for wait in (by_await, by_method, nobody):
        with pytest.raises((dr.OrchestrationFailed, dr.InstanceNotFound)) as error:
            await wait()
        assert [entry.name for entry in error.traceback][1] == wait.__name__
        assert len(error.traceback) == 3
    for blocking in (failed.wait_for_completion, failed.watch, hub.client.get_handle("nobody").terminate):
        with pytest.raises((dr.OrchestrationFailed, dr.InstanceNotFound)) as error:
            blocking()
        assert len(error.traceback) == 2

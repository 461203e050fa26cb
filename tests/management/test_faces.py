"""One implementation, two faces: whatever a `Client` does at once, an `AsyncClient` does awaited; so do their handles."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.client.steps import operation
from durable_ray.testing import TestHub
from tests.management.shapes import BROKEN, collector, echo, steps, waiter

PLAIN = {"get_handle", "iterate_instances"}


def public(kind: type) -> dict[str, Any]:
    return {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("blocking", "awaited"), [(dr.Client, dr.AsyncClient), (dr.OrchestrationHandle, dr.AsyncOrchestrationHandle)]
)
def test_both_have_the_same_operations_and_each_is_documented(blocking: type, awaited: type) -> None:
    assert public(blocking).keys() >= public(awaited).keys() - {"close"}
    for name, found in public(awaited).items():
        if name not in PLAIN and isinstance(found, operation):
            assert public(blocking)[name] is found
            assert found.__doc__, name


def test_an_instance_managed_by_the_awaited_face(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    client = hub.async_client

    async def manage() -> None:
        handle = await client.start_new(collector, 2, instance_id="c", tags={"a": "b"})
        await handle.wait_for_start()
        await handle.raise_event("item", 1)
        await handle.suspend("a while")
        with pytest.raises(dr.InvalidState):
            await handle.suspend()
        await handle.resume()
        await client.raise_event("c", "item", 2)
        assert await handle.wait_for_completion(20) == [1, 2]
        status = await handle.get_status()
        assert status is not None
        assert status.output == [1, 2]
        page = await client.query_instances(tags={"a": "b"}, page_size=1)
        assert [found.instance_id for found in page.instances] == ["c"]
        assert (await client.count(name="collector"), await client.counts()) == (1, {("collector", "Completed"): 1})
        again = await handle.restart()
        await again.terminate("enough")
        await again.rewind()
        for n in range(2):
            await again.raise_event("item", n)
        assert await again.wait_for_completion(20) == [0, 1]
        history = await again.get_history(show_output=True)
        assert history is not None
        assert history[-1]["Result"] == [0, 1]
        handles = await client.start_many(waiter, [None] * 3)
        report = await client.bulk("raise_event", event_name="go", event_data=5, name="waiter")
        assert len(report.done) == 3
        assert await client.wait_many(handles, 20) == [5, 5, 5]
        (one,) = await client.start_from({"FunctionName": "echo", "Input": 1})
        assert (await client.wait_for_completion_or_create_check_status(one.instance_id)).body == 1
        assert await handle.purge() == 1
        assert (await client.purge_by()).deleted == 5

    hub.client.register(echo)
    asyncio.run(manage())


def test_the_handle_manages_what_the_client_does(hub: TestHub, client: dr.Client, monkeypatch: Any) -> None:
    monkeypatch.setenv(BROKEN, "1")
    handle = client.start_new(steps, [1])
    with pytest.raises(dr.OrchestrationFailed):
        handle.wait_for_completion(20)
    monkeypatch.setenv(BROKEN, "")
    handle.rewind("mended")
    assert handle.wait_for_completion(20) == [1]
    assert handle.restart(restart_with_new_instance_id=False).wait_for_completion(20) == [1]
    assert handle.purge() == 1
    assert handle.get_status() is None
    assert handle.get_history() is None


def test_each_face_is_iterated_in_its_own_way(hub: TestHub) -> None:
    with pytest.raises(TypeError, match="async for"):
        iter(hub.async_client.iterate_instances())
    with pytest.raises(TypeError, match="with `for`"):
        aiter(hub.client.iterate_instances())

"""`/api/v1`: what each resource does, what it says when it does not, and what a stream tells."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

import durable_ray as dr
from durable_ray.http.api import bulk
from durable_ray.http.api.models import Instance, InstanceWait
from durable_ray.http.settings import GatewaySettings
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.authoring.options import OrchestratorOptions
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.listening import listening

API = "/api/v1"


async def start(http: httpx.AsyncClient, name: str, instance_id: str | None = None, **more: Any) -> str:
    body = {"orchestrator": f"http.{name}", "instance_id": instance_id, **more}
    answer = await http.post(f"{API}/instances", json=body)
    assert answer.status_code == 201, answer.text
    (started,) = answer.json()["instance_ids"]
    assert answer.headers["location"].endswith(f"{API}/instances/{started}")
    return str(started)


async def ended(http: httpx.AsyncClient, instance_id: str) -> dict[str, Any]:
    answer = await http.get(f"{API}/instances/{instance_id}?wait=10")
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    return f"{answer.json()['title']}: {answer.json()['detail']}"


async def test_start_and_wait(http: httpx.AsyncClient) -> None:
    shown = await ended(http, await start(http, "hello", "h", input="Ada", tags={"team": "a"}, placement="shared"))
    assert (shown["status"], shown["output"], shown["tags"]) == ("Completed", "Hello Ada!", {"team": "a"})
    assert shown["created_at"] == "2030-01-01T00:00:00Z"
    assert shown["failure"] is None
    quiet = (await http.get(f"{API}/instances/h?show_payloads=false")).json()
    assert (quiet["input"], quiet["output"]) == (None, None)
    assert shown.keys() == quiet.keys() == Instance.model_fields.keys()


async def test_an_instance_says_what_it_waits_for(http: httpx.AsyncClient, hub: TestHub) -> None:
    await start(http, "approval", "w")
    hub.settle()
    shown = (await http.get(f"{API}/instances/w")).json()
    (wait,) = shown["waiting_for"]
    assert (wait["kind"], wait["name"], wait["since"]) == ("event", "Approval", "2030-01-01T00:00:00Z")
    assert wait["text"] == "event 'Approval', since 2030-01-01 00:00:00Z"
    assert wait.keys() == InstanceWait.model_fields.keys()
    (listed,) = (await http.get(f"{API}/instances")).json()["instances"]
    assert listed["waiting_for"] is None
    await http.post(f"{API}/instances/w/events/Approval", json=True)
    assert (await ended(http, "w"))["waiting_for"] == []


async def test_a_failure_says_what_went_wrong(http: httpx.AsyncClient) -> None:
    shown = await ended(http, await start(http, "fragile", input="/nowhere"))
    assert shown["status"] == "Failed"
    assert shown["output"] is None
    assert shown["failure"]["cause"]["error_type"] == "builtins.ValueError"
    assert "it broke" in shown["failure"]["message"]


async def test_starts_that_are_refused(http: httpx.AsyncClient) -> None:
    async def refused(status: int, **body: Any) -> str:
        return problem(await http.post(f"{API}/instances", json=body), status)

    assert "no orchestrator 'nobody'" in await refused(404, orchestrator="nobody")
    assert "orchestrator" in await refused(422)
    assert "reserved for entities" in await refused(422, orchestrator="http.echo", instance_id="@x")
    assert "if_exists" in await refused(422, orchestrator="http.echo", if_exists="replace")
    assert "unknown_field" in await refused(422, orchestrator="http.echo", unknown_field=1)
    assert "RFC 3339" in await refused(422, orchestrator="http.echo", start_at="tomorrow")
    assert "tags" in await refused(422, orchestrator="http.echo", tags={"k": 1})
    await start(http, "approval", "one")
    assert "already exists" in await refused(409, orchestrator="http.approval", instance_id="one")
    await start(http, "approval", "one", if_exists="use_existing")
    await start(http, "approval", "one", if_exists="terminate_existing")


async def test_a_start_may_be_for_later(http: httpx.AsyncClient, hub: TestHub) -> None:
    await start(http, "echo", "later", start_at="2030-01-02T00:00:00+01:00")
    shown = (await http.get(f"{API}/instances/later")).json()
    assert (shown["status"], shown["scheduled_start"]) == ("Pending", "2030-01-01T23:00:00Z")
    await asyncio.to_thread(hub.advance, timedelta(days=1))
    assert (await ended(http, "later"))["status"] == "Completed"


async def test_lists_filter_page_and_count(http: httpx.AsyncClient) -> None:
    for number in range(4):
        await start(http, "echo", f"e-{number}", tags={"odd": str(number % 2)})
        await ended(http, f"e-{number}")
    await start(http, "approval", "a")

    async def ids(**query: Any) -> list[str]:
        answer = await http.get(f"{API}/instances", params=query)
        assert answer.status_code == 200, answer.text
        return [shown["instance_id"] for shown in answer.json()["instances"]]

    assert await ids(name="http.approval") == ["a"]
    assert await ids(status="Completed", tag="odd=1") == ["e-1", "e-3"]
    assert await ids(id_prefix="e-", descending="true", limit=2) == ["e-3", "e-2"]
    assert await ids(status=["Running", "Pending"]) == ["a"]
    assert await ids(created_to="2029-01-01T00:00:00Z") == []
    first = (await http.get(f"{API}/instances?limit=3")).json()
    rest = await http.get(f"{API}/instances", params={"limit": 3, "token": first["continuation_token"]})
    assert len(first["instances"] + rest.json()["instances"]) == 5
    assert rest.json()["continuation_token"] is None
    stolen = {"token": first["continuation_token"], "status": "Failed"}
    problem(await http.get(f"{API}/instances", params=stolen), 409)
    assert (await http.get(f"{API}/count?tag=odd=0")).json() == {"count": 2}
    counts = (await http.get(f"{API}/counts")).json()
    assert (counts["total"], counts["by_status"]["Completed"]) == (5, 4)
    for bad in ("limit=0", "limit=1001", "status=Nonsense", "tag=x", "created_from=5", "wait=-1"):
        target = f"{API}/instances/a" if bad.startswith("wait") else f"{API}/instances"
        problem(await http.get(f"{target}?{bad}"), 400)


async def test_the_life_of_one(http: httpx.AsyncClient) -> None:
    at = f"{API}/instances/{await start(http, 'approval', 'life')}"
    assert (await http.post(f"{at}/suspend", json={"reason": "a break"})).status_code == 202
    assert "already suspended" in problem(await http.post(f"{at}/suspend"), 409)
    assert "terminate it first" in problem(await http.delete(at), 409)
    assert (await http.post(f"{at}/events/Approval", json={"ok": True})).status_code == 202
    assert (await http.post(f"{at}/resume")).status_code == 202
    assert (await ended(http, "life"))["output"] == {"ok": True}
    assert "has finished" in problem(await http.post(f"{at}/terminate", json={"reason": "late"}), 409)
    problem(await http.post(f"{at}/rewind"), 409)
    (fresh,) = (await http.post(f"{at}/restart")).json()["instance_ids"]
    assert fresh != "life"
    assert (await http.post(f"{at}/restart", json={"new_instance_id": False})).json()["instance_ids"] == ["life"]
    assert (await http.post(f"{at}/terminate", json={"reason": "enough"})).status_code == 202
    assert (await ended(http, "life"))["output"] == "enough"
    kinds = [event["type"] for event in (await http.get(f"{at}/history")).json()["events"]]
    assert kinds[:2] == ["TurnStarted", "ExecutionStarted"]
    assert kinds[-1] == "ExecutionTerminated"
    assert (await http.delete(at)).json() == {"deleted": 1}
    problem(await http.get(at), 404)


async def test_a_rewind_to_the_newest_code(http: httpx.AsyncClient, hub: TestHub) -> None:
    async def buggy(ctx: dr.OrchestrationContext) -> str:
        raise ZeroDivisionError(f"a bug after {await ctx.wait_for_external_event('first')}")

    async def mended(ctx: dr.OrchestrationContext) -> str:
        return f"mended after {await ctx.wait_for_external_event('first')}"

    async def another(ctx: dr.OrchestrationContext) -> str:
        return "has no event to wait for"

    async def deploy(fn: Any) -> None:
        await hub.async_client.register(Orchestrator(fn, OrchestratorOptions(name="http.job")))

    await deploy(buggy)
    at = f"{API}/instances/{await start(http, 'job', 'job')}"
    await hub.async_client.wait_for_start("job", 20)  # or all is in one turn, which is read again
    assert (await http.post(f"{at}/events/first", json=1)).status_code == 202
    assert (await ended(http, "job"))["status"] == "Failed"
    await deploy(another)
    problem(await http.post(f"{at}/rewind", json={"version": "newest"}), 422)
    assert "does not replay" in problem(await http.post(f"{at}/rewind", json={"version": "latest"}), 409)
    chosen = {"select": {"instance_ids": ["job"]}, "version": "latest"}
    (refused,) = (await http.post(f"{API}/bulk/rewind", json=chosen)).json()["refused"]
    assert "event #" in refused["detail"]
    await deploy(mended)
    assert (await http.post(f"{at}/rewind", json={"version": "latest", "reason": "mended"})).status_code == 202
    assert (await ended(http, "job"))["output"] == "mended after 1"


async def test_nobody_is_404(http: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/history"),
        ("GET", "/stream"),
        ("POST", "/events/x"),
        ("POST", "/terminate"),
        ("POST", "/suspend"),
        ("POST", "/resume"),
        ("POST", "/rewind"),
        ("POST", "/restart"),
    ):
        problem(await http.request(method, f"{API}/instances/nobody{path}"), 404)
    for path in ("nonsense", "instances/%0Ax", "instances/x%0A/history", "%0A"):
        problem(await http.get(f"{API}/{path}"), 404)
    wrong = await http.put(f"{API}/instances")
    problem(wrong, 405)
    assert wrong.headers["allow"] == "GET, POST"


async def test_bulk(http: httpx.AsyncClient) -> None:
    body = {"orchestrator": "http.approval", "inputs": [1, 2, 3], "tags": {"batch": "x"}}
    ids = (await http.post(f"{API}/bulk/start", json=body)).json()["instance_ids"]
    assert len(set(ids)) == 3

    async def bulk(action: str, select: Any, **more: Any) -> Any:
        answer = await http.post(f"{API}/bulk/{action}", json={"select": select, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    chosen, matching = {"instance_ids": [*ids, "nobody"]}, {"filter": {"tag": ["batch=x"]}}
    suspended = await bulk("suspend", chosen, reason="break")
    assert suspended["done"] == 3
    assert [refused["instance_id"] for refused in suspended["refused"]] == ["nobody"]
    assert (await bulk("resume", matching))["done"] == 3
    assert (await bulk("events", matching, event_name="Approval", data="go"))["done"] == 3
    for instance_id in ids:
        assert (await ended(http, instance_id))["output"] == "go"
    assert (await bulk("terminate", matching))["done"] == 0
    assert (await bulk("rewind", matching))["done"] == 0
    assert await bulk("purge", matching) == {"done": 3, "refused": [], "more": False}
    problem(await http.post(f"{API}/bulk/purge", json={}), 422)
    problem(await http.post(f"{API}/bulk/purge", json={"select": {}}), 422)


async def test_a_bulk_action_by_filter_goes_on_past_those_that_are_refused(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_MOST", 2)
    for number in range(5):
        await start(http, "echo", f"done-{number}")
        await ended(http, f"done-{number}")
    await start(http, "approval", "z")
    refused, done, token, asked = [], 0, None, 0
    while True:
        select = {"filter": {}, "continuation_token": token}
        said = (await http.post(f"{API}/bulk/terminate", json={"select": select})).json()
        refused += [one["instance_id"] for one in said["refused"]]
        done, token, asked = done + said["done"], said.get("continuation_token"), asked + 1
        assert said["more"] == (token is not None)
        if not said["more"]:
            break
        assert asked < 10, "it never ends"
    assert (sorted(refused), done) == ([f"done-{number}" for number in range(5)], 1)
    assert (await ended(http, "z"))["status"] == "Terminated"
    wrong = {"filter": {"name": ["http.echo"]}, "continuation_token": "x"}
    problem(await http.post(f"{API}/bulk/terminate", json={"select": wrong}), 409)


@pytest.mark.parametrize("action", ["purge", "terminate"])
async def test_a_bulk_action_by_filter_leaves_what_came_after_the_match(
    http: httpx.AsyncClient, hub: TestHub, action: str
) -> None:
    name, body = ("echo", {"limit": 1}) if action == "purge" else ("approval", {})
    for instance_id in ("a", "old"):
        await start(http, name, instance_id)
    if action == "purge":
        await asyncio.gather(ended(http, "a"), ended(http, "old"))
    hub.advance(timedelta(minutes=1))
    real = hub.hub.registry.store.query

    def query(*args: Any) -> Any:
        del hub.hub.registry.store.query
        page = real(*args)
        hub.client.start_new("http.approval", instance_id="a", if_exists="terminate_existing")
        return page

    hub.hub.registry.store.query = query  # type: ignore[method-assign]
    select = {"filter": {"created_to": "2030-01-01T00:00:30Z"}}
    said = (await http.post(f"{API}/bulk/{action}", json={"select": select, **body})).json()
    assert said["done"] == (0 if action == "purge" else 1)
    assert said["more"] == (action == "purge")
    assert [refused["instance_id"] for refused in said["refused"]] == ([] if action == "purge" else ["a"])
    while said["more"]:
        said = (await http.post(f"{API}/bulk/{action}", json={"select": select, **body})).json()
    listed = (await http.get(f"{API}/instances?status=Pending&status=Running&show_payloads=false")).json()["instances"]
    assert [one["instance_id"] for one in listed] == ["a"]
    if action == "purge":
        problem(await http.get(f"{API}/instances/old"), 404)


async def test_definitions_and_hub(http: httpx.AsyncClient, hub: TestHub) -> None:
    await start(http, "echo")
    found = (await http.get(f"{API}/definitions")).json()["definitions"]
    assert {"http.echo", "http.greet"} <= {one["name"] for one in found}
    assert all("body" not in one for one in found)
    assert (await http.get(f"{API}/hub")).json()["hub"] == hub.async_client.hub


@pytest.fixture
def served(hub: TestHub) -> Iterator[str]:
    settings = GatewaySettings(port=0, grace=1, stream_interval=0.05, stream_heartbeat=0.2)
    with listening(hub.async_client, settings, world.RING) as url:
        yield url


async def told(http: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None) -> AsyncIterator[Any]:
    """The events of a stream as (kind, id, data)."""
    async with http.stream("GET", path, headers=headers, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        said: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line.startswith(":"):
                yield "comment", "", line
            elif line:
                name, _, value = line.partition(": ")
                said[name] = value
            elif said:
                yield said["event"], said.get("id", ""), json.loads(said["data"])
                said = {}


async def test_a_stream_tells_what_happens_until_the_end(served: str) -> None:
    async with httpx.AsyncClient(base_url=served, headers={"x-functions-key": world.KEY}) as http:
        await start(http, "approval", "s")
        kinds: list[str] = []
        last = ""
        async for kind, event_id, data in told(http, f"{API}/instances/s/stream"):
            if kind == "comment" and "history EventRaised" not in kinds:
                await http.post(f"{API}/instances/s/events/Approval", json="now")
            kinds.append(f"{kind} {data['type']}" if kind == "history" else kind)
            last = event_id or last
            end = data
        history = [kind for kind in kinds if kind.startswith("history")]
        assert history[:2] == ["history TurnStarted", "history ExecutionStarted"]
        assert history[-1] == "history ExecutionCompleted"
        assert history.count("history ExecutionStarted") == 1
        assert kinds[-1] == "end"
        assert end["output"] == "now"
        again = [kind async for kind, _, _ in told(http, f"{API}/instances/s/stream", {"last-event-id": last})]
        assert again == ["status", "end"]


async def test_a_stream_of_all_tells_of_each_change(served: str) -> None:
    async with httpx.AsyncClient(base_url=served, headers={"x-functions-key": world.KEY}) as http:
        seen: dict[str, str] = {}
        stream = told(http, f"{API}/stream")
        assert (await anext(stream))[0] == "comment"
        for number in range(3):
            await start(http, "echo", f"n-{number}")
        async with asyncio.timeout(15):
            async for kind, _, data in stream:
                if kind == "status":
                    seen[data["instance_id"]] = data["status"]
                if seen == {f"n-{number}": "Completed" for number in range(3)}:
                    break
        await stream.aclose()  # type: ignore[attr-defined]


async def test_waiting_takes_no_thread_and_no_poll(http: httpx.AsyncClient, hub: TestHub) -> None:
    await start(http, "approval", "w")
    asked = 0
    ask = hub.async_client._router.registry

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal asked
        asked += 1
        return ask(*args, **kwargs)

    hub.async_client._router.registry = counted  # type: ignore[method-assign]
    before = threading.active_count()  # other tests' hubs may have left some
    waiters = [asyncio.create_task(http.get(f"{API}/instances/w?wait=25")) for _ in range(300)]
    await asyncio.sleep(3)  # Time in which whoever polls would ask; nothing below depends on its length.
    assert threading.active_count() < before + 60
    await http.post(f"{API}/instances/w/events/Approval", json="done")
    answers = await asyncio.gather(*waiters)
    assert {answer.json()["output"] for answer in answers} == {"done"}
    # Find out where it lives, look at its end: whoever polled in those seconds would have asked more often.
    assert asked <= 300 * 2 + 10

"""A parameter that cannot be read is refused, on every route of the app, before anything is done: it never means "all"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from durable_ray.http.api import bulk, instances, overview, schedules, streams
from durable_ray.http.azure import parameters
from durable_ray.http.azure.parameters import EVERYWHERE, declared
from durable_ray.http.azure.routes import BASES, route
from durable_ray.http.requests import Params
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.world import HOOKS

API = "/api/v1"

#: One path for each handler of the management API, under every base that it has.
MANAGED = [
    ("POST", "/orchestrators/http.echo"),
    ("POST", "/orchestrators/http.echo/fresh"),
    ("GET", "/instances"),
    ("DELETE", "/instances"),
    ("GET", "/instances/done"),
    ("DELETE", "/instances/done"),
    ("POST", "/instances/live/raiseEvent/Approval"),
    *(("POST", f"/instances/live/{word}") for word in ("terminate", "suspend", "resume", "rewind", "restart")),
    *((method, f"/entities{path}") for method in ("GET", "POST", "DELETE") for path in ("", "/a", "/a/b")),
]
STARTERS = [("POST", f"/orchestrators/http.echo{more}") for more in ("", "/wait", "/fresh")]
ALL_MANAGED = [(method, f"/{'/'.join(base)}{path}") for base in BASES for method, path in MANAGED] + STARTERS

UNREADABLE = {
    Params.moment: ["", "yesterday", "01/31/2001", "2001-13-01", "2001-01-01T00:00:00 x", "1700000000", "0"],
    Params.statuses: ["", "Fialed", "Failed,", "Failed,Fialed", "Failed Completed", "*", "null"],
    Params.flag: ["", "maybe", "1", "yes", "truefalse"],
    Params.number: ["", "many", "-1", "nan", "inf", "1e999", "1 000", "0x10"],
    Params.count: ["", "many", "0", "-1", "2.5", "nan", "9999999999", "²"],
}

V1_UNREADABLE = {
    "bins": ["", "0", "501", "many", "1.5"],
    "status": ["", "Fialed", "Failed,Completed"],
    "name": ["", "a%00b"],
    "created_from": ["", "yesterday", "01/31/2001", "2001-01-01", "5"],
    "created_to": ["", "01/31/2001"],
    "updated_from": ["", "01/31/2001"],
    "updated_to": ["", "01/31/2001"],
    "tag": ["", "novalue", "=x"],
    "parent_id": ["a%00b"],
    "schedule_id": ["a%00b"],
    "id_prefix": ["", "a%00b"],
    "descending": ["", "sideways"],
    "limit": ["", "0", "1001", "many", "1.5"],
    "show_payloads": ["", "maybe"],
    "wait": ["", "-1", "nan", "inf", "soon"],
    "recursive": ["", "maybe"],
}


@pytest.fixture
async def filled(http: httpx.AsyncClient, hub: TestHub) -> AsyncIterator[httpx.AsyncClient]:
    """A hub with one finished and one live instance, which nothing that is refused may touch."""
    await http.post(f"{HOOKS}/orchestrators/http.echo/done")
    await http.get(f"{API}/instances/done?wait=10")
    await http.post(f"{HOOKS}/orchestrators/http.approval/live")
    await hub.async_client.wait_for_start("live", 20)
    before = (await http.get(f"{API}/instances")).json()
    assert len(before["instances"]) == 2
    yield http
    assert (await http.get(f"{API}/instances")).json() == before


def v1_routes() -> Iterator[tuple[str, str, list[str]]]:
    """(method, path, names of the query parameters) of each route of `/api/v1`."""
    for part in (instances, bulk, schedules, overview, streams):
        for one in part.router.routes:
            assert isinstance(one, APIRoute)
            path = one.path.replace("{instance_id}", "live").replace("{event_name}", "Approval")
            path = path.replace("{schedule_id}", "nightly")
            for method in one.methods:
                yield method, API + path, sorted(found_in(one.dependant))
    yield "GET", f"{API}/openapi.json", []


def found_in(dependant: Any) -> Iterator[str]:
    yield from (parameter.alias for parameter in dependant.query_params)
    for other in dependant.dependencies:
        yield from found_in(other)


def test_the_walk_reaches_every_handler() -> None:
    reached = set()
    for method, path in ALL_MANAGED:
        found = route(method, path.strip("/").split("/"))
        assert found is not None, path
        reached.add(getattr(found[1], "func", found[1]))
    assert set(parameters._DECLARED) <= reached


@pytest.mark.parametrize("base", sorted({path.split("/")[1] for _, path in ALL_MANAGED}))
async def test_what_cannot_be_read_is_400_on_every_route_of_the_management_api(
    filled: httpx.AsyncClient, base: str
) -> None:
    for method, path in ALL_MANAGED:
        if path.split("/")[1] != base:
            continue
        found = route(method, path.strip("/").split("/"))
        assert found is not None
        takes = declared(found[1])
        assert set(EVERYWHERE) <= set(takes)
        tried = [("createdTimeFrmo", "2001-01-01"), ("filter", "x"), ("", "x")]
        tried += [(name, value) for name, kind in takes.items() for value in UNREADABLE.get(kind, ())]  # type: ignore[call-overload]
        for name, value in tried:
            needed = "" if name == "createdTimeFrom" else "createdTimeFrom=2000-01-01T00:00:00Z&"
            query = f"{needed if 'createdTimeFrom' in takes else ''}{name}={quote(value)}"
            answer = await filled.request(method, f"{path}?{query}")
            assert answer.status_code == 400, (method, path, query, answer.text)
            sentence = answer.json()["Message"]
            assert name.lower() in sentence.lower(), sentence
            assert answer.json()["ExceptionMessage"] == sentence


async def test_what_cannot_be_read_is_400_on_every_route_of_api_v1(filled: httpx.AsyncClient) -> None:
    seen = set()
    for method, path, names in v1_routes():
        seen |= set(names)
        tried = [("created_form", "2001-01-01T00:00:00Z"), ("Status", "Failed"), ("", "x")]
        tried += [(name, value) for name in names for value in V1_UNREADABLE.get(name, ())]
        for name, value in tried:
            body = {"json": {}} if method == "POST" else {}
            answer = await filled.request(method, f"{path}?{name}={value}", **body)  # type: ignore[arg-type]
            assert answer.status_code == 400, (method, path, name, value, answer.text)
            assert name in answer.json()["detail"]
    assert seen == {*V1_UNREADABLE, "token"}


async def test_too_many_parameters_are_not_none(filled: httpx.AsyncClient) -> None:
    query = "&".join(["runtimeStatus=Failed"] * 300)
    assert (await filled.get(f"{HOOKS}/instances?{query}")).status_code == 400
    assert (await filled.delete(f"{HOOKS}/instances?createdTimeFrom=2000-01-01&{query}")).status_code == 400


async def test_one_that_is_said_twice_and_differs_is_refused(filled: httpx.AsyncClient) -> None:
    twice = "createdTimeTo=2001-01-01&createdTimeTo=2099-01-01"
    answer = await filled.delete(f"{HOOKS}/instances?createdTimeFrom=2000-01-01&{twice}")
    assert (answer.status_code, "createdTimeTo" in answer.text) == (400, True)
    v1 = "created_to=2001-01-01T00:00:00Z&created_to=2099-01-01T00:00:00Z"
    assert (await filled.get(f"{API}/instances?{v1}")).status_code == 400
    assert (await filled.get(f"{API}/instances?limit=1&limit=1")).status_code == 200


async def test_another_task_hub_is_400_on_every_route_of_the_management_api(filled: httpx.AsyncClient) -> None:
    for method, path in ALL_MANAGED:
        answer = await filled.request(method, f"{path}?taskHub=another&createdTimeFrom=2000-01-01")
        assert answer.status_code == 400, (method, path)
        answer = await filled.request(method, f"{path}?taskHub=another")
        assert (answer.status_code, "another" in answer.text) == (400, True), (method, path)
    assert (await filled.get(f"{HOOKS}/instances?taskHub=TESTING")).status_code == 200


async def test_an_empty_list_in_a_body_does_not_mean_all(filled: httpx.AsyncClient) -> None:
    for chosen in ({"status": []}, {"name": []}, {"tag": []}, {"staus": ["Failed"]}):
        for action in ("terminate", "purge", "suspend"):
            answer = await filled.post(f"{API}/bulk/{action}", json={"select": {"filter": chosen}})
            assert answer.status_code == 422, (action, chosen)


@pytest.mark.parametrize("word", ["completed", "COMPLETED", "Completed"])
async def test_statuses_ignore_case(filled: httpx.AsyncClient, word: str) -> None:
    listed = (await filled.get(f"{HOOKS}/instances?runtimeStatus={word}")).json()
    assert [one["instanceId"] for one in listed] == ["done"]
    assert (await filled.get(f"{API}/count?status={word}")).json() == {"count": 1}
    refused = await filled.post(
        f"{API}/bulk/purge", json={"select": {"filter": {"status": [word], "name": ["nobody"]}}}
    )
    assert refused.json() == {"done": 0, "refused": [], "more": False}


async def test_a_plus_that_was_not_escaped_is_understood(filled: httpx.AsyncClient) -> None:
    # Created at 2030-01-01T00:00:00Z, which is 01:00 an hour east of it.
    for api, name, count in ((f"{HOOKS}/instances", "createdTimeTo", 2), (f"{API}/instances", "created_to", 2)):
        for plus in ("+", "%2B", "%20"):
            for at, expected in (("01:00:00", count), ("00:59:59", 0)):
                answer = await filled.get(f"{api}?{name}=2030-01-01T{at}{plus}01:00")
                assert answer.status_code == 200, answer.text
                shown = answer.json() if name == "createdTimeTo" else answer.json()["instances"]
                assert len(shown) == expected


async def test_a_time_that_is_shown_includes_its_own_instance_when_it_is_given_back(
    http: httpx.AsyncClient, hub: TestHub
) -> None:
    await asyncio.to_thread(hub.advance, timedelta(milliseconds=1700))
    await http.post(f"{HOOKS}/orchestrators/http.echo/odd")
    await http.get(f"{API}/instances/odd?wait=10")
    shown = (await http.get(f"{HOOKS}/instances/odd")).json()["createdTime"]
    assert shown == "2030-01-01T00:00:01Z"
    # As it is; and as clients write the time that they made of it.
    for at in (shown, "2030-01-01T00:00:01.000Z", "2030-01-01T00:00:01.000000Z", "2030-01-01T01:00:01+01:00"):
        for query in (f"createdTimeTo={at}", f"createdTimeFrom={shown}&createdTimeTo={at}"):
            assert len((await http.get(f"{HOOKS}/instances?{query}")).json()) == 1, query
    for earlier in ("2030-01-01T00:00:00Z", "2030-01-01T00:00:01.5Z"):
        assert (await http.get(f"{HOOKS}/instances?createdTimeTo={earlier}")).json() == []
    exact = (await http.get(f"{API}/instances/odd")).json()
    for name in ("created", "updated"):
        bounds = f"{name}_from={exact[f'{name}_at']}&{name}_to={exact[f'{name}_at']}"
        assert len((await http.get(f"{API}/instances?{bounds}")).json()["instances"]) == 1
    gone = await http.delete(f"{HOOKS}/instances?createdTimeFrom={shown}&createdTimeTo={shown}")
    assert gone.json() == {"instancesDeleted": 1}


def test_python_refuses_what_it_cannot_read(hub: TestHub) -> None:
    hub.client.start_new(world.echo, instance_id="done").wait_for_completion(20)
    wrong: list[dict[str, Any]] = [
        {"runtime_status": "Fialed"},
        {"runtime_status": []},
        {"runtime_status": ""},
        {"created_time_to": "2001-01-31"},
        {"created_to": None},
        {"descending": "no"},
    ]
    for filters in wrong:
        with pytest.raises((TypeError, ValueError)):
            hub.client.purge_by(**filters)
    assert hub.client.count() == 1


async def test_azures_names_refuse_an_empty_list_of_statuses(hub: TestHub) -> None:
    from durable_ray.azure import DurableOrchestrationClient

    azure = DurableOrchestrationClient(hub.async_client)
    await azure.start_new("http.echo", "done")
    for ask in (azure.get_status_by, azure.purge_instance_history_by):
        with pytest.raises(ValueError, match="none of several"):
            await ask(runtime_status=[])

"""IDs and event names that are hard to carry go through every door as they are; what no door could carry is refused by each.

The doors: client, HTTP on both bases, by start object, and on a real socket; the command line, typed, piped and over HTTP; a
sub-orchestration; an event from another instance; a file. A raw actor handle is in `tests/ray/test_singleton.py`.
Tags and versions, which are labels, likewise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from typer.testing import CliRunner

import durable_ray as dr
from durable_ray.actors.host.crash_marker import FileMarker, marker_name
from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.cli.hub.over_http import HttpHub
from durable_ray.cli.hub.over_ray import RayHub
from durable_ray.http.settings import GatewaySettings
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.authoring.options import OrchestratorOptions
from durable_ray.orchestrations.values.ids import (
    InvalidEventName,
    InvalidInstanceId,
    InvalidLabel,
    child_instance_id,
    quoted,
    validate_definition_name,
    validate_event_name,
    validate_instance_id,
    validate_tags,
)
from durable_ray.testing import TestHub
from tests.cli.conftest import KEY, RING, Cli
from tests.http.listening import listening

HOOKS = "/runtime/webhooks/durabletask"
RPC = "/durabletask"

#: Instance IDs and event names alike.
HARD = {
    "82 of three bytes": "日" * 82,
    "256 of three bytes": "日" * 256,
    "256 of four bytes": "🦜" * 256,
    "256 of one byte": "x" * 256,
    "three dots": "...",
    "a dot and more": ".hidden",
    "two dots and more": "..up",
    "wait": "wait",
    "a route's word": "raiseEvent",
    "apostrophe": "o'clock",
    "quotation mark": 'say "x"',
    "percent": "100%",
    "encoded slash": "a%2Fb",
    "encoded dots": "%2e%2e",
    "plus and blanks": " a + b ",
    "ampersand": "a&b=c;d",
    "colon": "a:b:0001",
    "braces": "{0}{id}",
    "dash": "-h",
    "no break, line separator": "a\u00a0b\u2028c",
    "combined": "e\u0301\u200d",
    "right to left": "\u202eabc",
    "SQL": "'; DROP TABLE instances; --%_",
}
REFUSED = {
    "dot": ".",
    "dots": "..",
    "slash": "a/b",
    "backslash": "a\\b",
    "hash": "a#b",
    "question mark": "a?b",
    "newline": "a\nb",
    "NUL": "a\0b",
    "surrogate": "a\ud800",
    "empty": "",
    "blank": " ",
    "257": "x" * 257,
    "a number": 7,
}
hard = pytest.mark.parametrize("name", HARD.values(), ids=HARD)
refused = pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)


async def echo(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    return value


async def waits_for(ctx: dr.OrchestrationContext, name: Any) -> Any:
    return await ctx.wait_for_external_event(name)


async def calls(ctx: dr.OrchestrationContext, child: Any) -> Any:
    return await ctx.call_sub_orchestrator("echo", "from a child", instance_id=child)


async def calls_version(ctx: dr.OrchestrationContext, version: str) -> Any:
    return await ctx.call_sub_orchestrator("echo", version=version)


async def sends(ctx: dr.OrchestrationContext, to: list[Any]) -> None:
    ctx.send_event(*to, "from a sibling")


async def descends(ctx: dr.OrchestrationContext, levels: int) -> list[str]:
    below: list[str] = await ctx.call_sub_orchestrator("descends", levels - 1) if levels else []
    return [ctx.instance_id, *below]


@pytest.fixture(scope="module")
def hub() -> Iterator[TestHub]:
    found = DefinitionCatalog()
    for fn in (echo, waits_for, calls, calls_version, sends, descends):
        found.register(Orchestrator(fn, OrchestratorOptions(name=fn.__name__)))
    with TestHub(definitions=found, settings=dr.HubSettings(partitions=1, max_dedicated=200)) as hub:
        hub.client.register()
        yield hub


@pytest.fixture(scope="module")
def http(hub: TestHub) -> Iterator[httpx.Client]:
    """The gateway on a real socket: nothing between a client and the server is left out."""
    with (
        listening(hub.async_client, GatewaySettings(port=0, grace=1), RING) as url,
        httpx.Client(base_url=url, headers={"x-functions-key": KEY}, timeout=30) as client,
    ):
        yield client


@pytest.fixture(params=["ray", "http"])
def cli(request: pytest.FixtureRequest, hub: TestHub, http: httpx.Client) -> Cli:
    reached = RayHub(hub.client, {"hub": "testing"}) if request.param == "ray" else HttpHub(http)
    return Cli(hub, CliRunner(), reached)


@pytest.fixture(autouse=True)
def fresh(hub: TestHub) -> None:
    """No instance is left of the test before."""
    hub.client.bulk("terminate", runtime_status=["Running", "Pending"])
    hub.settle()
    hub.client.purge_by()


# --- instance IDs that are hard -------------------------------------------------------------------


STARTS: dict[str, Callable[[TestHub, httpx.Client, str], str]] = {
    "client": lambda hub, http, name: hub.client.start_new("waits_for", "Go", instance_id=name).instance_id,
    "client, shared": lambda hub, http, name: (
        hub.client.start_new("waits_for", "Go", instance_id=name, placement="shared").instance_id
    ),
    "start object": lambda hub, http, name: (
        hub.client.start_from(json.dumps({"FunctionName": "waits_for", "Input": "Go", "InstanceId": name}))[
            0
        ].instance_id
    ),
    "webhook base": lambda hub, http, name: started(http, f"{HOOKS}/orchestrators/waits_for/{quote(name, safe='')}"),
    "RPC base": lambda hub, http, name: started(http, f"{RPC}/orchestrators/waits_for/{quote(name, safe='')}"),
    "singleton route": lambda hub, http, name: started(http, f"/orchestrators/waits_for/{quote(name, safe='')}"),
    "typed resources": lambda hub, http, name: (
        http.post("/api/v1/instances", json={"orchestrator": "waits_for", "input": "Go", "instance_id": name})
        .raise_for_status()
        .json()["instance_ids"][0]
    ),
}


def started(http: httpx.Client, url: str) -> str:
    answer = http.post(url, json="Go")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    # What is handed out leads back to this instance, and not to a list of all.
    for key, code in (("statusQueryGetUri", (200, 202)), ("suspendPostUri", (202,)), ("resumePostUri", (202,))):
        told = http.request("GET" if key.startswith("status") else "POST", body[key].replace("{text}", "why"))
        assert told.status_code in code, (key, told.text)
        if key.startswith("status"):
            assert told.json()["instanceId"] == body["id"]
    return str(body["id"])


@hard
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_an_id_begins_and_ends_by_every_door(
    hub: TestHub, http: httpx.Client, start: Callable[[TestHub, httpx.Client, str], str], name: str
) -> None:
    assert start(hub, http, name) == name
    with pytest.raises(dr.InstanceAlreadyExists) as caught:
        hub.client.start_new("waits_for", "Go", instance_id=name)
    assert str(caught.value) == f"An instance with ID {quoted(name)} already exists."
    path = quote(name, safe="")
    assert http.get(f"{HOOKS}/instances/{path}").json()["instanceId"] == name
    assert http.get(f"{RPC}/instances/{path}").json()["instanceId"] == name
    assert http.get(f"/api/v1/instances/{path}").json()["instance_id"] == name
    assert http.post(f"{HOOKS}/instances/{path}/raiseEvent/go", json="done").status_code == 202
    assert hub.client.wait_for_completion(name, 10) == "done"
    assert http.get(f"/api/v1/instances/{path}/history").status_code == 200
    assert http.delete(f"{HOOKS}/instances/{path}").json() == {"instancesDeleted": 1}


@hard
def test_an_id_goes_through_the_command_line(hub: TestHub, cli: Cli, name: str) -> None:
    cli.ok("start", "waits_for", '"Go"', f"--id={name}")
    assert json.loads(cli.ok("status", "--json", "--", name))["instance_id"] == name
    cli.ok("raise-event", "--", name, "Go", '"done"')
    assert json.loads(cli.ok("wait", "--json", "--", name))["output"] == "done"
    cli.ok("start", "waits_for", '"Go"', f"--id={name}")
    cli.ok("terminate", "-", stdin=f"{name}\n")
    assert json.loads(cli.ok("status", "--json", "--", name))["status"] == "Terminated"


@hard
def test_an_id_of_a_sub_orchestration(hub: TestHub, name: str) -> None:
    assert hub.client.start_new("calls", name).wait_for_completion(10) == "from a child"
    assert hub.client.get_status(name).runtime_status == "Completed"


@hard
def test_an_id_is_noted_in_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "markers" / marker_name("sqlite:///hub.db", "main", dedicated_host(name))
    FileMarker(path).set(name)
    assert FileMarker(path).take() == name


def test_two_long_ids_have_two_files() -> None:
    assert len({marker_name("s", "main", dedicated_host("日" * 255 + last)) for last in "ab"}) == 2


# --- event names that are hard --------------------------------------------------------------------


RAISES: dict[str, Callable[[TestHub, httpx.Client, str], object]] = {
    "client": lambda hub, http, name: hub.client.raise_event("w", name, "done"),
    "client, once": lambda hub, http, name: hub.client.raise_event("w", name, "done", idempotency_key="k" * 4000),
    "bulk": lambda hub, http, name: hub.client.bulk("raise_event", event_name=name, event_data="done"),
    "sibling": lambda hub, http, name: hub.client.start_new("sends", ["w", name]).wait_for_completion(10),
    "webhook base": lambda hub, http, name: http.post(
        f"{HOOKS}/instances/w/raiseEvent/{quote(name, safe='')}", json="done"
    ).raise_for_status(),
    "RPC base": lambda hub, http, name: http.post(
        f"{RPC}/instances/w/raiseEvent/{quote(name, safe='')}", json="done"
    ).raise_for_status(),
    "typed resources": lambda hub, http, name: http.post(
        f"/api/v1/instances/w/events/{quote(name, safe='')}", json="done"
    ).raise_for_status(),
}


@hard
@pytest.mark.parametrize("send", RAISES.values(), ids=RAISES)
def test_an_event_arrives_by_every_door(
    hub: TestHub, http: httpx.Client, send: Callable[[TestHub, httpx.Client, str], object], name: str
) -> None:
    hub.client.start_new("waits_for", name, instance_id="w")
    send(hub, http, name)
    assert hub.client.wait_for_completion("w", 10) in ("done", "from a sibling")


@hard
def test_an_event_goes_through_the_command_line(hub: TestHub, cli: Cli, name: str) -> None:
    hub.client.start_new("waits_for", name, instance_id="w")
    cli.ok("raise-event", "--", "w", name, '"done"')
    assert hub.client.wait_for_completion("w", 10) == "done"


# --- what is refused ------------------------------------------------------------------------------


@refused
def test_no_instance_can_have_it(hub: TestHub, http: httpx.Client, name: Any) -> None:
    client = hub.client
    with pytest.raises(InvalidInstanceId):
        validate_instance_id(name)
    with pytest.raises(InvalidInstanceId):
        client.start_new("echo", instance_id=name)
    with pytest.raises(InvalidInstanceId):
        client.signal_with_start("echo", "Go", instance_id=name)
    with pytest.raises(InvalidInstanceId):
        client.start_many("echo", [1], instance_ids=[name])
    body = {"orchestrator": "echo", "instance_id": name}
    assert http.post("/api/v1/instances", content=json.dumps(body)).status_code in (400, 415, 422)
    with pytest.raises(dr.OrchestrationFailed, match="InvalidInstanceId"):
        client.start_new("calls", json.loads(json.dumps(name))).wait_for_completion(10)
    assert client.count() == 1, "only the parent"


@refused
def test_no_event_can_have_it(hub: TestHub, http: httpx.Client, name: Any) -> None:
    client = hub.client
    with pytest.raises(InvalidEventName):
        validate_event_name(name)
    client.start_new("waits_for", "Go", instance_id="w")
    with pytest.raises(ValueError, match=r"event"):
        client.raise_event("w", name)
    with pytest.raises(ValueError, match=r"event"):
        client.bulk("raise_event", event_name=name)
    for orchestrator, given in (("sends", ["w", name]), ("waits_for", name)):
        with pytest.raises(dr.OrchestrationFailed, match="InvalidEventName"):
            client.start_new(orchestrator, given).wait_for_completion(10)
    client.raise_event("w", "Go", "done")
    assert client.wait_for_completion("w", 10) == "done"


@pytest.mark.parametrize("name", [name for name in REFUSED.values() if isinstance(name, str)], ids=ascii)
def test_no_definition_can_have_it(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        validate_definition_name(name)


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a#b", "a?b", "a\nb", "x" * 257])
def test_http_says_so(hub: TestHub, http: httpx.Client, name: str) -> None:
    path = quote(name, safe="")
    for base in (HOOKS, RPC, ""):
        answer = http.post(f"{base}/orchestrators/echo/{path}", json=1)
        assert answer.status_code == 400, answer.text
        assert "an instance ID" in answer.json()["ExceptionMessage"]
    hub.client.start_new("waits_for", "Go", instance_id="w")
    for base in (HOOKS, RPC):
        answer = http.post(f"{base}/instances/w/raiseEvent/{path}", json=1)
        assert answer.status_code == 400, answer.text
        assert "an event's name" in answer.json()["ExceptionMessage"]
    assert http.post(f"/api/v1/instances/w/events/{path}", json=1).status_code in (400, 404)


@pytest.mark.parametrize("name", [".", ".."])
def test_the_command_line_says_so(hub: TestHub, cli: Cli, name: str) -> None:
    assert "an instance ID" in cli.fails(2, "start", "echo", f"--id={name}")


# --- derived IDs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [None, "日" * 256], ids=["random", "long"])
def test_children_of_children_can_be_asked_and_ended(hub: TestHub, http: httpx.Client, first: str | None) -> None:
    ids = hub.client.start_new("descends", 40, instance_id=first).wait_for_completion(60)
    assert len(set(ids)) == 41
    for instance_id in ids:
        assert validate_instance_id(instance_id) == instance_id
        assert http.get(f"/api/v1/instances/{quote(instance_id, safe='')}").json()["instance_id"] == instance_id


def test_an_id_stays_readable_as_long_as_it_can() -> None:
    assert child_instance_id("p" * 242, "e" * 32, 1) == "p" * 242 + ":eeeeeeee:0001"
    assert len(child_instance_id("p" * 243, "e" * 32, 1)) == 32 + 14
    assert len({child_instance_id("p" * 255 + last, "e" * 32, 1) for last in "ab"}) == 2


# --- tags and versions ----------------------------------------------------------------------------


HARD_TAGS = {"🦜" * 128: "日" * 256, " a b ": "x=y&z", "'; --%_": "line\nbreak"}
REFUSED_TAGS = {
    "key of 129": {"k" * 129: "v"},
    "value of 257": {"k": "v" * 257},
    "blank key": {" ": "v"},
    "empty key": {"": "v"},
    "key with =": {"a=b": "v"},
    "key with newline": {"a\nb": "v"},
    "NUL": {"k": "a\0b"},
    "surrogate": {"k": "\ud800"},
    "51 of them": {str(n): "v" for n in range(51)},
}
refused_tags = pytest.mark.parametrize("tags", REFUSED_TAGS.values(), ids=REFUSED_TAGS)


def test_tags_go_through_every_door(hub: TestHub, http: httpx.Client, cli: Cli) -> None:
    hub.client.start_new("echo", instance_id="a", tags=HARD_TAGS)
    body = {"orchestrator": "echo", "instance_id": "b", "tags": HARD_TAGS}
    assert http.post("/api/v1/instances", json=body).status_code == 201
    pairs = [f"--tag={key}={value}" for key, value in HARD_TAGS.items()]
    cli.ok("start", "echo", "--id=c", *pairs)
    hub.settle()
    assert {one.instance_id for one in hub.client.list_instances(tags=HARD_TAGS)} == {"a", "b", "c"}
    query = [("tag", f"{key}={value}") for key, value in HARD_TAGS.items()]
    assert http.get("/api/v1/count", params=query).json() == {"count": 3}
    assert cli.ok("count", *pairs).strip() == "3"


@refused_tags
def test_no_instance_can_have_these_tags(hub: TestHub, http: httpx.Client, cli: Cli, tags: dict[str, str]) -> None:
    client = hub.client
    with pytest.raises(InvalidLabel):
        validate_tags(tags)
    with pytest.raises(InvalidLabel):
        client.start_new("echo", tags=tags)
    with pytest.raises(InvalidLabel):
        client.start_many("echo", [1], tags=tags)
    with pytest.raises(InvalidLabel):
        client.signal_with_start("echo", "Go", instance_id="w", tags=tags)
    with pytest.raises(InvalidLabel):
        client.count(tags=tags)
    for path, more in (("/api/v1/instances", {"input": 1}), ("/api/v1/bulk/start", {"inputs": [1]})):
        body = json.dumps({"orchestrator": "echo", "tags": tags, **more})
        answer = http.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
    if all("\0" not in value and "\ud800" not in value for value in tags.values()) and "a=b" not in tags:
        cli.fails(2, "start", "echo", *(f"--tag={key}={value}" for key, value in tags.items()))
    assert client.count() == 0


def test_a_version_is_bounded_at_every_door(hub: TestHub, http: httpx.Client, cli: Cli) -> None:
    long = "1" * 201
    with pytest.raises(InvalidLabel, match="200 characters"):
        OrchestratorOptions(name="v", version=long)
    assert OrchestratorOptions(name="v", version=long[1:]).version == "1" * 200
    with pytest.raises(InvalidLabel):
        hub.client.start_new("echo", version=long)
    body = {"orchestrator": "echo", "version": long}
    assert http.post("/api/v1/instances", json=body).status_code == 422
    for base in (HOOKS, RPC, ""):
        answer = http.post(f"{base}/orchestrators/echo", params={"version": long}, json=1)
        assert answer.status_code == 400, answer.text
        assert "200 characters" in answer.json()["ExceptionMessage"]
    assert "200 characters" in cli.fails(2, "start", "echo", f"--version={long}")
    with pytest.raises(dr.OrchestrationFailed, match="InvalidLabel"):
        hub.client.start_new("calls_version", long).wait_for_completion(10)
    assert hub.client.count() == 1, "only the parent"

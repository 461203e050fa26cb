"""Durable Functions' HTTP contract under the webhook base: routes, codes, headers, shapes; and the starters."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import InstanceQuery, Page
from durable_ray.client.raw_hub import RawHub
from durable_ray.http.app import create_app
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.world import HOOKS


async def ended(http: httpx.AsyncClient, instance_id: str) -> dict[str, Any]:
    return (await http.get(f"/api/v1/instances/{instance_id}?wait=10")).json()  # type: ignore[no-any-return]


async def test_a_start_answers_where_to_ask(http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{HOOKS}/orchestrators/http.echo/a b", json=1)
    urls = answer.json()
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "10"
    assert answer.headers["location"] == urls["statusQueryGetUri"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert list(urls) == [
        "id",
        "statusQueryGetUri",
        "sendEventPostUri",
        "terminatePostUri",
        "rewindPostUri",
        "purgeHistoryDeleteUri",
        "restartPostUri",
        "suspendPostUri",
        "resumePostUri",
    ]
    assert urls["id"] == "a b"
    assert "/instances/a%20b?" in urls["statusQueryGetUri"]
    bare = httpx.AsyncClient(transport=http._transport)
    assert (await bare.get(urls["statusQueryGetUri"])).json()["instanceId"] == "a b"


async def test_a_live_instance_is_202_and_a_finished_one_200(http: httpx.AsyncClient) -> None:
    await http.post(f"{HOOKS}/orchestrators/http.approval/x", json={"n": 1})
    url = f"{HOOKS}/instances/x?showInput=true&code={world.KEY}"
    active = await http.get(url)
    assert active.status_code == 202
    assert active.headers["location"] == f"{world.URL}{url}"
    assert active.headers["retry-after"] == "5"
    assert list(active.json()) == [
        "name",
        "instanceId",
        "runtimeStatus",
        "input",
        "customStatus",
        "output",
        "createdTime",
        "lastUpdatedTime",
    ]
    assert active.json()["createdTime"] == "2030-01-01T00:00:00Z"
    assert (await http.post(f"{HOOKS}/instances/x/raiseEvent/Approval", json=[1])).status_code == 202
    await ended(http, "x")
    done = await http.get(f"{HOOKS}/instances/x?showInput=false")
    assert (done.status_code, done.json()["output"], done.json()["input"]) == (200, [1], None)
    assert "location" not in done.headers


async def test_wait_mode(http: httpx.AsyncClient) -> None:
    wait = "timeout=5&pollingInterval=0.1"
    done = await http.post(f"{HOOKS}/orchestrators/http.echo?{wait}", json={"a": 1})
    assert (done.status_code, done.json()) == (200, {"a": 1})
    late = await http.post(f"{HOOKS}/orchestrators/http.approval/w?timeout=0.1&pollingInterval=0.1")
    assert (late.status_code, late.json()["id"]) == (202, "w")
    failed = await http.post(f"{HOOKS}/orchestrators/http.fragile?{wait}", json="/nowhere")
    assert (failed.status_code, failed.json()["runtimeStatus"]) == (200, "Failed")
    flagged = f"{wait}&returnInternalServerErrorOnFailure=true"
    assert (await http.post(f"{HOOKS}/orchestrators/http.fragile?{flagged}", json="/nowhere")).status_code == 500


async def test_failure_is_500_only_if_asked_for(http: httpx.AsyncClient) -> None:
    await http.post(f"{HOOKS}/orchestrators/http.fragile/f", json="/nowhere")
    await ended(http, "f")
    plain = await http.get(f"{HOOKS}/instances/f")
    assert plain.status_code == 200
    assert "it broke" in plain.json()["output"]
    assert (await http.get(f"{HOOKS}/instances/f?RETURNinternalServerErrorOnFailure=True")).status_code == 500


async def test_errors_of_a_start(http: httpx.AsyncClient) -> None:
    unknown = await http.post(f"{HOOKS}/orchestrators/nobody")
    assert unknown.status_code == 400
    assert unknown.json()["ExceptionMessage"].startswith("The function 'nobody' doesn't exist, is disabled, or")
    assert "'http.echo'" in unknown.json()["ExceptionMessage"]
    for bad in ("@x", "a%2Fb", "a%5Cb", "a%23b", "a%3Fb", "a%0Ab", "a%00b", "%20", "x" * 257):
        answer = await http.post(f"{HOOKS}/orchestrators/http.echo/{bad}")
        assert answer.status_code == 400, bad
        assert answer.json()["Message"] == "One or more of the arguments submitted is incorrect"
        assert "instance ID" in answer.json()["ExceptionMessage"]
    not_json = await http.post(
        f"{HOOKS}/orchestrators/http.echo", content=b"{", headers={"content-type": "application/json"}
    )
    assert (not_json.status_code, not_json.json()["Message"]) == (400, "Invalid JSON content")


async def test_a_taken_id_is_409(http: httpx.AsyncClient) -> None:
    assert (await http.post(f"{HOOKS}/orchestrators/http.approval/one")).status_code == 202
    taken = await http.post(f"{HOOKS}/orchestrators/http.approval/one")
    assert (taken.status_code, taken.json()["Message"]) == (409, "An instance with ID 'one' already exists.")


async def test_of_many_racing_starters_of_a_singleton_one_wins(http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(http.post("/orchestrators/http.approval/job") for _ in range(20)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [202] + [409] * 19
    loser = next(answer for answer in answers if answer.status_code == 409)
    assert loser.text == "An instance with ID 'job' already exists."
    await http.post(f"{HOOKS}/instances/job/terminate?reason=over")
    assert (await ended(http, "job"))["status"] == "Terminated"
    assert (await http.post("/orchestrators/http.approval/job")).status_code == 202


async def test_the_waiting_starter(http: httpx.AsyncClient) -> None:
    done = await http.post("/orchestrators/http.hello/wait?timeout=5&retryInterval=0.5", json="Ada")
    assert (done.status_code, done.json()) == (200, "Hello Ada!")
    late = await http.post("/orchestrators/http.approval/wait?timeout=0.1&retryInterval=0.05")
    assert late.status_code == 202
    assert late.headers["retry-after"] == "10"
    assert late.headers["location"] == late.json()["statusQueryGetUri"]
    wrong = await http.post("/orchestrators/http.echo/wait?timeout=0.1&retryInterval=0.3")
    assert wrong.status_code == 400
    assert wrong.json()["ExceptionMessage"].endswith("bigger than retry timeout 300 (ms)")


async def test_messages_to_nobody_and_to_the_finished(http: httpx.AsyncClient) -> None:
    await http.post(f"{HOOKS}/orchestrators/http.echo/gone")
    await ended(http, "gone")
    for operation in ("terminate", "suspend", "resume", "rewind", "raiseEvent/x"):
        absent = await http.post(f"{HOOKS}/instances/nobody/{operation}")
        assert (absent.status_code, absent.content) == (404, b""), operation
        assert (await http.post(f"{HOOKS}/instances/gone/{operation}")).status_code == 410, operation
    restart = await http.post(f"{HOOKS}/instances/nobody/restart")
    assert (restart.status_code, restart.json()["Message"]) == (
        400,
        "InstanceId does not match a valid orchestration instance.",
    )
    assert (await http.get(f"{HOOKS}/instances/nobody")).content == b""
    assert (await http.delete(f"{HOOKS}/instances/nobody")).status_code == 404


async def test_wrong_states_are_500(http: httpx.AsyncClient) -> None:
    await http.post(f"{HOOKS}/orchestrators/http.approval/s")
    for operation in ("resume", "rewind"):
        answer = await http.post(f"{HOOKS}/instances/s/{operation}")
        assert (answer.status_code, answer.json()["Message"]) == (
            500,
            "Something went wrong while processing your request",
        )
    assert (await http.post(f"{HOOKS}/instances/s/suspend?reason=x")).status_code == 202
    assert (await http.post(f"{HOOKS}/instances/s/suspend?reason=x")).status_code == 500


async def test_contents_of_events(http: httpx.AsyncClient) -> None:
    await http.post(f"{HOOKS}/orchestrators/http.approval/e")
    await http.post(f"{HOOKS}/orchestrators/http.echo/gone")
    await ended(http, "gone")
    url = f"{HOOKS}/instances/e/raiseEvent/x"
    plain = await http.post(url, content=b"1", headers={"content-type": "text/plain"})
    assert (plain.status_code, plain.json()) == (400, {"Message": "Only application/json request content is supported"})
    broken = await http.post(url, content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["Message"]) == (400, "Invalid JSON content")
    # Whoever is gone is told so before anything about the content.
    for name, code in (("gone", 410), ("nobody", 404)):
        answer = await http.post(f"{HOOKS}/instances/{name}/raiseEvent/x", content=b"{")
        assert answer.status_code == code


@pytest.mark.parametrize(
    ("reason", "output"),
    [("plain", "plain"), ('{"a": 1}', {"a": 1}), ("a+b", "a b"), ("", ""), ("12", 12), ("tschüß", "tschüß")],
)
async def test_the_reason_of_a_termination_is_its_output(http: httpx.AsyncClient, reason: str, output: object) -> None:
    await http.post(f"{HOOKS}/orchestrators/http.approval/t")
    await http.post(f"{HOOKS}/instances/t/terminate?reason={reason}")
    await ended(http, "t")
    assert (await http.get(f"{HOOKS}/instances/t")).json()["output"] == output


async def test_pages(http: httpx.AsyncClient) -> None:
    for number in range(5):
        await http.post(f"{HOOKS}/orchestrators/http.echo/p-{number}")
        await ended(http, f"p-{number}")
    await http.post(f"{HOOKS}/orchestrators/http.approval/q")
    found: list[str] = []
    token = ""
    for _ in range(3):
        page = await http.get(
            f"{HOOKS}/instances?top=2&instanceIdPrefix=p-", headers={"x-ms-continuation-token": token}
        )
        found += [instance["instanceId"] for instance in page.json()]
        token = page.headers["x-ms-continuation-token"]
    assert (sorted(found), token) == ([f"p-{number}" for number in range(5)], "")
    listed = await http.get(f"{HOOKS}/instances/?runtimeStatus=running,Failed&runtimeStatus=PENDING&showInput=false")
    assert [instance["instanceId"] for instance in listed.json()] == ["q"]
    for unreadable in ("createdTimeFrom=yesterday", "top=many", "showInput=maybe", "runtimeStatus=Running,Nonsense"):
        refused = await http.get(f"{HOOKS}/instances?{unreadable}")
        assert refused.status_code == 400
        assert refused.json()["Message"].startswith(unreadable.partition("=")[0])
    none = await http.get(f"{HOOKS}/instances?createdTimeFrom=2031-01-01T00:00:00.0000000Z")
    assert none.json() == []


async def test_without_top_the_list_is_whole_streamed_and_read_page_by_page(hub: TestHub) -> None:
    await asyncio.to_thread(lambda: [hub.client.start_new("http.echo", n) for n in range(23)])
    asked: list[tuple[int, str | None]] = []
    ask = RawHub.ask

    async def counted(
        raw_hub: RawHub, method: Any, wanted: InstanceQuery, limit: int, token: str | None = None
    ) -> Page:
        assert method is Registry.query
        asked.append((limit, token))
        return await ask(raw_hub, method, wanted, limit, token)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RawHub, "ask", counted)
        app = create_app(hub.async_client, world.SETTINGS.model_copy(update={"page_size": 5}), world.RING)
        sent: list[dict[str, Any]] = []
        read_before_sent: list[int] = []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)
            read_before_sent.append(len(asked))

        headers = [(b"host", b"127.0.0.1:7071"), (b"x-functions-key", world.KEY.encode())]
        scope = {"type": "http", "method": "GET", "path": f"{HOOKS}/instances", "headers": headers, "scheme": "http"}
        client = ("127.0.0.1", 5)
        await app({**scope, "query_string": b"", "client": client, "http_version": "1.1"}, receive, send)  # type: ignore[arg-type]
    found = json.loads(b"".join(message.get("body", b"") for message in sent))
    assert sorted(one["input"] for one in found) == list(range(23))
    assert [limit for limit, _ in asked] == [5] * 5
    # The second page is asked for when the five of the first were taken.
    assert read_before_sent[:7] == [1, 1, 1, 1, 1, 1, 2]
    assert dict(sent[0]["headers"])[b"x-ms-continuation-token"] == b""


async def test_a_list_without_top_goes_on_after_a_token(http: httpx.AsyncClient) -> None:
    for number in range(4):
        await http.post(f"{HOOKS}/orchestrators/http.echo/p-{number}")
        await ended(http, f"p-{number}")
    token = (await http.get(f"{HOOKS}/instances?top=1")).headers["x-ms-continuation-token"]
    rest = await http.get(f"{HOOKS}/instances", headers={"x-ms-continuation-token": token})
    assert len(rest.json()) == 3
    wrong = await http.get(f"{HOOKS}/instances", headers={"x-ms-continuation-token": "nonsense"})
    assert wrong.status_code == 400


async def test_a_terminated_instance_is_rewound(http: httpx.AsyncClient) -> None:
    urls = (await http.post(f"{HOOKS}/orchestrators/http.approval/t")).json()
    await http.post(f"{HOOKS}/instances/t/terminate?reason=by+mistake")
    assert (await ended(http, "t"))["status"] == "Terminated"
    assert (await http.post(urls["rewindPostUri"].replace("{text}", "sorry"))).status_code == 202
    await http.post(f"{HOOKS}/instances/t/raiseEvent/Approval", json="go on")
    assert (await ended(http, "t"))["output"] == "go on"


async def test_the_rpc_base_lists_all_and_decodes_twice(http: httpx.AsyncClient) -> None:
    for number in range(102):
        await http.post("/durabletask/orchestrators/http.echo", json=f'{{"n": {number}}}')
    everything = (await http.get("/durabletask/instances/")).json()
    assert sorted(instance["input"]["n"] for instance in everything) == list(range(102))
    empty = await http.get("/durabletask/instances?instanceIdPrefix=none")
    assert empty.json() == []


async def test_purging(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await http.post(f"{HOOKS}/orchestrators/http.echo/p-{number}")
        await ended(http, f"p-{number}")
    await http.post(f"{HOOKS}/orchestrators/http.approval/live")
    assert (await http.delete(f"{HOOKS}/instances/p-0")).json() == {"instancesDeleted": 1}
    active = await http.delete(f"{HOOKS}/instances/live")
    assert (active.status_code, active.json()) == (200, {"instancesDeleted": 0})
    missing = await http.delete(f"{HOOKS}/instances")
    assert (missing.status_code, missing.json()) == (400, "Please provide value for 'createdTimeFrom' parameter.")
    since = "createdTimeFrom=2000-01-01T00:00:00Z"
    assert (await http.delete(f"{HOOKS}/instances?{since}&runtimeStatus=Running")).status_code == 404
    assert (await http.delete(f"{HOOKS}/instances?{since}&runtimeStatus=Failed")).status_code == 404
    assert (await http.delete(f"{HOOKS}/instances?{since}")).json() == {"instancesDeleted": 2}


async def test_history(http: httpx.AsyncClient) -> None:
    await http.post(f"{HOOKS}/orchestrators/http.hello/h", json="Ada")
    await ended(http, "h")
    shown = (await http.get(f"{HOOKS}/instances/h?showHistory=true&showHistoryOutput=true")).json()
    assert shown["historyEvents"] == shown["history"]
    stamp = "2030-01-01T00:00:00.0000000Z"
    assert shown["historyEvents"][1] == {
        "EventType": "TaskCompleted",
        "FunctionName": "http.greet",
        "Input": "Ada",
        "ScheduledTime": stamp,
        "Result": "Hello Ada!",
        "Timestamp": stamp,
    }
    assert "historyEvents" not in (await http.get(f"{HOOKS}/instances/h")).json()
    quiet = (await http.get(f"{HOOKS}/instances/h?showHistory=true&showInput=false")).json()["historyEvents"]
    assert all("Result" not in event and "Input" not in event for event in quiet)


async def test_pickled_values_stay_shut(http: httpx.AsyncClient, hub: TestHub) -> None:
    await asyncio.to_thread(lambda: hub.client.start_new("http.pickler", {2: "two"}, instance_id="p"))
    await ended(http, "p")
    shown = (await http.get(f"{HOOKS}/instances/p?showHistory=true&showHistoryOutput=true")).json()
    assert shown["input"]["$pickled"] is True
    assert shown["output"]["$pickled"] is True
    assert shown["historyEvents"][0]["Input"]["$pickled"] is True


async def test_words_of_the_path_match_in_any_case(http: httpx.AsyncClient) -> None:
    await http.post("/Runtime/webhooks/durableTask/ORCHESTRATORS/http.approval/Case/")
    assert (
        await http.post("/RUNTIME/webhooks/durabletask/Instances/Case/RAISEEVENT/approval", json=1)
    ).status_code == 202
    assert (await http.get("/admin/extensions/DurableTaskExtension/instances/Case/")).status_code in (200, 202)
    assert (await http.get(f"{HOOKS}/instances/case")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/instances"),
        ("PATCH", "/instances/x"),
        ("GET", "/instances/x/terminate"),
        ("POST", "/instances"),
        ("POST", "/instances//terminate"),
        ("POST", "/instances/x/nonsense"),
        ("GET", "/orchestrators/http.echo"),
        ("GET", ""),
        ("OPTIONS", "/instances"),
    ],
)
async def test_whatever_is_no_route_is_404_without_a_body(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, HOOKS + path)
    assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/entities"),
        ("GET", "/entities/Counter"),
        ("GET", "/entities/Counter/one"),
        ("POST", "/entities/Counter"),
        ("POST", "/entities/Counter/one?op=add"),
        ("DELETE", "/entities/Counter/one"),
    ],
)
async def test_entities_are_501(http: httpx.AsyncClient, method: str, path: str) -> None:
    for base in (HOOKS, "/durabletask"):
        answer = await http.request(method, base + path)
        assert answer.status_code == 501
        assert re.search("entities", answer.json()["Message"])

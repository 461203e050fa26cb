"""`/api/v1/schedules`: every verb, what is refused at this door, and that nothing is stored of what is refused."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

import durable_ray as dr
from durable_ray.client.schedule_documents import schedule_json
from durable_ray.http.api import schedule_models as models
from durable_ray.orchestrations.authoring.catalog import catalog
from durable_ray.testing import TestHub
from tests.http import world

API = "/api/v1/schedules"
HOUR = timedelta(hours=1)
EVERY_HOUR = {"when": {"type": "interval", "every": 3600}}
PICKLED_KEY = {1: "a dict with a key that JSON cannot say"}


async def create(http: httpx.AsyncClient, schedule_id: str = "s", name: str = "echo", **parts: Any) -> dict[str, Any]:
    body = {
        "schedule_id": schedule_id,
        "schedule": {
            "spec": parts.pop("spec", EVERY_HOUR),
            "action": {"orchestrator": f"http.{name}", **parts.pop("action", {})},
            "policy": parts.pop("policy", {}),
        },
        **parts,
    }
    answer = await http.post(API, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"].endswith(f"{API}/{schedule_id}")
    return answer.json()  # type: ignore[no-any-return]


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return f"{answer.json()['title']}: {answer.json()['detail']}"


async def shown(http: httpx.AsyncClient, schedule_id: str = "s") -> dict[str, Any]:
    answer = await http.get(f"{API}/{schedule_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def ended(http: httpx.AsyncClient, runs: int) -> dict[str, Any]:
    for _ in range(200):
        if (found := await shown(http))["counts"]["completed"] >= runs:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def test_a_schedule_is_described_with_its_next_times_its_runs_and_its_skips(
    http: httpx.AsyncClient, hub: TestHub
) -> None:
    made = await create(http, action={"input": {"n": 1}, "tags": {"team": "a"}}, note="for the books")
    assert made["schedule"] == {
        "spec": {
            "when": [{"type": "interval", "every": "PT3600S", "offset": "P0D"}],
            "exclude": [],
            "time_zone": "UTC",
            "start": None,
            "end": None,
            "jitter": "P0D",
            "max_runs": None,
        },
        "action": {
            "orchestrator": "http.echo",
            "input": {"n": 1},
            "version": None,
            "instance_id": None,
            "tags": {"team": "a"},
            "placement": None,
            "priority": None,
        },
        "policy": {"overlap": "skip", "catch_up": "all", "catch_up_window": "PT60S", "pause_on_failure": False},
    }
    assert (made["status"], made["version"], made["note"]) == ("active", 1, "for the books")
    assert (made["created_at"], made["next_times"][0]) == ("2030-01-01T00:00:00Z", "2030-01-01T01:00:00Z")
    assert len(made["next_times"]) == 10
    await asyncio.to_thread(hub.advance, HOUR)
    (run,) = (await ended(http, 1))["runs"]
    assert run == {
        "instance_id": "s",
        "time": "2030-01-01T01:00:00Z",
        "started_at": "2030-01-01T01:00:00Z",
        "ended_at": "2030-01-01T01:00:00Z",
        "outcome": "completed",
        "origin": "schedule",
    }
    assert (await http.get("/api/v1/instances/s")).json()["output"] == {"n": 1}


async def test_why_a_time_was_skipped_is_shown(http: httpx.AsyncClient, hub: TestHub) -> None:
    await create(http, name="approval")
    await asyncio.to_thread(hub.advance, 3 * HOUR)
    found = await shown(http)
    assert [run["outcome"] for run in found["runs"]] == ["running"]
    (skip,) = found["skipped"]
    assert (skip["first"], skip["last"], skip["count"], skip["reason"]) == (
        "2030-01-01T02:00:00Z",
        "2030-01-01T03:00:00Z",
        2,
        "overlap",
    )
    assert skip["detail"] == "the run of 2030-01-01T01:00:00Z was under way"
    model_of = {models.ScheduleShown: found, models.ScheduleRunShown: found["runs"][0], models.ScheduleSkipShown: skip}
    for model, document in {**model_of, models.ScheduleCounts: found["counts"]}.items():
        assert document.keys() == model.model_fields.keys()
    runs = await http.get("/api/v1/instances?schedule_id=s&show_payloads=false")
    assert [one["instance_id"] for one in runs.json()["instances"]] == ["s"]
    assert (await http.get("/api/v1/count?schedule_id=other")).json() == {"count": 0}


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"spec": {"when": "30 25 * * *"}}, "'25' as the hour (field 2, at character 4)"),
        ({"spec": {"when": ["@daily", {"type": "cron", "expression": "61 * * * *"}]}}, "$.spec.when[1]"),
        ({"spec": {"when": "0 0 31 2 *"}}, "never fires"),
        ({"spec": {"when": "@daily", "time_zone": "Europe/Berln"}}, "did you mean 'Europe/Berlin'"),
        ({"spec": {"when": "@daily", "timezone": "UTC"}}, "unknown field `timezone` - at `$.spec`"),
        ({"spec": {"when": "@daily", "end": "2029-01-01T00:00:00Z"}}, "which is over"),
        ({"spec": {"when": "@daily", "max_runs": 0}}, "max_runs"),
        ({"spec": {"when": []}}, "when is empty"),
        ({"policy": {"overlap": "queue"}}, "$.policy.overlap"),
        ({"policy": {"catch_up_window": 1}}, "at least ten seconds"),
        ({"action": {"orchestrator": "http.echo", "instance_id": "r-{tme}"}}, "{schedule_id} and {time}"),
        ({"action": {"orchestrator": "http.echo", "tags": {"durable_ray": 1}}}, "tags"),
        ({"action": {"orchestrator": "http.echo", "input": {"$pickled": True}}}, "only Python can read"),
        ({"action": {}}, "orchestrator"),
        ({"acton": {}}, "acton"),
    ],
)
async def test_what_cannot_be_is_400_with_its_place_and_nothing_is_stored(
    http: httpx.AsyncClient, schedule: dict[str, Any], said: str
) -> None:
    whole = {"spec": EVERY_HOUR, "action": {"orchestrator": "http.echo"}, **schedule}
    refused = await http.post(API, json={"schedule_id": "s", "schedule": whole})
    assert said in problem(refused, 400)
    assert (await http.get(API)).json()["schedules"] == []
    before = await create(http)
    assert said in problem(await http.put(f"{API}/s", json={"schedule": whole, "version": 1}), 400)
    assert await shown(http) == before


async def test_bodies_that_are_none_and_ids_that_are_taken(http: httpx.AsyncClient) -> None:
    whole = {"spec": EVERY_HOUR, "action": {"orchestrator": "http.echo"}}
    for body in (
        {},
        {"schedule_id": "s"},
        {"schedule_id": "a/b", "schedule": whole},
        {"schedule_id": "s", "schedule": "@daily"},
        {"schedule_id": "s", "schedule": whole, "pause": True},
        {"schedule_id": "s", "schedule": whole, "paused": "yes"},
    ):
        problem(await http.post(API, json=body), 422)
    problem(await http.post(API, content=b"{", headers={"content-type": "application/json"}), 400)
    problem(await http.post(API, content=b"schedule_id=s"), 415)
    unknown = {"spec": EVERY_HOUR, "action": {"orchestrator": "nobody"}}
    assert "'nobody'" in problem(await http.post(API, json={"schedule_id": "s", "schedule": unknown}), 404)
    assert (await http.get(API)).json()["schedules"] == []
    await create(http)
    taken = await http.post(API, json={"schedule_id": "s", "schedule": whole})
    assert "ID is taken" in problem(taken, 409)


async def test_an_update_of_a_stale_version_is_409_and_changes_nothing(http: httpx.AsyncClient) -> None:
    made = await create(http, action={"input": [1]})
    changed = {**made["schedule"], "spec": {"when": "@daily"}}
    answer = await http.put(f"{API}/s", json={"schedule": changed, "version": made["version"]})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert answer.json()["schedule"]["spec"]["when"] == [{"type": "cron", "expression": "@daily"}]
    assert answer.json()["schedule"]["action"]["input"] == [1]
    assert answer.json()["next_times"][0] == "2030-01-02T00:00:00Z"
    stale = await http.put(f"{API}/s", json={"schedule": made["schedule"], "version": made["version"]})
    assert "version 2 by now, not 1" in problem(stale, 409)
    assert await shown(http) == answer.json()
    assert (await http.put(f"{API}/s", json={"schedule": made["schedule"]})).json()["version"] == 3


async def test_an_input_that_only_python_can_read_is_kept_when_it_is_sent_back(
    http: httpx.AsyncClient, hub: TestHub
) -> None:
    await hub.async_client.create_schedule("s", "http.echo", PICKLED_KEY, spec="@daily")
    found = await shown(http)
    assert found["schedule"]["action"]["input"]["$pickled"] is True
    found["schedule"]["policy"]["overlap"] = "buffer_one"
    updated = await http.put(f"{API}/s", json={"schedule": found["schedule"]})
    assert updated.json()["schedule"]["policy"]["overlap"] == "buffer_one"
    await http.post(f"{API}/s/trigger")
    assert await hub.async_client.wait_for_completion("s", timeout=10) == PICKLED_KEY
    other = {**found["schedule"], "action": {"orchestrator": "http.echo", "input": {"$pickled": True, "bytes": 1}}}
    assert "only Python can read" in problem(await http.put(f"{API}/s", json={"schedule": other}), 400)


async def test_pause_resume_trigger_backfill_delete(http: httpx.AsyncClient, hub: TestHub) -> None:
    await create(http, policy={"overlap": "allow_all"}, paused=True, note="not yet")
    assert "paused already" in problem(await http.post(f"{API}/s/pause"), 409)
    found = await shown(http)
    assert (found["status"], found["next_times"], found["note"]) == ("paused", [], "not yet")
    triggered = (await http.post(f"{API}/s/trigger", json={"overlap": "allow_all"})).json()
    assert [run["origin"] for run in triggered["runs"]] == ["trigger"]
    resumed = (await http.post(f"{API}/s/resume", json={"note": "now"})).json()
    assert (resumed["status"], resumed["note"]) == ("active", "now")
    assert "is not paused" in problem(await http.post(f"{API}/s/resume"), 409)
    span = {"begin": "2029-12-31T20:00:00Z", "end": "2029-12-31T23:00:00+00:00", "overlap": "allow_all"}
    assert (await http.post(f"{API}/s/backfill", json=span)).status_code == 200
    runs = (await ended(http, 5))["runs"]
    assert [run["origin"] for run in runs].count("backfill") == 4
    future = {"begin": "2031-01-01T00:00:00Z", "end": "2032-01-01T00:00:00Z"}
    assert "times past" in problem(await http.post(f"{API}/s/backfill", json=future), 400)
    problem(await http.post(f"{API}/s/backfill", json={"begin": "yesterday", "end": "today"}), 422)
    problem(await http.post(f"{API}/s/trigger", json={"overlap": "queue"}), 422)
    assert (await http.post(f"{API}/s/pause", json={"note": "holidays"})).json()["status"] == "paused"
    assert (await http.delete(f"{API}/s")).json() == {"deleted": 1}
    problem(await http.get(f"{API}/s"), 404)


async def test_a_trigger_that_may_not_overlap_is_409(http: httpx.AsyncClient) -> None:
    await create(http, name="approval")
    await http.post(f"{API}/s/trigger")
    assert "not triggered" in problem(await http.post(f"{API}/s/trigger"), 409)
    same = problem(await http.post(f"{API}/s/trigger", json={"overlap": "allow_all"}), 400)
    assert "one instance ID" in same


async def test_nobody_is_404(http: httpx.AsyncClient) -> None:
    whole = {"schedule": {"spec": EVERY_HOUR, "action": {"orchestrator": "http.echo"}}}
    span = {"begin": "2029-12-31T20:00:00Z", "end": "2029-12-31T23:00:00Z"}
    for schedule_id in ("nobody", "@x", "a%00b"):
        at = f"{API}/{schedule_id}"
        assert "No such schedule" in problem(await http.get(at), 404)
        problem(await http.put(at, json=whole), 404)
        problem(await http.delete(at), 404)
        problem(await http.post(f"{at}/backfill", json=span), 404)
        for verb in ("pause", "resume", "trigger"):
            problem(await http.post(f"{at}/{verb}"), 404)


async def test_a_read_only_key_only_reads(http: httpx.AsyncClient) -> None:
    made = await create(http)
    read = {"x-functions-key": world.READ_KEY}
    assert (await http.get(f"{API}/s", headers=read)).status_code == 200
    assert (await http.get(API, headers=read)).status_code == 200
    tried = [("POST", ""), ("PUT", "/s"), ("DELETE", "/s")]
    tried += [("POST", f"/s/{verb}") for verb in ("pause", "resume", "trigger", "backfill")]
    for method, path in tried:
        refused = await http.request(method, f"{API}{path}", headers=read, json={})
        assert "may only read" in problem(refused, 403)
    assert await shown(http) == made


async def test_lists_filter_and_page(http: httpx.AsyncClient) -> None:
    for number in range(5):
        await create(http, f"e-{number}", action={"tags": {"odd": str(number % 2)}}, paused=number == 4)
    await create(http, "other")

    async def ids(**query: Any) -> list[str]:
        answer = await http.get(API, params=query)
        assert answer.status_code == 200, answer.text
        return [one["schedule_id"] for one in answer.json()["schedules"]]

    assert await ids() == ["e-0", "e-1", "e-2", "e-3", "e-4", "other"]
    assert await ids(id_prefix="e-", tag="odd=0") == ["e-0", "e-2", "e-4"]
    assert await ids(status="paused") == ["e-4"]
    assert await ids(status="active", tag=["odd=0"]) == ["e-0", "e-2"]
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2, "id_prefix": "e-"}
    for _ in range(3):
        page = (await http.get(API, params=query)).json()
        found += [one["schedule_id"] for one in page["schedules"]]
        query["token"] = page["continuation_token"]
    assert (found, query["token"]) == ([f"e-{number}" for number in range(5)], None)
    token = (await http.get(API, params={"limit": 1})).json()["continuation_token"]
    assert "another query" in problem(await http.get(API, params={"token": token, "status": "paused"}), 409)
    problem(await http.get(API, params={"token": "nonsense"}), 409)
    for bad in ("status=Paused", "limit=0", "limit=1001", "tag=x", "id_prefix=", "paused=true", "prefix=e"):
        problem(await http.get(f"{API}?{bad}"), 400)


async def test_a_page_of_a_filter_goes_on_over_many_that_do_not_match(
    http: httpx.AsyncClient, hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durable_ray.client.raw_hub._SCHEDULES", 2)
    for number in range(7):
        await create(http, f"s-{number}", action={"tags": {"last": str(number == 6)}})
    answer = (await http.get(API, params={"tag": "last=True", "limit": 1})).json()
    assert [one["schedule_id"] for one in answer["schedules"]] == ["s-6"]
    assert answer["continuation_token"] is None


async def test_the_document_says_what_a_schedule_is(http: httpx.AsyncClient) -> None:
    schemas = (await http.get("/api/v1/openapi.json")).json()["components"]["schemas"]
    assert schemas["ScheduleBody"]["properties"]["schedule"] == {"$ref": "#/components/schemas/Schedule"}
    assert set(schemas["ScheduleSpec"]["properties"]) == set(dr.ScheduleSpec.__struct_fields__)
    assert schemas["Cron"]["required"] == ["type", "expression"]
    assert schemas["ScheduleAction"]["properties"]["input"] == {"description": "Any JSON value.", "default": None}


async def test_what_code_declares_is_shown_beside_what_holds(http: httpx.AsyncClient, hub: TestHub) -> None:
    @dr.orchestrator(name="nightly", schedule=dr.DeclaredSchedule("30 2 * * *", [1]))
    async def nightly(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
        return value

    catalog.forget(nightly)  # other tests of this process do not deploy it
    await hub.async_client.register(nightly)
    found = await shown(http, "nightly")
    assert found["declared"] == {"orchestrator": "nightly", "schedule": found["schedule"], "current": True}
    assert found["declared"].keys() == models.DeclarationShown.model_fields.keys()
    changed = {**found["schedule"], "spec": {"when": "@daily"}}
    updated = (await http.put(f"{API}/nightly", json={"schedule": changed})).json()
    assert updated["declared"] == found["declared"]
    assert updated["schedule"] != updated["declared"]["schedule"]


async def test_what_python_made_is_shown_as_python_has_it(http: httpx.AsyncClient, hub: TestHub) -> None:
    spec = dr.ScheduleSpec(
        [dr.Calendar(day_of_week="SAT", hour=[9, 17]), dr.OneTime(datetime(2030, 6, 1, 12)), "@monthly"],
        exclude=dr.Calendar(month=12),
        time_zone="Europe/Berlin",
        jitter=30,
    )
    made = await hub.async_client.create_schedule("s", "http.echo", [1], spec=spec, overlap="buffer_all")
    found = await shown(http)
    assert found["schedule"]["spec"]["exclude"][0]["month"] == "12"
    sent_back = await http.put(f"{API}/s", json={"schedule": found["schedule"], "version": found["version"]})
    assert sent_back.status_code == 200, sent_back.text
    again = await hub.async_client.get_schedule("s")
    assert again is not None
    assert again.schedule == made.schedule
    assert schedule_json(again)["schedule"] == schedule_json(made)["schedule"]

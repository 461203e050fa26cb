"""`durable-ray schedule …`: every verb over Ray and over HTTP, what is refused and with which exit code, and what is shown."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import durable_ray as dr
from durable_ray.cli.hub.over_http import HttpHub
from durable_ray.cli.schedule_output import span_text
from durable_ray.http.app import create_app
from durable_ray.http.settings import GatewaySettings
from durable_ray.orchestrations.authoring.catalog import catalog
from tests.cli.conftest import RING, Cli

HOUR = timedelta(hours=1)


def create(cli: Cli, schedule_id: str = "s", *more: str, name: str = "hello") -> dict[str, Any]:
    when = () if any(one in ("--cron", "--every", "--at", "--calendar") for one in more) else ("--every", "1h")
    return cli.json("schedule", "create", schedule_id, name, *when, *more)  # type: ignore[no-any-return]


def shown(cli: Cli, schedule_id: str = "s") -> dict[str, Any]:
    return cli.json("schedule", "describe", schedule_id)  # type: ignore[no-any-return]


def words(text: str) -> str:
    return " ".join(text.split())


def test_all_options_of_create_mean_what_they_mean_in_python(either: Cli, tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('{"region": "eu"}')
    create(
        either,
        "cli",
        *("--cron", "30 2 * * MON-FRI", "--cron", "@monthly", "--every", "6h/15m", "--at", "2030-12-24T18:00"),
        *(
            "--calendar",
            '{"day_of_week": "SAT", "hour": [9, 17]}',
            "--exclude",
            '{"month": 12, "day_of_month": "25-26"}',
        ),
        *("--exclude", "2031-01-01/2031-01-02T12:00+01:00", "--exclude", "* * 1 1 *", "--time-zone", "Europe/Berlin"),
        *("--start", "2030-02-01", "--end", "2040-01-01T00:00Z", "--jitter", "5m", "--max-runs", "100"),
        *("--input", f"@{tmp_path / 'input.json'}", "--instance-id", "report-{time}", "--tag", "team=blue"),
        *("--placement", "shared", "--priority", "3", "--overlap", "buffer_one", "--catch-up", "latest"),
        *("--catch-up-window", "1h30m", "--pause-on-failure", "--paused", "--note", "not yet"),
    )
    client = either.hub.client
    from_cli = client.get_schedule("cli")
    from_python = client.create_schedule(
        "python",
        "hello",
        {"region": "eu"},
        spec=dr.ScheduleSpec(
            [
                "30 2 * * MON-FRI",
                "@monthly",
                dr.Interval(6 * HOUR, offset=900),
                dr.OneTime(datetime.fromisoformat("2030-12-24T18:00:00")),
                dr.Calendar(day_of_week="SAT", hour=[9, 17]),
            ],
            exclude=[
                dr.Calendar(month=12, day_of_month="25-26"),
                dr.Period(
                    datetime.fromisoformat("2031-01-01T00:00:00"), datetime.fromisoformat("2031-01-02T12:00:00+01:00")
                ),
                "* * 1 1 *",
            ],
            time_zone="Europe/Berlin",
            start=datetime.fromisoformat("2030-02-01T00:00:00"),
            end=datetime.fromisoformat("2040-01-01T00:00:00+00:00"),
            jitter=300,
            max_runs=100,
        ),
        overlap="buffer_one",
        catch_up="latest",
        catch_up_window=5400,
        pause_on_failure=True,
        instance_id="report-{time}",
        tags={"team": "blue"},
        placement="shared",
        priority=3,
    )
    assert from_cli is not None
    assert from_cli.schedule == from_python.schedule
    assert (from_cli.status, from_cli.note) == ("paused", "not yet")


def test_create_prints_the_id_and_notes_when_it_is_due(either: Cli) -> None:
    result = either.run("schedule", "create", "nightly", "hello", "--cron", "30 2 * * *")
    assert result.stdout == "nightly\n"
    assert "next: 2030-01-01 02:30:00Z" in result.stderr


def test_describe_shows_next_times_runs_and_skips(either: Cli) -> None:
    create(either, "s", "--note", "for the books", name="approval")
    either.hub.advance(3 * HOUR)
    said = shown(either)
    assert (len(said["next_times"]), said["next_times"][0]) == (10, "2030-01-01T04:00:00Z")
    assert [(run["time"], run["outcome"]) for run in said["runs"]] == [("2030-01-01T01:00:00Z", "running")]
    assert [(skip["count"], skip["reason"]) for skip in said["skipped"]] == [(2, "overlap")]
    text = either.ok("schedule", "describe", "s", COLUMNS="80")
    assert max(map(len, text.splitlines())) <= 80
    for part in (
        "active (version 1)",
        "for the books",
        "every 1h",
        "1 scheduled, 2 skipped",
        "next 2030-01-01 04:00:00Z",
        "2030-01-01 01:00:00Z running schedule s",
        "2030-01-01 02:00:00Z 2 overlap the run of 2030-01-01T01:00:00Z",
    ):
        assert part in words(text), part


def test_both_ways_show_one_document(cli: Cli) -> None:
    create(cli, "s", "--cron", "@daily", "--time-zone", "Europe/Berlin", "--input", '{"a": [1]}')
    cli.ok("schedule", "trigger", "s")
    cli.hub.client.wait_for_completion("s", 20)
    gateway = create_app(cli.hub.async_client, GatewaySettings(), RING)
    headers = {"x-functions-key": "full-key-of-the-tests"}
    with TestClient(gateway, base_url="http://127.0.0.1:7071", headers=headers) as client:
        assert HttpHub(client).schedules.get("s") == shown(cli)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cron", "30 25 * * *"], "'25' as the hour (field 2, at character 4)"),
        (["--cron", "@daily", "--time-zone", "Europe/Berln"], "did you mean 'Europe/Berlin'"),
        (["--cron", "0 0 31 2 *"], "never fires"),
        (["--calendar", '{"hour": 25}'], "calendar's hour is '25'"),
        (["--calendar", '{"hours": 9}'], "unknown field `hours`"),
        (["--calendar", "[1]"], "a calendar is a JSON object"),
        (["--every", "6 hours"], "'6 hours' is no duration"),
        (["--every", "6h/7h"], "shorter than every"),
        (["--at", "tomorrow"], "is no time"),
        (["--cron", "@daily", "--exclude", "2031-01-02/2031-01-01"], "a period ends after it begins"),
        (["--cron", "@daily", "--end", "2029-01-01"], "which is over"),
        (["--cron", "@daily", "--max-runs", "0"], "max_runs"),
        (["--cron", "@daily", "--catch-up-window", "1s"], "at least ten seconds"),
        (["--cron", "@daily", "--instance-id", "x-{tme}"], "{schedule_id} and {time}"),
        (["--cron", "@daily", "--overlap", "queue"], "queue"),
        (["--cron", "@daily", "--input", "Tokyo"], "'\"Tokyo\"'"),
        (["--cron", "@daily", "--tag", "x"], "--tag key=value"),
        ([], "when is it due?"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_nothing_is_stored(
    either: Cli, options: list[str], said: str
) -> None:
    assert said in words(either.fails(2, "schedule", "create", "s", "hello", *options))
    assert either.hub.client.list_schedules() == []


def test_errors_are_one_line_a_hint_and_an_exit_code(either: Cli) -> None:
    assert "schedule list" in either.fails(3, "schedule", "describe", "nobody")
    assert "deploy FILE" in either.fails(3, "schedule", "create", "s", "unheard_of", "--cron", "@daily")
    either.fails(2, "schedule", "create", "a/b", "hello", "--cron", "@daily")
    create(either)
    assert "schedule update" in either.fails(4, "schedule", "create", "s", "hello", "--cron", "@daily")
    assert "schedule describe" in either.fails(4, "schedule", "resume", "s")
    said = json.loads(either.fails(3, "schedule", "pause", "nobody", "--json"))
    assert (said["error"], said["exit_code"]) == ("No schedule with ID 'nobody' found.", 3)
    for verb in ("pause", "resume", "trigger", "delete", "describe", "update"):
        more = ["--cron", "@daily"] if verb == "update" else []
        for nobody in ("nobody", "a/b", ".."):
            either.fails(3, "schedule", verb, nobody, *more)


def test_update_changes_what_is_given_and_leaves_the_rest(either: Cli) -> None:
    create(
        either,
        "s",
        "--input",
        "[1]",
        "--tag",
        "a=b",
        "--jitter",
        "5m",
        "--end",
        "2031-01-01",
        "--overlap",
        "buffer_one",
    )
    assert either.ok("schedule", "update", "s", "--cron", "@daily", "--reset", "end") == "updated s\n"
    said = shown(either)
    assert said["version"] == 2
    spec, action, policy = (said["schedule"][part] for part in ("spec", "action", "policy"))
    assert (spec["when"], spec["jitter"], spec["end"]) == ([{"type": "cron", "expression": "@daily"}], "PT300S", None)
    assert (action["input"], action["tags"], policy["overlap"]) == ([1], {"a": "b"}, "buffer_one")
    updated = either.json(
        "schedule", "update", "s", "--orchestrator", "approval", "--reset", "tag", "--if-version", "2"
    )
    assert (updated["schedule"]["action"]["orchestrator"], updated["schedule"]["action"]["tags"]) == ("approval", {})
    assert "what is to be changed" in either.fails(2, "schedule", "update", "s")
    assert "cannot be reset" in either.fails(2, "schedule", "update", "s", "--reset", "when")
    assert "reset and given" in either.fails(2, "schedule", "update", "s", "--reset", "end", "--end", "2032-01-01")
    assert "at character 1" in words(either.fails(2, "schedule", "update", "s", "--cron", "61 * * * *"))
    assert shown(either)["version"] == 3


def test_an_update_of_what_was_changed_meanwhile_is_a_conflict(either: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    create(either)
    read = either.reached.schedules.get

    def read_and_changed_by_another(schedule_id: str) -> Any:
        found = read(schedule_id)
        either.hub.client.pause_schedule(schedule_id)
        return found

    monkeypatch.setattr(either.reached.schedules, "get", read_and_changed_by_another)
    assert "version 2 by now, not 1" in words(either.fails(4, "schedule", "update", "s", "--cron", "@daily"))
    monkeypatch.undo()
    assert "by now, not 7" in words(either.fails(4, "schedule", "update", "s", "--cron", "@daily", "--if-version", "7"))
    assert shown(either)["schedule"]["spec"]["when"][0]["type"] == "interval"


def test_an_input_that_only_python_can_read_outlives_an_update(either: Cli) -> None:
    either.hub.client.create_schedule("s", "hello", {1: "one"}, spec="@hourly")
    assert shown(either)["schedule"]["action"]["input"]["$pickled"] is True
    either.ok("schedule", "update", "s", "--cron", "@daily")
    either.ok("schedule", "trigger", "s")
    assert either.hub.client.wait_for_completion("s", 20) == "Hello {1: 'one'}!"


def test_pause_resume_trigger_backfill_delete(either: Cli) -> None:
    create(either, "s", "--overlap", "allow_all", "--paused")
    assert either.ok("schedule", "trigger", "s") == "triggered s\n"
    assert either.ok("schedule", "resume", "s", "--note", "now") == "resumed s\n"
    span = ("--begin", "2029-12-31T20:00", "--end", "2029-12-31T23:00")
    assert either.ok("schedule", "backfill", "s", *span, "--overlap", "allow_all") == "backfilling s\n"
    origins = [run["origin"] for run in shown(either)["runs"]]
    assert (origins.count("trigger"), origins.count("backfill")) == (1, 4)
    assert "times past" in either.fails(2, "schedule", "backfill", "s", "--begin", "2031-01-01", "--end", "2032-01-01")
    either.fails(2, "schedule", "backfill", "s", "--begin", "1h", "--end", "0s", "--overlap", "skip")
    assert either.ok("schedule", "pause", "s", "--note", "holidays") == "paused s\n"
    assert (shown(either)["status"], shown(either)["note"]) == ("paused", "holidays")
    assert "it is paused" in either.run("schedule", "update", "s", "--cron", "@daily").stderr
    assert either.ok("schedule", "delete", "s") == "deleted s\n"
    either.fails(3, "schedule", "describe", "s")


def test_several_are_changed_at_once_and_one_that_fails_stops_no_others(either: Cli) -> None:
    for schedule_id in ("a", "b", "c"):
        create(either, schedule_id)
    result = either.run("schedule", "pause", "a", "nobody", "b")
    assert (result.exit_code, result.stdout) == (3, "paused 2 schedules\n")
    ids = either.ok("schedule", "list", "--status", "paused", "--ids")
    assert ids == "a\nb\n"
    assert either.json("schedule", "resume", "-", stdin=ids) == {"resumed": ["a", "b"]}
    assert either.ok("schedule", "delete", "-", stdin=ids) == "deleted 2 schedules\n"


def test_lists_filter_page_and_fit(either: Cli) -> None:
    for number in range(5):
        create(either, f"e-{number}", "--tag", f"odd={number % 2}", *(["--paused"] if number == 4 else []))
    create(either, "x" * 50, "--cron", "30 2 * * MON-FRI", "--time-zone", "Europe/Berlin")

    def ids(*options: str) -> list[str]:
        return either.ok("schedule", "list", "--ids", *options).split()

    assert ids("--prefix", "e-", "--tag", "odd=0") == ["e-0", "e-2", "e-4"]
    assert ids("--status", "Paused") == ["e-4"]
    first = either.run("schedule", "list", "--ids", "--limit", "4")
    token = first.stderr.partition("--token ")[2].split()[0]
    assert first.stdout.split() + ids("--token", token) == ids("--all") == ids()
    page = either.json("schedule", "list", "--limit", "2", "--token", "")
    assert [one["schedule_id"] for one in page["schedules"]] == ["e-0", "e-1"]
    assert "token" in either.fails(2, "schedule", "list", "--token", token, "--status", "paused")
    either.fails(2, "schedule", "list", "--prefix", "")
    either.fails(2, "schedule", "list", "--all", "--token", token)
    assert "paused" in either.fails(2, "schedule", "list", "--status", "sleeping")
    assert "no schedules match" in either.run("schedule", "list", "--prefix", "none").stderr
    for columns in (60, 80, 120):
        text = either.ok("schedule", "list", COLUMNS=str(columns))
        assert max(map(len, text.splitlines())) <= columns
        assert text.count("x") == 50 + text.count("next")
        assert "2030-01-01 01:00:00Z" in text


def test_what_code_declares_is_told(either: Cli) -> None:
    @dr.orchestrator(name="nightly", schedule="30 2 * * *")
    async def nightly(ctx: dr.OrchestrationContext) -> None: ...

    catalog.forget(nightly)  # other tests of this process do not deploy it
    either.hub.client.register(nightly)
    assert "declared by the code of nightly created" in words(either.ok("schedule", "describe", "nightly"))
    either.ok("schedule", "update", "nightly", "--cron", "@daily")
    assert "declared by the code of nightly, updated since" in words(either.ok("schedule", "describe", "nightly"))
    create(either)
    assert "declared" not in either.ok("schedule", "describe", "s")


def test_a_key_that_may_only_read_is_refused(cli: Cli) -> None:
    create(cli)
    gateway = create_app(cli.hub.async_client, GatewaySettings(), RING)
    headers = {"x-functions-key": "read-key-of-the-tests"}
    with TestClient(gateway, base_url="http://127.0.0.1:7071", headers=headers) as client:
        reading = Cli(cli.hub, cli.runner, HttpHub(client))
        assert shown(reading) == shown(cli)
        assert reading.ok("schedule", "list", "--ids") == "s\n"
        for command in (["pause", "s"], ["delete", "s"], ["trigger", "s"], ["update", "s", "--cron", "@daily"]):
            assert "may only read" in reading.fails(8, "schedule", *command)
        assert "may only read" in reading.fails(8, "schedule", "create", "t", "hello", "--cron", "@daily")
    assert shown(cli)["version"] == 1


@pytest.mark.parametrize(
    ("span", "text"),
    [("PT3600S", "1h"), ("P1DT60S", "1d1m"), (0, "0s"), ("P0D", "0s"), (1.5, "1s500ms"), (1209600, "2w")],
)
def test_durations_are_shown_as_they_are_typed(span: str | float, text: str) -> None:
    assert span_text(span) == text

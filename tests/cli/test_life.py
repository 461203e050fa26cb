"""The whole life of an instance at the command line: every command does what it says, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.cli.hub.over_http import HttpHub
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.authoring.options import OrchestratorOptions
from tests.cli.conftest import BANK, Cli


def test_start_waits_and_prints_the_output(either: Cli) -> None:
    assert json.loads(either.ok("start", "hello", '"Tokyo"', "--id", "h", "--wait")) == "Hello Tokyo!"


def test_start_prints_the_id_that_was_chosen_for_it(either: Cli) -> None:
    instance_id = either.ok("start", "hello").strip()
    assert len(instance_id) == 32
    assert either.json("wait", instance_id)["output"] == "Hello None!"


def test_status_shows_all_that_is_known(either: Cli) -> None:
    either.ok("start", "hello", '{"a": [1]}', "--id", "h", "--tag", "team=blue", "--priority", "3", "--wait")
    said = either.json("status", "h")
    assert said["input"] == {"a": [1]}
    assert said["custom_status"] == {"greeting": {"a": [1]}}
    assert (said["status"], said["tags"], said["priority"]) == ("Completed", {"team": "blue"}, 3)
    assert said["created_at"] == "2030-01-01T00:00:00Z"
    shown = either.ok("status", "h", "--history")
    assert "team=blue" in shown
    assert "ExecutionCompleted" in shown


def test_an_event_lets_an_instance_go_on(either: Cli) -> None:
    either.ok("start", "approval", "--id", "a")
    assert either.ok("raise-event", "a", "Approval", '{"ok": true}') == "raised a\n"
    assert either.json("wait", "a", "--timeout", "20s")["output"] == {"ok": True}


def test_status_and_timeout_say_what_it_waits_for(either: Cli) -> None:
    either.ok("start", "approval", "--id", "a")
    either.hub.settle()
    waits = "event 'Approval', since 2030-01-01 00:00:00Z"
    assert waits in either.ok("status", "a")
    assert [wait["text"] for wait in either.json("status", "a")["waiting_for"]] == [waits]
    assert f"it is Running and waits for {waits}" in " ".join(either.fails(7, "wait", "a", "--timeout", "0.1s").split())


def test_the_status_of_a_failure_shows_the_line_that_failed(either: Cli) -> None:
    either.fails(6, "start", "paying", "5", "--id", "p", "--wait")
    shown = either.ok("status", "p")
    assert 'raise ValueError("the bank is closed")\nValueError: the bank is closed' in shown
    assert shown.index("in pay") < shown.index("which caused:") < shown.index("in paying")
    assert "runner.py" not in shown


def test_terminate_keeps_the_reason(either: Cli) -> None:
    either.ok("start", "approval", "--id", "a")
    assert either.ok("terminate", "a", "--reason", "not needed") == "terminated a\n"
    said = either.fails(6, "wait", "a")
    assert "Terminated" in said
    assert "not needed" in said


def test_suspend_and_resume(either: Cli) -> None:
    either.ok("start", "approval", "--id", "a")
    either.hub.client.wait_for_start("a")
    either.ok("suspend", "a", "-r", "holidays")
    either.ok("raise-event", "a", "Approval", "true")
    assert either.json("status", "a")["status"] == "Suspended"
    assert "holidays" in either.ok("history", "a")
    either.ok("resume", "a")
    assert either.ok("wait", "a") == "true\n"


def test_rewind_runs_again_what_failed(either: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    said = either.fails(6, "start", "paying", "5", "--id", "p", "--wait")
    assert "the bank is closed" in " ".join(said.split())
    monkeypatch.setenv(BANK, "1")
    assert either.ok("rewind", "p", "--reason", "it has opened") == "rewound p\n"
    assert either.ok("wait", "p") == '"paid 5"\n'
    assert [e["type"] for e in either.json("history", "p")].count("ActivityFailed") == 1


def test_rewind_latest_goes_on_with_the_newest_code_or_says_why_not(either: Cli) -> None:
    async def buggy(ctx: dr.OrchestrationContext) -> str:
        raise ZeroDivisionError(f"a bug after {await ctx.wait_for_external_event('first')}")

    async def mended(ctx: dr.OrchestrationContext) -> str:
        return f"mended after {await ctx.wait_for_external_event('first')}"

    async def another(ctx: dr.OrchestrationContext) -> str:
        return "has no event to wait for"

    def deploy(fn: Any) -> None:
        either.hub.client.register(Orchestrator(fn, OrchestratorOptions(name="job")))

    deploy(buggy)
    either.ok("start", "job", "--id", "j")
    either.hub.client.wait_for_start("j", 20)  # or all is in one turn, which is read again
    either.ok("raise-event", "j", "first", "1")
    either.fails(6, "wait", "j")
    deploy(another)
    assert "does not replay" in either.fails(4, "rewind", "j", "--latest")
    deploy(mended)
    assert either.ok("rewind", "j", "--latest") == "rewound j\n"
    assert either.ok("wait", "j") == '"mended after 1"\n'


def test_restart_starts_anew_under_a_new_or_the_same_id(either: Cli) -> None:
    either.ok("start", "hello", '"Rome"', "--id", "h", "--wait")
    new = either.ok("restart", "h").strip()
    assert new != "h"
    assert either.ok("wait", new) == '"Hello Rome!"\n'
    assert either.ok("restart", "h", "--same-id") == "h\n"
    assert either.ok("wait", "h") == '"Hello Rome!"\n'


def test_purge_deletes_what_has_finished(either: Cli) -> None:
    either.ok("start", "hello", "--id", "done", "--wait")
    either.ok("start", "approval", "--id", "going")
    assert either.ok("purge", "done") == "purged 1\n"
    either.fails(3, "status", "done")
    assert "has not finished" in either.fails(4, "purge", "going")
    either.fails(3, "purge", "done")


def test_purge_by_filter_asks_first(either: Cli) -> None:
    for number in range(3):
        either.ok("start", "hello", "--id", f"h{number}", "--wait")
    either.ok("start", "approval", "--id", "going")
    refused = either.run("purge", "--status", "Completed", stdin="n\n")
    assert refused.exit_code == 1
    assert "purge 3 instances?" in refused.stderr
    assert either.json("count")["total"] == 4
    assert either.ok("purge", "--parent", "nobody", "--yes") == "purged 0\n"
    assert either.ok("purge", "--prefix", "h", "--yes") == "purged 3\n"
    assert either.json("count")["total"] == 1


def test_watch_tells_each_event_once_until_the_end(either: Cli) -> None:
    either.ok("start", "hello", '"x"', "--id", "h", "--wait")
    lines = [json.loads(line) for line in either.ok("watch", "h", "--json").split("\n{\n")[0].splitlines()]
    assert [line["event"]["type"] for line in lines if "event" in line] == ["ExecutionStarted", "ExecutionCompleted"]


def test_watch_of_the_hub_shows_counts_and_who_is_under_way(either: Cli) -> None:
    either.ok("start", "approval", "--id", "waiting-here")
    shown = either.ok("watch", "--looks", "1", LINES="50")
    assert "waiting-here" in shown
    assert "approval" in shown


def test_a_start_in_the_future_stays_pending(either: Cli) -> None:
    either.ok("start", "hello", "--id", "h", "--at", "2030-01-02T09:00")
    said = either.json("status", "h")
    assert (said["status"], said["scheduled_start"]) == ("Pending", "2030-01-02T09:00:00Z")


def test_each_starts_one_for_every_input(either: Cli, tmp_path: object) -> None:
    assert len(either.ok("start", "hello", "-", "--each", stdin='"a"\n"b"\n{"c": 1}\n').split()) == 3
    started = either.json("start", "hello", "[1, 2]", "--each", "--priority", "3")["instance_ids"]
    assert [either.json("status", instance_id)["priority"] for instance_id in started] == [3, 3]
    assert either.json("count", "--name", "hello") == {"count": 5}


def test_a_hub_is_deleted_only_by_its_name_and_with_force_while_it_works(cli: Cli) -> None:
    cli.ok("start", "approval", "--id", "a")
    assert "nothing was deleted" in cli.fails(2, "delete-task-hub", "other")
    cli.fails(4, "delete-task-hub", "testing")
    assert cli.ok("delete-task-hub", "testing", "--force") == "deleted 1 instances\n"
    assert cli.json("list") == []


def test_what_needs_the_cluster_says_so_over_http(either: Cli) -> None:
    if isinstance(either.reached, HttpHub):
        assert "needs the cluster" in either.fails(2, "delete-task-hub", "testing")
        assert "needs the cluster" in either.fails(2, "deploy", "nowhere.py")

"""S2, S23: the log has every start, completion, failure and termination; at DEBUG, one instance can be followed in it."""

from __future__ import annotations

import logging

import pytest

import durable_ray as dr
from durable_ray.actors.instances import instance_log
from durable_ray.testing import TestHub
from tests.management.shapes import echo, waiter


@dr.orchestrator(name="logged.breaks")
async def breaks(ctx: dr.OrchestrationContext) -> None:
    raise ValueError("two\nlines")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    for name in ("durable_ray.instances", "durable_ray.instances.completed"):
        caplog.set_level(logging.INFO, logger=name)  # a hub's process that another test ran may have hidden the second
    return caplog


def test_every_start_is_logged(client: dr.Client, lines: pytest.LogCaptureFixture) -> None:
    client.start_new(waiter, instance_id="one")
    client.start_many(echo, [1, 2], instance_ids=["two", "three"])
    client.signal_with_start(waiter, "go", 1, instance_id="four")
    client.wait_for_completion("four", 20)
    client.start_from({"FunctionName": "echo", "InstanceId": "five"})
    again = client.restart("four").instance_id
    ids = ["one", "two", "three", "four", "five", again]
    started = [line for line in lines.messages if not line.startswith("Completed")]
    assert started == [f"Started orchestration with ID = '{name}'." for name in ids]


def test_every_end_is_logged(client: dr.Client, lines: pytest.LogCaptureFixture) -> None:
    client.start_new(echo, 1, instance_id="good").wait_for_completion(20)
    with pytest.raises(dr.OrchestrationFailed):
        client.start_new(breaks, instance_id="bad").wait_for_completion(20)
    ended = [line for line in lines.messages if not line.startswith("Started")]
    assert ended == [
        "Completed orchestration with ID = 'good'.",
        "Failed orchestration with ID = 'bad'. Failure: ValueError: two\\nlines",
    ]


def test_what_was_not_started_is_not_logged(client: dr.Client, lines: pytest.LogCaptureFixture) -> None:
    client.start_new(waiter, instance_id="one")
    lines.clear()
    with pytest.raises(dr.InstanceAlreadyExists):
        client.start_new(waiter, instance_id="one")
    client.start_new(waiter, instance_id="one", if_exists="use_existing")
    client.signal_with_start(waiter, "aside", 1, instance_id="one")
    with pytest.raises(dr.UnknownDefinition):
        client.start_new("nobody")
    assert lines.messages == []


@pytest.mark.parametrize(
    ("reason", "logged"),
    [
        ("sold out", '"sold out"'),
        (None, "none given"),
        ({"code": 7}, '{"code":7}'),
        ("two\nlines \x1b[31m", r'"two\nlines \u001b[31m"'),
        ({1: 2}, "a Python value"),
        ("x" * 600, f'"{"x" * 499}...'),
    ],
)
def test_the_reason_of_a_termination_is_logged(
    hub: TestHub, client: dr.Client, lines: pytest.LogCaptureFixture, reason: object, logged: str
) -> None:
    handle = client.start_new(waiter, instance_id="one")
    handle.wait_for_start(20)
    lines.clear()
    handle.terminate(reason)
    with pytest.raises(dr.OrchestrationTerminated):
        handle.wait_for_completion(20)
    hub.settle()
    assert lines.messages == [f"Terminated orchestration with ID = 'one'. Reason: {logged}"]


def test_so_is_that_of_one_that_never_began_or_was_replaced(
    hub: TestHub, client: dr.Client, lines: pytest.LogCaptureFixture
) -> None:
    client.start_new(waiter, instance_id="later", start_at=hub.now.replace(year=2040)).terminate("never mind")
    client.start_new(waiter, instance_id="old").wait_for_start(20)
    client.start_new(waiter, instance_id="old", if_exists="terminate_existing")
    hub.settle()
    ended = [line for line in lines.messages if line.startswith("Terminated")]
    assert ended == [
        "Terminated orchestration with ID = 'later'. Reason: \"never mind\"",
        "Terminated orchestration with ID = 'old'. Reason: \"replaced by a new start of the same ID\"",
    ]


def test_a_process_of_the_hub_writes_it_where_nobody_configured_logging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.Logger("durable_ray.instances")  # without parents, as in a fresh process
    monkeypatch.setattr(instance_log, "log", log)
    instance_log.show()
    instance_log.show()
    instance_log.terminated("one", '"why"')
    printed = capsys.readouterr().err
    assert printed.count("Terminated orchestration with ID = 'one'. Reason: \"why\"") == 1


def test_the_environment_sets_the_level_of_a_process_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = logging.Logger("durable_ray.instances.completed")
    monkeypatch.setattr(instance_log, "log", logging.Logger("durable_ray.instances"))
    monkeypatch.setattr(instance_log, "completions", quiet)
    instance_log.show()
    assert (instance_log.log.level, quiet.level) == (logging.INFO, logging.WARNING)
    monkeypatch.setenv(instance_log.LEVEL_VARIABLE, "debug")
    instance_log.show()
    assert instance_log.log.level == logging.DEBUG

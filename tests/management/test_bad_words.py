"""What cannot be meant is refused where it is said, with its own error, and nothing is written: neither half, nor wrongly.

What travels is believed by hosts and store. So a bad word that came through would be taken for another one (a start "at"
a text would be a start at once), or fail a commit in which others have their share.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

import durable_ray as dr
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.testing import TestHub
from tests.management.shapes import echo, waiter


@dr.orchestrator
async def mistaken(ctx: dr.OrchestrationContext, said: list[Any]) -> str:
    """Does with `said[1]` as an ID what `said[0]` says."""
    match said[0]:
        case "send":
            ctx.send_event(said[1], said[2])
        case "start":
            ctx.start_orchestration(echo, 1, said[1])
        case _:
            await ctx.call_sub_orchestrator(echo, 1, said[1])
    return "done"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"if_exists": "use_exisiting"}, ValueError),
        ({"placement": "somewhere"}, ValueError),
        ({"start_at": "2031-01-01"}, TypeError),
        ({"start_at": 60}, TypeError),
        ({"priority": "high"}, TypeError),
        ({"priority": 1 << 40}, ValueError),
        ({"version": 2}, TypeError),
        ({"tags": ["red"]}, TypeError),
        ({"tags": {"colour": 1}}, TypeError),
    ],
)
def test_a_start_that_cannot_be_meant(client: dr.Client, said: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(said))):
        client.start_new(echo, 1, **said)
    assert client.count() == 0


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"page_size": "10"}, TypeError),
        ({"page_size": 2.5}, TypeError),
        ({"page_size": 0}, ValueError),
        ({"continuation_token": 7}, TypeError),
    ],
)
def test_a_page_that_cannot_be_meant(client: dr.Client, asked: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(asked))):
        client.query_instances(**asked)
    if "page_size" in asked:
        with pytest.raises(error, match="page_size"):
            client.iterate_instances(**asked)
        with pytest.raises(error, match="limit"):
            client.list_instances(limit=asked["page_size"] or -1)
    assert client.list_instances(limit=0) == []


@pytest.mark.parametrize(("timeout", "error"), [("10", TypeError), (True, TypeError), (float("nan"), ValueError)])
def test_a_timeout_that_cannot_be_meant(client: dr.Client, timeout: Any, error: type[Exception]) -> None:
    handle = client.start_new(waiter)
    for wait in (handle.wait_for_completion, handle.wait_for_start, lambda t: client.wait_many([handle], t)):
        with pytest.raises(error, match="timeout"):
            wait(timeout)


@pytest.mark.parametrize(
    ("never", "shown"),
    [
        (timedelta.max, datetime.max.replace(tzinfo=UTC)),
        (datetime.min, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_start_beyond_all_time_neither_is_lost_nor_spoils_a_list(
    hub: TestHub, client: dr.Client, never: Any, shown: datetime
) -> None:
    client.start_new(waiter, instance_id="far", start_at=never)
    hub.settle()
    (status,) = client.list_instances()
    assert status.scheduled_start == shown
    client.terminate("far")


def test_a_start_that_the_store_refuses_is_an_error(client: dr.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    new_instance: Any = InstanceFactory.new_instance
    monkeypatch.setattr(
        InstanceFactory, "new_instance", lambda *start_options: replace(new_instance(*start_options), priority=1 << 80)
    )
    with pytest.raises(dr.InvalidState, match="cannot store"):
        client.start_new(echo, 1, instance_id="e")
    assert client.get_status("e") is None


def test_one_bad_id_in_a_list_of_start_objects_and_none_is_started(client: dr.Client) -> None:
    good = {"FunctionName": "echo", "InstanceId": "good"}
    with pytest.raises(dr.InvalidInstanceId):
        client.start_from([good, {"FunctionName": "echo", "InstanceId": "a/b"}])
    assert client.count() == 0


@pytest.mark.parametrize(
    ("part", "value", "error"),
    [
        ("runtime_status", "running", ValueError),
        ("runtime_status", 5, TypeError),
        ("runtime_status", [], ValueError),
        ("name", [], ValueError),
        ("name", echo, TypeError),
        ("tags", {"colour": 1}, TypeError),
        ("tags", "red", TypeError),
        ("tags", {}, ValueError),
        ("instance_id_prefix", "", ValueError),
        ("instance_id_prefix", 5, TypeError),
        ("parent_instance_id", 5, TypeError),
        ("created_time_from", "2030-01-01", TypeError),
        ("last_updated_to", 5, TypeError),
    ],
)
def test_a_filter_that_cannot_be_meant_chooses_nobody(
    hub: TestHub, client: dr.Client, part: str, value: Any, error: type[Exception]
) -> None:
    """Above all not everybody: who computed an empty list of names would purge or end all that there is."""
    client.start_new(echo, 1)
    client.start_new(waiter, instance_id="w")
    hub.settle()
    chosen: dict[str, Any] = {part: value}
    for action in (
        client.list_instances,
        client.query_instances,
        client.iterate_instances,
        client.count,
        client.purge_by,
        lambda **filters: client.bulk("terminate", **filters),
    ):
        with pytest.raises(error):
            action(**chosen)
    assert client.counts() == {("echo", "Completed"): 1, ("waiter", "Running"): 1}


@pytest.mark.parametrize("part", ["tags", "instance_id_prefix", "name", "created_time_to", "parent_instance_id"])
def test_a_filter_that_says_nothing_is_not_taken_for_all_by_what_deletes_or_ends(
    hub: TestHub, client: dr.Client, part: str
) -> None:
    client.start_new(echo, 1, instance_id="e")
    client.start_new(waiter, instance_id="w")
    hub.settle()
    nothing: dict[str, Any] = {part: None}
    for action in (client.purge_by, lambda **filters: client.bulk("terminate", **filters)):
        with pytest.raises(ValueError, match=f"no filter says anything: {part} = None; leave"):
            action(**nothing)
        with pytest.raises(ValueError, match="no filter says anything"):
            action(**nothing, runtime_status=None, descending=True)
    assert client.count(**nothing) == 2, "a question harms nobody"
    # What was left out by name beside something that chooses is left out.
    assert client.bulk("terminate", **nothing, runtime_status="Running").done == ("w",)
    hub.settle()
    assert client.purge_by(**nothing, runtime_status="Completed").deleted == 1
    assert client.purge_by().deleted == 1, "no filter at all is all"


def test_a_status_that_does_not_exist_is_answered_with_those_that_do(client: dr.Client) -> None:
    for wrong in ("running", "Done", ["Running", ""]):
        with pytest.raises(ValueError, match=r"there are Pending, Running, .*Completed, Failed, Terminated"):
            client.count(runtime_status=wrong)


def test_a_bulk_action_with_no_status_said_is_for_those_that_live(hub: TestHub, client: dr.Client) -> None:
    client.start_new(echo, 1, instance_id="e")
    client.start_new(waiter, instance_id="w")
    hub.settle()
    report = client.bulk("terminate", runtime_status=None)
    assert (report.done, report.refused) == (("w",), {})


@pytest.mark.parametrize(
    "said",
    [
        *(["send", bad, "go"] for bad in (5, None, "", "a/b", "@x")),
        *(["send", "w", bad] for bad in (5, None, " ")),
        *(["start", bad, None] for bad in (5, "", "a/b", "@x")),
        *(["call", bad, None] for bad in (5, "", "a/b", "@x")),
    ],
)
def test_an_orchestrator_that_names_nobody_fails_alone(hub: TestHub, client: dr.Client, said: list[Any]) -> None:
    """An instance that nobody could manage is not made; a message to nobody does not spoil the commit of others."""
    client.start_new(mistaken, said, instance_id="m", placement="shared")
    client.start_new(echo, 1, instance_id="e", placement="shared")
    hub.settle()
    status = client.get_status("m")
    assert status is not None
    assert status.failure is not None
    assert status.failure.is_caused_by(ValueError)
    assert {found.instance_id for found in client.list_instances()} == {"m", "e"}
    assert client.wait_for_completion("e", 5) == 1


@pytest.mark.parametrize("action", ["suspend", "resume", "rewind"])
def test_a_reason_that_history_cannot_keep_does_not_reach_the_instance(
    hub: TestHub, client: dr.Client, action: Any
) -> None:
    client.start_new(waiter, instance_id="w")
    hub.settle()
    reason: Any = ValueError("an error is not a text")
    with pytest.raises(TypeError, match="a reason is a text"):
        getattr(client, action)("w", reason)
    with pytest.raises(TypeError, match="a reason is a text"):
        client.bulk(action, reason=reason, runtime_status="Running")
    hub.settle()
    assert client.counts() == {("waiter", "Running"): 1}


def test_without_time_to_wait_one_still_hears_how_it_stands(hub: TestHub, client: dr.Client) -> None:
    client.start_new(echo, 1, instance_id="e")
    client.start_new(waiter, instance_id="w")
    hub.settle()
    assert client.wait_for_completion("e", 0) == 1
    assert client.wait_for_completion_or_create_check_status("e", 0, 0).body == 1
    assert client.wait_many(["e", "e"], 0) == [1, 1]
    with pytest.raises(TimeoutError, match="1 of 2"):
        client.wait_many(["e", "w"], 0)
    client.wait_for_start("w", 0)
    for seconds in (0, -1):
        with pytest.raises(TimeoutError):
            client.wait_for_completion("w", seconds)
        with pytest.raises(dr.InstanceNotFound):
            client.wait_for_completion("nobody", seconds)


@dr.orchestrator(retain_for=timedelta.max)
async def kept_beyond_all_time(ctx: dr.OrchestrationContext) -> str:
    """Ends at once, and is never purged by itself."""
    return "kept"


def test_a_time_beyond_all_time_keeps_an_instance_for_ever(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(kept_beyond_all_time)
    hub.settle()
    assert handle.wait_for_completion(5) == "kept"
    hub.advance(timedelta(days=2))
    assert client.count() == 1


@pytest.mark.parametrize("priority", ["high", 1.5, True, 1 << 31])
def test_a_priority_is_a_number(priority: Any) -> None:
    with pytest.raises(ValueError, match="priority"):
        dr.orchestrator(name="unranked", priority=priority)(lambda ctx: None)


def test_what_is_said_of_a_hub_names_the_hub(hub: TestHub, client: dr.Client) -> None:
    client.start_new(waiter, instance_id="w")
    hub.settle()
    with pytest.raises(dr.InvalidState, match=r"^hub 'testing': 1 of its instances"):
        client.delete_task_hub("testing")
    assert client.count() == 1
    with pytest.raises(dr.InvalidState, match="without Ray"):
        client.get_actor("w")
    undecorated: Any = len
    with pytest.raises(TypeError, match="decorate"):
        client.register(undecorated)


class Stubborn(str):
    """As `numpy.str_`, or what a template library calls safe."""

    def __str__(self) -> str:
        return self


def test_an_event_name_of_a_class_derived_from_text_is_a_text(client: dr.Client) -> None:
    handle = client.start_new(waiter)
    handle.raise_event(Stubborn("go"), 5)
    handle.wait_for_completion(10)
    assert handle.get_status().runtime_status is dr.RuntimeStatus.COMPLETED

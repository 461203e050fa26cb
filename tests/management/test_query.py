"""S12 to S21: one instance, pages of many, counts, and a history as the documents show it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.store.contract import InvalidToken
from durable_ray.orchestrations.history import events as ev
from durable_ray.testing import TestHub
from tests.management.shapes import collector, echo, family, fan_out, guardian, steps, waiter

START = datetime(2030, 1, 1, tzinfo=UTC)


def ids(found: Any) -> list[str]:
    return [status.instance_id for status in found]


@pytest.fixture
def many(hub: TestHub, client: dr.Client) -> list[str]:
    """Ten instances, a minute apart: even ones finished (echo), odd ones waiting (waiter), tagged by parity."""
    for n in range(10):
        parity = "even" if n % 2 == 0 else "odd"
        tags = {"parity": parity, "n": str(n)}
        client.start_new(echo if parity == "even" else waiter, instance_id=f"{parity}-{n}", tags=tags)
        hub.settle()
        hub.advance(timedelta(minutes=1))
    return ids(client.list_instances())


# --- S12 to S18: one ------------------------------------------------------------------------------


def test_s12_s15_a_status_has_all_its_fields(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(family, [1], instance_id="f", tags={"a": "b"})
    hub.settle()
    status, child = client.get_status("f"), client.get_status("f-child")
    assert status is not None
    assert child is not None
    assert (status.name, status.instance_id, status.input, status.output) == ("family", "f", [1], [1])
    assert (status.created_time, status.last_updated_time) == (START, START)
    assert (status.tags, status.parent_instance_id, child.parent_instance_id) == ({"a": "b"}, None, "f")
    assert status.history is None
    bare = handle.get_status(show_input=False)
    assert bare is not None
    assert bare.input is None


def test_s13_s14_history_and_its_outputs_only_on_request(hub: TestHub, client: dr.Client) -> None:
    client.start_new(steps, [7], instance_id="s")
    hub.settle()

    def results(status: dr.OrchestrationStatus | None) -> list[Any]:
        assert status is not None
        return [e.result for e in status.history or () if isinstance(e, ev.ActivityCompleted)]

    assert results(client.get_status("s", show_history=True)) == [None, None, None]
    assert results(client.get_status("s", show_history=True, show_history_output=True)) == ['"begin"', "7", '"end"']


def test_s13_a_pending_instance_has_no_history(client: dr.Client) -> None:
    client.start_new(echo, instance_id="p", start_at=timedelta(hours=1))
    status = client.get_status("p", show_history=True)
    assert status is not None
    assert (str(status.runtime_status), status.history) == ("Pending", ())
    assert client.get_history("p") == []
    assert client.get_history("nobody") is None


def test_s13_s14_the_merged_view(hub: TestHub, client: dr.Client) -> None:
    @dr.orchestrator(name="merged")
    async def merged(ctx: dr.OrchestrationContext, value: int) -> Any:
        await ctx.create_timer(timedelta(minutes=1))
        await ctx.call_sub_orchestrator(echo, value, "kid")
        return await ctx.wait_for_external_event("go")

    client.start_new(merged, 5, instance_id="m")
    hub.advance(timedelta(minutes=2))
    client.raise_event("m", "go", {"a": 1})
    hub.settle()
    at, later = "2030-01-01T00:00:00.0000000Z", "2030-01-01T00:01:00.0000000Z"
    full = client.get_history("m", show_output=True)
    assert full is not None
    assert full[:3] == [
        {"EventType": "ExecutionStarted", "FunctionName": "merged", "Input": 5, "Timestamp": at},
        {"EventType": "TimerCreated", "FireAt": later, "Timestamp": at},
        {"EventType": "TimerFired", "FireAt": later, "Timestamp": later},
    ]
    assert full[3] == {
        "EventType": "SubOrchestrationInstanceCompleted",
        "FunctionName": "echo",
        "InstanceId": "kid",
        "Input": 5,
        "ScheduledTime": later,
        "Result": 5,
        "Timestamp": later,
    }
    assert [{k: v for k, v in entry.items() if k != "Timestamp"} for entry in full[4:]] == [
        {"EventType": "EventRaised", "Name": "go", "Input": {"a": 1}},
        {"EventType": "ExecutionCompleted", "OrchestrationStatus": "Completed", "Result": {"a": 1}},
    ]
    bare = client.get_history("m", show_input=False)
    assert bare is not None
    assert not any({"Input", "Result"} & entry.keys() for entry in bare)


def test_s13_what_is_under_way_is_shown_as_scheduled(hub: TestHub, client: dr.Client) -> None:
    client.start_new(guardian, "kid", instance_id="g")
    hub.settle()

    def kinds() -> list[str]:
        return [entry["EventType"] for entry in client.get_history("g") or []]

    assert kinds() == ["ExecutionStarted", "SubOrchestrationInstanceCreated"]
    client.raise_event("kid", "go")
    hub.settle()
    assert kinds() == ["ExecutionStarted", "SubOrchestrationInstanceCompleted", "ExecutionCompleted"]


def test_s16_output_says_how_it_ended(hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLE_RAY_TEST_BROKEN", "1")
    client.start_new(fan_out, [1], instance_id="failed")
    client.start_new(echo, [1], instance_id="done")
    client.start_new(waiter, instance_id="ended")
    hub.settle()
    client.terminate("ended", {"because": 1})
    client.start_new(waiter, instance_id="running")
    hub.settle()
    outputs = {status.instance_id: status.output for status in client.list_instances()}
    assert "1 is broken" in outputs.pop("failed")
    assert outputs == {"done": [1], "ended": {"because": 1}, "running": None}


def test_s18_none_only_if_it_does_not_exist(client: dr.Client) -> None:
    assert client.get_status("nobody") is None
    client.start_new(echo, instance_id="p", start_at=timedelta(hours=1))
    status = client.get_status("p")
    assert status is not None
    assert status.runtime_status is dr.RuntimeStatus.PENDING


# --- S19 to S21: many -----------------------------------------------------------------------------


def test_s19_all_in_the_order_of_their_creation(client: dr.Client, many: list[str]) -> None:
    assert many == [f"{'even' if n % 2 == 0 else 'odd'}-{n}" for n in range(10)]
    assert ids(client.list_instances(descending=True)) == many[::-1]
    assert ids(client.list_instances(limit=3)) == many[:3]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"runtime_status": "Completed"}, "02468"),
        ({"runtime_status": ["Completed", dr.RuntimeStatus.RUNNING]}, "0123456789"),
        ({"runtime_status": "Canceled"}, ""),
        ({"created_time_from": START + timedelta(minutes=3)}, "3456789"),
        ({"created_time_to": START + timedelta(minutes=3)}, "0123"),
        ({"created_time_from": datetime(2030, 1, 1, 0, 2), "created_time_to": datetime(2030, 1, 1, 0, 4)}, "234"),
        ({"last_updated_from": START + timedelta(minutes=8)}, "89"),
        ({"last_updated_to": START + timedelta(minutes=1)}, "01"),
        ({"name": "waiter"}, "13579"),
        ({"name": ["waiter", "echo"], "runtime_status": "Running"}, "13579"),
        ({"instance_id_prefix": "even-"}, "02468"),
        ({"tags": {"parity": "odd"}}, "13579"),
        ({"tags": {"parity": "odd", "n": "3"}}, "3"),
        ({"tags": {"parity": "odd", "n": "4"}}, ""),
        ({"parent_instance_id": "nobody"}, ""),
    ],
)
def test_s20_filters(client: dr.Client, many: list[str], filters: Any, expected: str) -> None:
    assert "".join(name[-1] for name in ids(client.list_instances(**filters))) == expected
    assert client.count(**filters) == len(expected)


def test_s20_children_of_a_parent(hub: TestHub, client: dr.Client) -> None:
    client.start_new(family, [1], instance_id="f")
    hub.settle()
    assert ids(client.list_instances(parent_instance_id="f")) == ["f-child"]


def test_s20_unknown_filters_and_statuses_are_refused(client: dr.Client) -> None:
    with pytest.raises(TypeError, match="no filter is called runtimestatus"):
        client.list_instances(runtimestatus="Running")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="Runing"):
        client.list_instances(runtime_status="Runing")


def test_s19_pages_stay_right_while_instances_come_and_go(hub: TestHub, client: dr.Client, many: list[str]) -> None:
    seen: list[str] = []
    token = None
    while True:
        page = client.query_instances(page_size=3, continuation_token=token)
        assert len(page.instances) <= 3
        seen += ids(page.instances)
        token = page.continuation_token
        if token is None:
            break
        # One that was seen goes, one that was seen changes, and new ones come.
        client.purge(seen[0])
        if len(seen) == 3:
            client.raise_event("odd-1", "go")
            client.start_new(echo, instance_id="late")
            hub.settle()
    assert seen == [*many, "late"]
    with pytest.raises(InvalidToken):
        client.query_instances(continuation_token="nonsense")


def test_s19_a_token_belongs_to_its_filters(client: dr.Client, many: list[str]) -> None:
    token = client.query_instances(page_size=1, name="echo").continuation_token
    with pytest.raises(InvalidToken):
        client.query_instances(page_size=1, name="waiter", continuation_token=token)


def test_iteration_fetches_page_by_page(hub: TestHub, client: dr.Client, many: list[str]) -> None:
    asked = _count_queries(hub)
    found = client.iterate_instances(page_size=2)
    assert asked == []
    looking = iter(found)
    assert [next(looking).instance_id for _ in range(3)] == many[:3]
    assert len(asked) == 2
    assert ids(found) == many

    async def all_of_them() -> list[str]:
        return [status.instance_id async for status in hub.async_client.iterate_instances(page_size=4, name="echo")]

    assert asyncio.run(all_of_them()) == [name for name in many if name.startswith("even")]


def test_s21_a_cancelled_query_stops_scanning(hub: TestHub, client: dr.Client, many: list[str]) -> None:
    asked = _count_queries(hub)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        client.list_instances(cancel=cancel)
    assert asked == []

    async def cancelled() -> None:
        seen = []

        async def scan() -> None:
            async for status in hub.async_client.iterate_instances(page_size=1):
                seen.append(status)
                await asyncio.sleep(0)

        task = asyncio.create_task(scan())
        while not seen:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    # The page that was under way is the last one.
    hub.settle()
    settled = len(asked)
    hub.settle()
    assert len(asked) == settled < 10


def _count_queries(hub: TestHub) -> list[int]:
    """A list that grows with every page that the store is asked for."""
    asked: list[int] = []
    store, query = hub.hub.registry.store, hub.hub.registry.store.query

    def counted(wanted: Any, limit: int, token: str | None = None) -> Any:
        asked.append(limit)
        return query(wanted, limit, token)

    store.query = counted  # type: ignore[method-assign]
    return asked


def test_counts_by_name_and_status(hub: TestHub, client: dr.Client, many: list[str]) -> None:
    assert client.counts() == {("echo", "Completed"): 5, ("waiter", "Running"): 5}
    client.raise_event("odd-1", "go")
    client.suspend("odd-3")
    hub.settle()
    assert client.counts() == {
        ("echo", "Completed"): 5,
        ("waiter", "Running"): 3,
        ("waiter", "Completed"): 1,
        ("waiter", "Suspended"): 1,
    }
    assert client.count() == 10
    client.resume("odd-3")


def test_last_updated_moves_and_created_does_not(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(collector, 2)
    hub.settle()
    hub.advance(timedelta(minutes=5))
    handle.raise_event("item", 1)
    status = handle.get_status()
    assert status is not None
    assert (status.created_time, status.last_updated_time) == (START, START + timedelta(minutes=5))

"""S39 and what belongs to it: purging one, many and by itself, emptying the hub; and actions on many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray import HubSettings
from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.store.records import InboxMessage
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event
from durable_ray.testing import TestHub
from tests.management.conftest import SWEEPS_NEVER, assert_nobody_is_forgotten
from tests.management.shapes import BROKEN, collector, dynasty, echo, eternal, steps, waiter

START = datetime(2030, 1, 1, tzinfo=UTC)


@dr.orchestrator
async def catching_parent(ctx: dr.OrchestrationContext, names: list[str]) -> list[Any]:
    """Starts waiters of these names; their outputs, or what their failures are called."""
    children = [ctx.call_sub_orchestrator(waiter, "go", name) for name in names]
    return [
        got if isinstance(got, str) else type(got).__name__
        for got in await asyncio.gather(*children, return_exceptions=True)
    ]


def left(client: dr.Client) -> list[str]:
    return [status.instance_id for status in client.list_instances()]


# --- purge ----------------------------------------------------------------------------------------


def test_s39_only_what_has_ended_is_purged(hub: TestHub, client: dr.Client) -> None:
    client.start_new(waiter, instance_id="w")
    hub.settle()
    assert client.purge("w") == 0
    client.raise_event("w", "go")
    hub.settle()
    assert (client.purge("w"), client.purge("w"), client.purge("nobody")) == (1, 0, 0)
    assert client.get_status("w") is None
    assert client.start_new(echo, 1, instance_id="w").wait_for_completion(20) == 1


def test_s39_children_go_with_their_parents_if_asked(hub: TestHub, client: dr.Client) -> None:
    for n in range(2):
        client.start_new(dynasty, [1], instance_id=f"d{n}")
    hub.settle()
    assert client.purge("d0") == 1
    assert client.purge("d1", recursive=True) == 3
    assert left(client) == ["d0-child", "d0-child-child"]


def test_s39_by_time_and_status_in_batches_with_progress(hub: TestHub, client: dr.Client) -> None:
    for n in range(10):
        client.start_new(echo, n, instance_id=f"e{n}")
        hub.settle()
        hub.advance(timedelta(minutes=1))
    client.start_new(waiter, instance_id="w")
    hub.settle()
    seen: list[int] = []
    window = {"created_time_from": START, "created_time_to": START + timedelta(minutes=6)}
    result = client.purge_by(batch_size=3, progress=seen.append, runtime_status="Completed", **window)  # type: ignore[arg-type]
    assert (result.deleted, result.is_complete, seen) == (7, True, [3, 6, 7])
    result = client.purge_by(limit=2)
    assert (result.deleted, result.is_complete) == (2, False)
    assert client.purge_by().deleted == 1
    assert left(client) == ["w"]


def test_s39_running_ones_cannot_be_asked_for(client: dr.Client) -> None:
    with pytest.raises(ValueError, match="not Running"):
        client.purge_by(runtime_status=["Completed", "Running"])


@pytest.mark.parametrize("how", ["purge", "purge_by", "expired", "behind the registry"])
def test_a_purged_id_begins_again_at_once_though_its_process_lingered(
    hub: TestHub, client: dr.Client, how: str
) -> None:
    """The lease goes with the instance. A process that still has it is not given the new one, or says so when it was."""
    client.start_new(collector, 1, instance_id="w", placement="dedicated", tags={"life": "first"})
    client.raise_event("w", "item", 1)
    assert client.wait_for_completion("w", 20) == [1]
    match how:
        case "purge":
            assert client.purge("w") == 1
        case "purge_by":
            assert client.purge_by().deleted == 1
        case "expired":
            rows = hub.store.rows
            hub.hub.registry.store.expired = lambda *args: tuple(row.row_version for row in rows(["w"]).values())  # type: ignore[method-assign]
            assert hub.on_loop(hub.hub.registry.purge_expired()).result(20) == 1
        case _:
            assert hub.store.purge([hub.store.rows(["w"])["w"].row_version]) == ("w",)
    assert (dedicated_host("w") in hub.hub.hosts) == (how == "behind the registry")
    client.signal_with_start(collector, "item", 2, instance_id="w", input=1, placement="dedicated")
    hub.settle()
    status = client.get_status("w")
    assert status is not None
    assert (status.output, status.tags) == ([2], {})


def test_purge_leaves_the_process_of_one_that_lives(hub: TestHub, client: dr.Client) -> None:
    client.start_new(waiter, instance_id="w", placement="dedicated")
    hub.settle()
    before = dict(hub.hub.hosts)
    assert client.purge("w") == 0
    assert hub.hub.hosts == before


def test_purge_against_events_and_starts_keeps_the_books(hub: TestHub) -> None:
    client = hub.async_client

    async def race(n: int) -> None:
        await client.start_new(collector, 1, instance_id=f"r{n % 3}", if_exists="use_existing")
        await asyncio.gather(
            client.raise_event(f"r{n % 3}", "item", n), client.purge(f"r{n % 3}"), return_exceptions=True
        )

    async def races() -> None:
        await asyncio.gather(*(race(n) for n in range(30)))

    asyncio.run(races())
    assert_nobody_is_forgotten(hub)


Meanwhile = Callable[..., None]


@pytest.fixture
def meanwhile(hub: TestHub) -> Meanwhile:
    """Let something happen between the next query and what is done to what it has found (or before that query)."""

    def once(act: Callable[[], object], before: bool = False) -> None:
        real = hub.hub.registry.store.query

        def query(*args: Any) -> Any:
            del hub.hub.registry.store.query
            if before:
                act()
                return real(*args)
            page = real(*args)
            act()
            return page

        hub.hub.registry.store.query = query  # type: ignore[method-assign]

    return once


def test_purge_by_leaves_what_came_after_the_match(hub: TestHub, client: dr.Client, meanwhile: Meanwhile) -> None:
    for name in ("again", "alive", "old"):
        client.start_new(echo, "first", instance_id=name).wait_for_completion(20)
    hub.advance(timedelta(minutes=1))

    def start_again() -> None:
        client.start_new(echo, "second", instance_id="again").wait_for_completion(20)
        client.start_new(waiter, instance_id="alive")

    meanwhile(start_again)
    assert client.purge_by(created_time_to=START + timedelta(seconds=1)).deleted == 1
    assert sorted(left(client)) == ["again", "alive"]
    assert client.wait_for_completion("again", 20) == "second"


def test_purge_by_status_leaves_what_was_rewound_after_the_match(
    hub: TestHub, client: dr.Client, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BROKEN, "*")
    client.start_new(steps, [1], instance_id="s")
    hub.settle()

    def mend() -> None:
        monkeypatch.setenv(BROKEN, "")
        client.rewind("s")
        assert client.wait_for_completion("s", 20) == [1]

    meanwhile(mend)
    assert client.purge_by(runtime_status="Failed").deleted == 0
    assert left(client) == ["s"]


@pytest.mark.parametrize("before", [True, False])
def test_children_of_a_parent_that_began_anew_are_left(
    hub: TestHub, client: dr.Client, meanwhile: Meanwhile, before: bool
) -> None:
    client.start_new(dynasty, [1], instance_id="d").wait_for_completion(20)

    def start_again() -> None:
        client.start_new(dynasty, [2], instance_id="d").wait_for_completion(20)

    meanwhile(start_again, before)
    assert client.purge("d", recursive=True) == 0
    assert sorted(left(client)) == ["d", "d-child", "d-child-child"]


def test_retention_leaves_what_came_after_the_match(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.start_new(echo, "first", instance_id="e").wait_for_completion(20)
    found = [row.row_version for row in hub.store.rows(["e"]).values()]

    def expired(now: int, limit: int) -> list[Any]:
        client.start_new(echo, "second", instance_id="e").wait_for_completion(20)
        return found

    monkeypatch.setattr(hub.hub.registry.store, "expired", expired)
    assert hub.on_loop(hub.hub.registry.purge_expired()).result(20) == 0
    assert client.wait_for_completion("e", 20) == "second"


# --- retention ------------------------------------------------------------------------------------


def test_retention_of_the_hub_and_of_an_orchestrator() -> None:
    @dr.orchestrator(name="kept_for_a_minute", retain_for=60)
    async def minute(ctx: dr.OrchestrationContext) -> None: ...

    @dr.orchestrator(name="kept_for_ever", retain_for=None)
    async def for_ever(ctx: dr.OrchestrationContext) -> None: ...

    settings = HubSettings(partitions=1, sweep_interval=0.05, retain_for=3600)
    with TestHub(auto_advance=False, settings=settings) as hub:
        client = hub.client
        client.start_new(minute, instance_id="minute")
        client.start_new(for_ever, instance_id="ever")
        client.start_new(echo, instance_id="hour")
        client.start_new(waiter, instance_id="running")
        pending = client.start_new(echo, instance_id="pending", start_at=timedelta(days=9))
        pending.terminate()
        hub.settle()
        kept = ["ever", "hour", "minute", "pending", "running"]
        for after, gone in ((59, []), (2, ["minute"]), (3600, ["hour", "pending"]), (10**6, [])):
            hub.advance(timedelta(seconds=after))
            hub.on_loop(hub.hub.registry.purge_expired()).result(20)
            kept = [name for name in kept if name not in gone]
            assert sorted(left(client)) == kept
        assert_nobody_is_forgotten(hub)


def test_a_rewound_instance_does_not_expire_while_it_runs(hub: TestHub, client: dr.Client) -> None:
    @dr.orchestrator(name="short_kept", retain_for=1)
    async def short(ctx: dr.OrchestrationContext) -> Any:
        return await ctx.wait_for_external_event("go")

    handle = client.start_new(short)
    hub.settle()
    handle.terminate()
    handle.rewind()
    hub.advance(timedelta(hours=1))
    hub.on_loop(hub.hub.registry.purge_expired()).result(20)
    handle.raise_event("go", 1)
    assert handle.wait_for_completion(20) == 1


# --- the whole hub --------------------------------------------------------------------------------


def test_s38_delete_task_hub(hub: TestHub, client: dr.Client) -> None:
    client.start_new(echo, 1, instance_id="e").wait_for_completion(20)
    client.start_new(waiter, instance_id="w")
    client.start_new(waiter, instance_id="s", placement="shared")
    hub.settle()
    with pytest.raises(ValueError, match="nothing was deleted"):
        client.delete_task_hub("another")
    with pytest.raises(dr.InvalidState, match="2 of its instances"):
        client.delete_task_hub(client.hub)
    assert client.delete_task_hub(client.hub, force=True) == 3
    assert (left(client), client.counts()) == ([], {})
    # The hub goes on, and nobody who was in it writes any more.
    assert client.start_new(echo, 2, instance_id="w").wait_for_completion(20) == 2
    assert client.start_new(echo, 3).wait_for_completion(20) == 3


# --- bulk -----------------------------------------------------------------------------------------


@pytest.fixture
def crowd(hub: TestHub, client: dr.Client) -> None:
    """Six waiting instances in both placements, one pending, one finished."""
    for n in range(6):
        client.start_new(waiter, instance_id=f"w{n}", placement="shared" if n % 2 else "dedicated")
    client.start_new(waiter, instance_id="later", start_at=timedelta(days=1))
    client.start_new(echo, instance_id="done")
    hub.settle()


def test_bulk_terminate(hub: TestHub, client: dr.Client, crowd: None) -> None:
    seen: list[int] = []
    report = client.bulk("terminate", reason="all", name="waiter", batch_size=3, progress=seen.append)
    hub.settle()
    assert (len(report.done), report.refused, seen) == (7, {}, [3, 6, 7])
    assert client.counts() == {("echo", "Completed"): 1, ("waiter", "Terminated"): 7}


def test_bulk_terminate_of_pending_ones_is_one_commit_a_batch(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        client.start_new(waiter, instance_id=f"p{n}", start_at=timedelta(days=1), placement="dedicated")
    event = encode_event(ev.EventRaised("go", "7", "m"))
    hub.hub.store.commit(None, [InboxMessage("p7", "m", event)])
    commits: list[int] = []
    real = hub.hub.store.commit

    def commit(fence: Any, writes: Any) -> Any:
        commits.append(len(writes))
        return real(fence, writes)

    monkeypatch.setattr(hub.hub.store, "commit", commit)
    report = client.bulk("terminate", reason="all", batch_size=10)
    assert commits == [10, 10]
    assert (len(report.done), report.refused) == (20, {})
    assert client.counts() == {("waiter", "Terminated"): 20}
    with pytest.raises(dr.OrchestrationTerminated, match="all"):
        client.wait_for_completion("p3", 20)
    monkeypatch.undo()
    # Each is as if it had been terminated alone: what waited for it is there when it lives again.
    client.rewind("p7")
    assert client.wait_for_completion("p7", 20) == 7


def test_bulk_terminate_of_pending_children_tells_their_parents(hub: TestHub, client: dr.Client) -> None:
    settings = dr.HubSettings(partitions=2, sweep_interval=SWEEPS_NEVER, max_running={"waiter": 1})
    with TestHub(auto_advance=False, settings=settings) as limited:
        handle = limited.client.start_new(catching_parent, ["kid-0", "kid-1", "kid-2"])
        limited.settle()
        held = sorted(one.instance_id for one in limited.client.list_instances(runtime_status="Pending"))
        assert len(held) == 2
        assert sorted(limited.client.bulk("terminate", reason="no", runtime_status="Pending").done) == held
        (running,) = (name for name in ("kid-0", "kid-1", "kid-2") if name not in held)
        limited.client.raise_event(running, "go", "done")
        assert sorted(handle.wait_for_completion(20)) == ["SubOrchestrationFailed", "SubOrchestrationFailed", "done"]


def test_bulk_suspend_resume_and_raise(hub: TestHub, client: dr.Client, crowd: None) -> None:
    client.suspend("w0")
    report = client.bulk("suspend", runtime_status=["Running", "Suspended"])
    assert len(report.done) == 5
    assert report.refused == {"w0": "already suspended"}
    assert len(client.bulk("resume").done) == 6
    report = client.bulk("raise_event", event_name="go", event_data=7, runtime_status="Running")
    hub.settle()
    assert len(report.done) == len(report) == 6
    assert {client.wait_for_completion(f"w{n}", 20) for n in range(6)} == {7}


def test_bulk_reports_what_finished_meanwhile(hub: TestHub, client: dr.Client, crowd: None) -> None:
    report = client.bulk("terminate", runtime_status="Completed")
    assert (report.done, report.refused) == ((), {"done": "Completed"})


@pytest.mark.parametrize("placement", ["shared", "dedicated", "pending"])
@pytest.mark.parametrize("action", ["terminate", "suspend", "raise_event"])
def test_a_bulk_action_leaves_what_came_after_the_match(
    hub: TestHub, client: dr.Client, meanwhile: Meanwhile, placement: Any, action: Any
) -> None:
    later = {"start_at": timedelta(days=1)} if placement == "pending" else {"placement": placement}
    for name in ("old", "again"):
        client.start_new(waiter, instance_id=name, **later)
    hub.settle()
    hub.advance(timedelta(minutes=1))
    meanwhile(lambda: client.start_new(waiter, instance_id="again", if_exists="terminate_existing", **later))
    event = {"event_name": "go"} if action == "raise_event" else {}
    report = client.bulk(action, created_time_to=START + timedelta(seconds=1), **event)
    hub.settle()
    assert (report.done, list(report.refused)) == (("old",), ["again"])
    assert "another instance was started" in report.refused["again"]
    status = client.get_status("again")
    assert status is not None
    assert status.runtime_status == ("Pending" if placement == "pending" else "Running")
    assert hub.store.inbox(["again"]) == ()


def test_a_bulk_action_reaches_the_next_execution_of_what_was_matched(
    hub: TestHub, client: dr.Client, meanwhile: Meanwhile
) -> None:
    client.start_new(eternal, instance_id="e")
    hub.settle()
    before = hub.store.rows(["e"])["e"].execution_id

    def go_on() -> None:
        client.raise_event("e", "item", 1)

    meanwhile(go_on)
    assert client.bulk("terminate").done == ("e",)
    hub.settle()
    assert hub.store.rows(["e"])["e"].execution_id != before
    assert client.counts() == {("eternal", "Terminated"): 1}


def test_bulk_rewind_leaves_what_came_after_the_match(
    hub: TestHub, client: dr.Client, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BROKEN, "*")
    client.start_new(steps, [1], instance_id="s")
    hub.settle()
    hub.advance(timedelta(minutes=1))

    def start_again() -> None:
        client.start_new(steps, [2], instance_id="s")
        with pytest.raises(dr.OrchestrationFailed):
            client.wait_for_completion("s", 20)

    meanwhile(start_again)
    assert client.bulk("rewind").done == ()
    assert client.counts() == {("steps", "Failed"): 1}


def test_bulk_rewind(hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BROKEN, "*")
    handles = client.start_many(steps, [[1], [2]])
    hub.settle()
    monkeypatch.setenv(BROKEN, "")
    assert len(client.bulk("rewind", reason="fixed").done) == 2
    assert client.wait_many(handles, 20) == [[1], [2]]


def test_bulk_of_an_unknown_action(client: dr.Client) -> None:
    with pytest.raises(ValueError, match="purge_by"):
        client.bulk("purge")  # type: ignore[arg-type]

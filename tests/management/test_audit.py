"""The audit: a store damaged in each way is found to be, where it is, and mended where that takes no guess."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import durable_ray as dr
from durable_ray.actors.instances.audit.auditing import audit, mend
from durable_ray.actors.store.contract import HubInUse, Store
from durable_ray.actors.store.databases.sqlite_file import driver
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.writes import CommitTurn
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event, encode_events
from durable_ray.testing import TestHub


def note(value: object) -> object:
    return value


def broken(value: object) -> None:
    raise ValueError(value)


async def collector(ctx: dr.OrchestrationContext, many: str = "") -> list[Any]:
    await ctx.call_activity("note", 1)
    return [await ctx.wait_for_external_event("item") for _ in range(3)]


async def sleeper(ctx: dr.OrchestrationContext) -> str:
    await ctx.create_timer(timedelta(days=30))
    return "slept"


async def retrying(ctx: dr.OrchestrationContext) -> None:
    await ctx.call_activity("broken", 1, retry_policy=RetryPolicy(timedelta(days=1), 3))


async def parent(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.call_sub_orchestrator("child", instance_id="kid")


async def child(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("go")


def definitions() -> DefinitionCatalog:
    found = DefinitionCatalog()
    for function in (collector, sleeper, retrying, parent, child):
        found.register(Orchestrator(function, OrchestratorOptions(function.__name__)))
    for activity in (note, broken):
        found.register(Activity(activity, ActivityOptions(activity.__name__, local=True)))
    return found


def fill(url: str) -> str:
    """A store with instances of all kinds, whose hub has stopped."""
    with TestHub(url, definitions=definitions(), auto_advance=False) as hub:
        start = hub.client.start_new
        shared: dict[str, Any] = {"placement": "shared"}
        start("collector", "x" * 2000, instance_id="open", tags={"team": "blue"}, **shared)
        start("collector", instance_id="done", **shared)
        start("sleeper", instance_id="sleeper", **shared)
        start("retrying", instance_id="retrying", **shared)
        start("parent", instance_id="parent", **shared)
        hub.settle()
        hub.client.raise_event("open", "item", 1)
        for item in range(3):
            hub.client.raise_event("done", "item", item)
        hub.client.wait_for_completion("done", timeout=10)
        hub.settle()
    return url


class Damage(NamedTuple):
    """How a store is damaged, the kinds and subjects that are found then, and whether all of it can be mended."""

    name: str
    what: tuple[str | Callable[[SqlStore], object], ...]
    found: set[tuple[str, str]]
    mends: bool = True


def a_message(instance_id: str, body: str, host: str = "nowhere") -> str:
    columns = "placement, host, instance_id, message_id, body"
    return f"INSERT INTO inbox ({columns}) VALUES ('shared', '{host}', '{instance_id}', 'm', '{body}')"


def the_child_ends_and_nobody_is_told(store: SqlStore) -> None:
    row = store.rows(["kid"])["kid"]
    events: list[ev.Event] = [
        ev.TurnStarted(row.updated_at),
        ev.EventRaised("go", "7", "m"),
        ev.ExecutionCompleted("7"),
    ]
    turn = CommitTurn(
        "kid", row.execution_id, row.host, row.turn, row.name, row.status, "Completed", row.updated_at,
        encode_events(events), row.events, len(events), completed_at=row.updated_at, output="7",
    )  # fmt: skip
    store.commit(None, [turn])


GONE = tuple(f"DELETE FROM {table} WHERE instance_id = '{{}}'" for table in ("instances", "history", "tags", "inputs"))
NO_KID = (*(sql.format("kid") for sql in GONE), "DELETE FROM counters WHERE name = 'child'")
ITEM = encode_event(ev.EventRaised("item", "1"))
CHUNK = "INSERT INTO history (instance_id, execution_id, first_event, body) VALUES ('{}', 'e', 0, 'x')"
TAG = "INSERT INTO tags (key, value, created_at, instance_id) VALUES ('a', 'b', 1, 'nobody')"
PERMIT = (
    "INSERT INTO permits (name, host, instance_id, execution_id, task_id, attempt, priority, granted) "
    "VALUES ('note', 'h', 'done', 'e', 1, 1, 0, TRUE)"
)
SUSPENDED = (
    "UPDATE instances SET status = 'Suspended' WHERE instance_id = 'open'",
    "UPDATE counters SET status = 'Suspended' WHERE name = 'collector' AND status = 'Running'",
)
OTHER = """UPDATE history SET body = replace(body, '"note"', '"other"') WHERE instance_id = 'open'"""
OPEN, DONE = "WHERE instance_id = 'open'", "WHERE instance_id = 'done'"

DAMAGES = [
    Damage("counters", ("UPDATE counters SET n = n + 1 WHERE name = 'sleeper'",), {("counters", "counters")}),
    Damage(
        "end without a time",
        ("UPDATE instances SET completed_at = NULL WHERE instance_id = 'done'",),
        {("row", "done")},
    ),
    Damage(
        "no due time", ("UPDATE instances SET next_due = NULL WHERE instance_id = 'sleeper'",), {("row", "sleeper")}
    ),
    Damage(
        "activities", ("UPDATE instances SET outstanding = 0 WHERE instance_id = 'retrying'",), {("row", "retrying")}
    ),
    Damage("message to nobody", (a_message("nobody", ITEM),), {("message", "nobody")}),
    Damage("message to an ended one", (a_message("done", ITEM),), {("message", "done")}),
    Damage("message elsewhere", (a_message("open", ITEM),), {("message", "open")}),
    Damage(
        "input of nobody", ("INSERT INTO inputs (instance_id, body) VALUES ('nobody', '1')",), {("payload", "nobody")}
    ),
    Damage("tag of nobody", (TAG,), {("row", "nobody")}),
    Damage("history of nobody", (CHUNK.format("nobody"),), {("history", "nobody")}),
    Damage("foreign history", (CHUNK.format("open"),), {("history", "open")}),
    Damage("lost input", ("DELETE FROM inputs WHERE instance_id = 'open'",), {("payload", "open")}),
    Damage("lost output", ("UPDATE instances SET output = NULL WHERE instance_id = 'done'",), {("payload", "done")}),
    Damage("permit", (PERMIT,), {("permit", "done")}),
    Damage("untold parent", (the_child_ends_and_nobody_is_told,), {("child", "parent")}),
    Damage("unreadable message", (a_message("open", "?", "partition-0"),), {("message", "open")}, mends=False),
    Damage(
        "gap",
        (f"DELETE FROM history {OPEN} AND first_event > 0 AND first_event < 5",),
        {("history", "open")},
        mends=False,
    ),
    Damage("no beginning", (f"DELETE FROM history {OPEN} AND first_event = 0",), {("history", "open")}, mends=False),
    Damage("unreadable history", (f"UPDATE history SET body = '?' {DONE}",), {("history", "done")}, mends=False),
    Damage("status", SUSPENDED, {("history", "open")}, mends=False),
    Damage("another activity", (OTHER,), {("replay", "open")}, mends=False),
    Damage("no code", ("DELETE FROM definitions WHERE name = 'sleeper'",), {("code", "sleeper")}, mends=False),
    Damage("lost tags", ("DELETE FROM tags WHERE instance_id = 'open'",), {("row", "open")}, mends=False),
    Damage(
        "no child",
        NO_KID,
        {("child", "parent")},
        mends=False,
    ),
]


def damaged(url: str, damage: Damage) -> None:
    store: Store = open_store(url)
    assert isinstance(store, SqlStore)
    for what in damage.what:
        if callable(what):
            what(store)
        else:
            store.database.write(lambda session, sql=what: session.plain(sql))  # type: ignore[misc]
    store.close()


def found_in(url: str) -> set[tuple[str, str]]:
    return {(finding.kind, finding.subject) for finding in audit(url) if finding.level == "problem"}


def held_to_its_word(url: str, damage: Damage) -> None:
    damaged(url, damage)
    assert found_in(url) == damage.found
    findings = list(audit(url))
    assert all(finding.mend or finding.remedy for finding in findings)
    assert bool(mend(url, findings)) == damage.mends
    assert found_in(url) == (set() if damage.mends else damage.found)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    fill(f"sqlite:///{folder / 'hub.db'}")
    return folder


@pytest.fixture
def url(filled: Path, tmp_path: Path) -> str:
    """A store of the test's own, sound."""
    for file in filled.glob("hub.db*"):
        shutil.copy(file, tmp_path)
    return f"sqlite:///{tmp_path / 'hub.db'}"


@pytest.fixture
def in_postgres(postgres_url: str) -> str:
    return fill(postgres_url)


def test_a_sound_store_is_found_to_be(url: str) -> None:
    assert list(audit(url)) == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_each_damage_is_found_and_mended_if_that_takes_no_guess(url: str, damage: Damage) -> None:
    held_to_its_word(url, damage)


@pytest.mark.postgres
def test_each_damage_is_found_and_mended_in_postgresql(in_postgres: str) -> None:
    assert list(audit(in_postgres)) == []
    for damage in DAMAGES:
        if damage.mends:
            held_to_its_word(in_postgres, damage)


def test_what_was_mended_goes_on(url: str) -> None:
    for damage in DAMAGES:
        if damage.name in ("untold parent", "no due time", "message elsewhere", "activities"):
            damaged(url, damage)
    assert mend(url, list(audit(url))) == 4
    with TestHub(url, definitions=definitions()) as hub:
        assert hub.client.wait_for_completion("parent", timeout=20) == 7
        assert hub.client.wait_for_completion("sleeper", timeout=20) == "slept"
        hub.client.raise_event("open", "item", 3)
        assert hub.client.wait_for_completion("open", timeout=20) == [1, 1, 3]
        with pytest.raises(dr.OrchestrationFailed, match="ValueError"):
            hub.client.wait_for_completion("retrying", timeout=20)


def test_the_code_is_not_opened_where_that_is_not_wanted(url: str) -> None:
    damaged(url, next(damage for damage in DAMAGES if damage.name == "another activity"))
    assert list(audit(url, replay=False)) == []


def test_a_working_hub_is_audited_and_not_mended(url: str) -> None:
    damaged(url, DAMAGES[0])
    with TestHub(url, definitions=definitions(), auto_advance=False):
        found = list(audit(url))
        assert {finding.kind for finding in found} == {"counters"}
        with pytest.raises(HubInUse):
            mend(url, found)


def test_a_damaged_file_is_told_by_the_database_itself(url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    with closing(driver().connect(str(path))) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_instances_name'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    assert {finding.kind for finding in audit(url)} == {"file"}

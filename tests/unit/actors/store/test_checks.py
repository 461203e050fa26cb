"""The checker sees each way in which the tables can contradict each other (else a clean report would mean nothing)."""

from __future__ import annotations

import pytest

from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.sql.checks import check
from tests.store_contract.building import advance, made, put, start

BROKEN = {
    "UPDATE counters SET n = n + 1 WHERE status = 'Completed'": "counters say 2 of 'hello' are Completed, there are 1",
    "DELETE FROM counters": "counters say 0 of 'hello' are Completed",
    "UPDATE instances SET completed_at = NULL WHERE status = 'Completed'": "'done' is Completed, which its times",
    "UPDATE instances SET updated_at = 1 WHERE status = 'Completed'": "'done' is Completed, which its times",
    "UPDATE instances SET next_due = 1 WHERE status = 'Completed'": "'done' is Completed, which its times",
    "UPDATE instances SET completed_at = 1 WHERE status = 'Running'": "'live' is Running, which its times",
    "UPDATE inbox SET instance_id = 'done'": "message 'm1' waits for 'done'",
    "UPDATE inbox SET instance_id = 'nobody'": "message 'm1' waits for 'nobody'",
    "UPDATE inbox SET host = 'elsewhere'": "message 'm1' waits for 'live'",
    "UPDATE history SET execution_id = 'x0'": "'live' has history of an execution 'x0'",
    "UPDATE tags SET instance_id = 'nobody'": "tags of 'nobody'",
    "UPDATE inputs SET instance_id = 'nobody'": "inputs of 'nobody'",
}


def full() -> SqlStore:
    store = open_store("sqlite://")
    assert isinstance(store, SqlStore)
    made(store, start("live", input="i" * 2000, tags={"k": "v"}), start("done"))
    advance(store, "live")
    advance(store, "done", "Completed")
    made(store, put("live"))
    return store


def test_a_sound_store_is_sound() -> None:
    assert check(full()) == []


@pytest.mark.parametrize("harm", BROKEN)
def test_harm_is_seen(harm: str) -> None:
    store = full()
    store.database.write(lambda session: session.plain(harm))
    assert any(BROKEN[harm] in said for said in check(store)), check(store)

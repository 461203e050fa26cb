"""Moving a store to another database and back: every row, while no hub works on it, and a hub on it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from durable_ray import stores
from durable_ray.actors.store.contract import Fenced, HubInUse, StoreUnusable
from durable_ray.actors.store.copies.moving import all_rows
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.testing import TestHub
from tests.management.test_audit import definitions, fill
from tests.store_contract.building import made, message

pytestmark = pytest.mark.postgres


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    store = open_store(url)
    assert isinstance(store, SqlStore)
    with store.database.read() as session:
        found = {name: list(rows) for name, rows in all_rows(session)}
    store.close()
    return found


def without_owner(rows: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Each owner begins a new boot and fences hosts: these rows are not moved as they were."""
    return {name: found for name, found in rows.items() if name not in ("hub", "leases")}


def test_all_is_moved_there_and_back_and_goes_on(tmp_path: Path, postgres_url: str) -> None:
    first, last = fill(f"sqlite:///{tmp_path / 'first.db'}"), f"sqlite:///{tmp_path / 'last.db'}"
    before = contents(first)
    assert {name for name, rows in before.items() if not rows} <= {"inbox", "permits", "schedules", "receipts"}
    moved = stores.move(first, postgres_url)
    assert moved.rows == {name: len(rows) for name, rows in before.items()}
    assert without_owner(contents(postgres_url)) == without_owner(before)
    assert list(stores.audit(postgres_url)) == []
    with TestHub(postgres_url, definitions=definitions(), auto_advance=False) as hub:
        hub.client.raise_event("open", "item", 2)
        hub.settle()
    stores.move(postgres_url, last)
    assert list(stores.audit(last)) == []
    with TestHub(last, definitions=definitions()) as hub:
        hub.client.raise_event("open", "item", 3)
        assert hub.client.wait_for_completion("open", timeout=20) == [1, 2, 3]
        hub.client.raise_event("kid", "go", 7)
        assert hub.client.wait_for_completion("parent", timeout=20) == 7
        assert hub.client.wait_for_completion("sleeper", timeout=20) == "slept"


def test_numbers_of_messages_are_not_given_again(tmp_path: Path, postgres_url: str) -> None:
    url = fill(f"sqlite:///{tmp_path / 'first.db'}")
    for source, target in ((url, postgres_url), (postgres_url, f"sqlite:///{tmp_path / 'last.db'}")):
        store = open_store(source)
        assert isinstance(store, SqlStore)
        for number in range(3):
            made(store, message("sleeper", f"{source[:5]}-{number}"))
        newest = max(row.row for row in store.inbox(["sleeper"]))
        store.database.write(lambda session: session.run(Statement("DELETE FROM inbox")))
        store.close()
        stores.move(source, target)
        store = open_store(target)
        made(store, message("sleeper", "later"))
        assert [row.row for row in store.inbox(["sleeper"])] == [newest + 1]
        store.close()


def test_what_was_moved_is_not_opened_by_a_hub_again(tmp_path: Path, postgres_url: str) -> None:
    url = fill(f"sqlite:///{tmp_path / 'first.db'}")
    stores.move(url, postgres_url)
    with pytest.raises(StoreUnusable, match="was moved to another database"):
        open_store(url)
    stores.move(postgres_url, f"sqlite:///{tmp_path / 'last.db'}")
    with pytest.raises(StoreUnusable, match="was moved to another database"):
        open_store(postgres_url)


def test_it_is_refused_while_a_hub_works_on_it_and_where_a_store_is(tmp_path: Path, postgres_url: str) -> None:
    url = f"sqlite:///{tmp_path / 'first.db'}"
    fill(url)
    with TestHub(url, definitions=definitions(), auto_advance=False), pytest.raises(HubInUse):
        stores.move(url, postgres_url)
    fill(postgres_url)
    before = contents(postgres_url)
    with pytest.raises(StoreUnusable, match=r"there is a store with contents at .* nothing was moved"):
        stores.move(url, postgres_url)
    assert contents(postgres_url) == before
    open_store(url).close()


def test_hosts_that_still_have_it_open_are_fenced(tmp_path: Path, postgres_url: str) -> None:
    url = fill(f"sqlite:///{tmp_path / 'first.db'}")
    host = open_store(url)
    fence = host.acquire_lease("partition-0")
    stores.move(url, postgres_url)
    with pytest.raises(Fenced):
        host.commit(fence, [message("sleeper", "late")])
    host.close()


def test_what_the_other_cannot_hold_is_refused_as_a_whole(tmp_path: Path, postgres_url: str) -> None:
    url = fill(f"sqlite:///{tmp_path / 'first.db'}")
    store = open_store(url)
    assert isinstance(store, SqlStore)
    nul = Statement("UPDATE instances SET custom_status = :text WHERE instance_id = 'open'")
    store.database.write(lambda session: session.run(nul, text="a\0b"))
    store.close()
    with pytest.raises(Exception, match="cannot hold all of it, and nothing was moved"):
        stores.move(url, postgres_url)
    assert contents(postgres_url)["instances"] == []
    open_store(url).close()

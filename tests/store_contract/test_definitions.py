"""Definitions: the newest of a name, exact code, revisions that say what is new, and registering again for free."""

from __future__ import annotations

from msgspec.structs import replace

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.records import DefinitionRow, Receipt
from durable_ray.actors.store.writes import Outdated, Repeated, Started, TurnCommitted
from tests.store_contract.building import made, start, turn


def code(code_id: str, name: str = "hello", version: str = "", **more: object) -> DefinitionRow:
    row = DefinitionRow("orchestrator", name, version, code_id, "value", b"\x00body of " + code_id.encode())
    return replace(row, **more)  # type: ignore[arg-type]


def test_the_newest_of_a_name_is_the_last_registered(store: Store) -> None:
    assert store.definition("orchestrator", "hello") is None
    assert store.put_definitions([code("c1")]) == 1
    assert store.put_definitions([code("c2")]) == 2
    newest = store.definition("orchestrator", "hello")
    assert newest == replace(code("c2"), revision=2)
    assert store.definition("orchestrator", "hello", code_id="c1") == replace(code("c1"), revision=1)
    assert store.definition("activity", "hello") is None


def test_an_older_one_registered_again_is_the_newest(store: Store) -> None:
    store.put_definitions([code("c1")])
    store.put_definitions([code("c2")])
    assert store.put_definitions([code("c1")]) == 3
    newest = store.definition("orchestrator", "hello")
    assert newest is not None
    assert (newest.code_id, newest.revision) == ("c1", 3)


def test_registering_what_is_there_changes_nothing(store: Store) -> None:
    deployed = [code("c1", version="1"), code("c2", version="2"), code("a1", "other")]
    before = store.put_definitions(deployed)
    described = store.definitions()
    assert store.put_definitions(deployed) == before
    assert store.put_definitions([code("a1", "other")]) == before
    assert store.put_definitions([]) == before
    assert store.definitions() == described


def test_changed_options_are_news(store: Store) -> None:
    before = store.put_definitions([code("c1")])
    assert store.put_definitions([code("c1", options='{"num_cpus": 2}')]) == before + 1
    newest = store.definition("orchestrator", "hello")
    assert newest is not None
    assert newest.options == '{"num_cpus": 2}'
    assert len(store.definitions()) == 1


def test_versions_live_side_by_side(store: Store) -> None:
    store.put_definitions([code("c1", version="1"), code("c2", version="2"), code("c3", version="1")])
    by_version = {version: store.definition("orchestrator", "hello", version) for version in ("1", "2", "3")}
    assert [each and each.code_id for each in by_version.values()] == ["c3", "c2", None]
    exact = store.definition("orchestrator", "hello", "1", "c1")
    assert exact is not None
    assert exact.body == b"\x00body of c1"


def test_of_one_registration_the_last_is_the_newest(store: Store) -> None:
    store.put_definitions([code("c1"), code("c2"), code("c1")])
    newest = store.definition("orchestrator", "hello")
    assert newest is not None
    assert newest.code_id == "c1"


def test_news_is_what_came_after_a_revision(store: Store) -> None:
    store.put_definitions([code("c1"), code("a1", "other", runtime_env='{"pip": []}')])
    assert [(each.code_id, each.revision, each.body) for each in store.definitions()] == [
        ("c1", 1, b""),
        ("a1", 2, b""),
    ]
    assert [each.code_id for each in store.definitions(since=1)] == ["a1"]
    assert store.definitions(since=2) == ()
    assert store.definitions()[1].runtime_env == '{"pip": []}'


def test_every_commit_says_how_new_the_definitions_are(store: Store) -> None:
    assert store.commit(None, [start("a")]).definitions_revision == 0
    revision = store.put_definitions([code("c1"), code("c2", "other")])
    assert store.commit(None, []).definitions_revision == revision
    store.acquire_hub("hub", "c1", "here", 1, 4, "{}")
    fence = store.acquire_lease("h")
    assert store.commit(fence, []).definitions_revision == revision
    assert made(store) == ()


def test_what_was_decided_by_older_definitions_is_not_written(store: Store) -> None:
    made(store, start("old"), start("waits"))
    revision = store.put_definitions([code("c1"), code("c2", "other")])
    row = store.rows(["waits"])["waits"]
    late, new = [start("a", revision=revision - 1), turn(row, revision=0)], [start("b", revision=revision)]
    first, second, third = store.commit(None, [*late, *new]).answers
    assert (first, second, third) == (Outdated(), Outdated(), Started())
    assert set(store.rows(["a", "b"])) == {"b"}
    assert store.rows(["waits"])["waits"] == row
    assert store.commit(None, [turn(row, revision=revision)]).answers == (TurnCommitted(),)


def test_what_was_carried_out_before_is_not_outdated(store: Store) -> None:
    once = start("a", receipt=Receipt("r", "ok", 9000), revision=0)
    made(store, once)
    store.put_definitions([code("c1")])
    assert store.commit(None, [once]).answers == (Repeated("ok"),)


def test_the_revision_by_itself(store: Store) -> None:
    assert store.definitions_revision() == 0
    assert store.put_definitions([code("c1"), code("c2", "other")]) == store.definitions_revision() == 2
    store.erase("registry")
    assert store.definitions_revision() == 3

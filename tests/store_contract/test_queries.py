"""Queries: every filter, pages that neither lose nor repeat while rows come and go, tokens, and counts."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from durable_ray.actors.store.contract import InvalidToken, Store
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import InstanceQuery, InstanceRow
from durable_ray.actors.store.sql import queries
from durable_ray.actors.store.sql.queries import after_prefix
from durable_ray.orchestrations.history.events import ParentAddress
from tests.store_contract.building import advance, made, new, purge, row, start


def pages(store: Store, query: InstanceQuery, limit: int) -> list[str]:
    """All IDs of a query, page by page."""
    found: list[str] = []
    token = None
    while True:
        page = store.query(query, limit, token)
        assert 0 < len(page.rows) <= limit or (token is None and not page.rows)
        found += [each.instance_id for each in page.rows]
        token = page.token
        if token is None:
            return found
        assert len(page.rows) == limit


def matches(query: InstanceQuery, it: InstanceRow) -> bool:
    """What a query means, said as plainly as possible."""
    return (
        (query.created_from is None or it.created_at >= query.created_from)
        and (query.created_to is None or it.created_at <= query.created_to)
        and (query.updated_from is None or it.updated_at >= query.updated_from)
        and (query.updated_to is None or it.updated_at <= query.updated_to)
        and (not query.statuses or it.status in query.statuses)
        and (not query.names or it.name in query.names)
        and it.instance_id.startswith(query.id_prefix)
        and all(it.tags.get(key) == value for key, value in query.tags.items())
        and (query.parent_id is None or (it.parent is not None and it.parent.instance_id == query.parent_id))
    )


IDS = ["a", "ab", "aB", "a%", "a_", "A", "b", "ä", "€", "\U0001f600", "a\U0010ffff", "a\ud7ff", "%", "_"]
times = st.one_of(st.none(), st.integers(0, 6))

instances = st.fixed_dictionaries(
    {
        "created_at": st.integers(0, 5),
        "name": st.sampled_from(["n1", "n2", "n3"]),
        "tags": st.dictionaries(st.sampled_from(["k", "j"]), st.sampled_from(["1", "2"]), max_size=2),
        "parent": st.one_of(st.none(), st.builds(ParentAddress, st.sampled_from(["a", "b"]), st.just("x"), st.just(1))),
        "path": st.sampled_from([[], ["Running"], ["Suspended"], ["Completed"], ["Running", "Failed"]]),
        "late": st.integers(0, 3),
    }
)
filters = st.builds(
    InstanceQuery,
    created_from=times,
    created_to=times,
    updated_from=times,
    updated_to=times,
    statuses=st.lists(st.sampled_from(["Pending", "Running", "Completed", "Failed", "Canceled"]), max_size=3).map(
        tuple
    ),
    names=st.lists(st.sampled_from(["n1", "n2", "n9"]), max_size=3).map(tuple),
    id_prefix=st.sampled_from(["", "", "", "a", "a%", "%", "_", "ä", "\U0001f600", "a\U0010ffff"]),
    tags=st.dictionaries(st.sampled_from(["k", "j"]), st.sampled_from(["1", "2"]), max_size=2),
    parent_id=st.sampled_from([None, None, "a", "zz"]),
    descending=st.booleans(),
)


def fill(store: Store, drawn: dict[str, dict[str, Any]]) -> dict[str, InstanceRow]:
    for name, it in drawn.items():
        made(store, start(name, **{key: it[key] for key in ("created_at", "name", "tags", "parent")}))
        for status in it["path"]:
            advance(store, name, status, updated_at=it["created_at"] + it["late"], completed_at=None)
    return dict(store.rows(list(drawn)))


@pytest.mark.parametrize("few", [0, 2000])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(IDS), instances, max_size=10), st.lists(filters, max_size=6), st.integers(1, 4))
def test_pages_and_counts_are_those_of_a_plain_list(
    monkeypatch: pytest.MonkeyPatch,
    few: int,
    drawn: dict[str, dict[str, Any]],
    asked: list[InstanceQuery],
    limit: int,
) -> None:
    """Along every index: those that sort are also refused, as if they found too much."""
    if not few:
        monkeypatch.setattr(queries, "_choose", _never_sorting)
    store = open_store("sqlite://")
    rows = fill(store, drawn)
    for query in asked:
        expected = sorted((it.created_at, name) for name, it in rows.items() if matches(query, it))
        in_order = [name for _, name in (reversed(expected) if query.descending else expected)]
        assert pages(store, query, limit) == in_order, query
        assert store.count(query) == len(in_order), query
        begun = replace(query, created_from=query.created_from or 0)
        found = [((it.created_at - begun.created_from) // 2, it.status) for it in rows.values() if matches(begun, it)]
        assert store.histogram(begun, 2) == Counter(found), query
    store.close()


_choose = queries._choose


def _never_sorting(session: Any, query: InstanceQuery, params: Any) -> Any:
    return _choose(
        session, query, {name: value for name, value in params.items() if name not in {"prefix", "updated_from"}}
    )


ASKED = [
    InstanceQuery(),
    InstanceQuery(descending=True),
    InstanceQuery(statuses=("Running",)),
    InstanceQuery(statuses=("Running", "Pending"), descending=True),
    InstanceQuery(names=("n1", "n2"), statuses=("Completed",)),
    InstanceQuery(created_from=2, created_to=4),
    InstanceQuery(updated_from=3, updated_to=5),
    InstanceQuery(id_prefix="a"),
    InstanceQuery(tags={"k": "1"}),
    InstanceQuery(tags={"k": "1", "j": "2"}, descending=True),
    InstanceQuery(parent_id="a", names=("n1",)),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda query: repr(query)[14:])
def test_every_database_answers_alike(store: Store, asked: InstanceQuery) -> None:
    drawn = {
        name: {
            "created_at": at % 6,
            "name": f"n{at % 3 + 1}",
            "tags": [{}, {"k": "1"}, {"k": "1", "j": "2"}][at % 3],
            "parent": ParentAddress("a", "x", 1) if at % 4 == 0 else None,
            "path": [[], ["Running"], ["Completed"], ["Running", "Failed"]][at % 4],
            "late": at % 3,
        }
        for at, name in enumerate(IDS)
    }
    rows = fill(store, drawn)
    expected = sorted((it.created_at, name) for name, it in rows.items() if matches(asked, it))
    in_order = [name for _, name in (reversed(expected) if asked.descending else expected)]
    assert in_order
    for limit in (1, 3, 100):
        assert pages(store, asked, limit) == in_order
    assert store.count(asked) == len(in_order)


def test_a_page_holds_whole_rows(store: Store) -> None:
    made(store, start("a", input="i" * 3000, tags={"k": "v"}))
    assert store.query(InstanceQuery(), 10).rows == (row(store, "a"),)


@pytest.mark.parametrize("descending", [False, True])
def test_pages_stay_right_while_instances_come_and_go(store: Store, descending: bool) -> None:
    made(store, *(start(f"i{n:02}", created_at=n) for n in range(0, 40, 2)))
    asked = InstanceQuery(descending=descending)
    seen: list[str] = []
    token = None
    step = 0
    while True:
        page = store.query(asked, 4, token)
        seen += [each.instance_id for each in page.rows]
        token = page.token
        if token is None:
            break
        last = page.rows[-1]
        gone = ("i02" if step == 0 else "i38") if not descending else ("i38" if step == 0 else "i02")
        if step < 2:  # the last row given out goes, one seen goes, one to come goes, and new ones come on both sides
            for name in {last.instance_id, gone} & set(store.rows([last.instance_id, gone])):
                advance(store, name, "Completed")
                purge(store, name)
            made(store, start(f"x{step}", created_at=-1), start(f"y{step}", created_at=99))
        step += 1
    assert len(seen) == len(set(seen))
    stayed = {f"i{n:02}" for n in range(0, 40, 2)} - {"i02", "i38"}
    assert stayed <= set(seen)
    assert ("y0" in seen, "x0" in seen) == ((False, True) if descending else (True, False))


def test_a_page_has_at_least_one_row(store: Store) -> None:
    with pytest.raises(ValueError, match="at least one"):
        store.query(InstanceQuery(), 0)


def forged(*said: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token", ["", "x", "ä", "====", forged(), forged(1, 2, 3), forged("1", "a", "f"), forged(1 << 70, "a", "f")]
)
def test_what_is_no_token_is_said_to_be_none(store: Store, token: str) -> None:
    with pytest.raises(InvalidToken, match="no continuation token"):
        store.query(InstanceQuery(), 1, token)


def test_a_token_belongs_to_its_query(store: Store) -> None:
    made(store, start("a"), start("b"))
    asked = InstanceQuery(statuses=("Pending", "Running"))
    token = store.query(asked, 1).token
    assert token is not None
    for other in (replace(asked, descending=True), replace(asked, statuses=("Pending",)), InstanceQuery()):
        with pytest.raises(InvalidToken, match="another query"):
            store.query(other, 1, token)
    same = replace(asked, statuses=("Running", "Pending"))
    assert [each.instance_id for each in store.query(same, 1, token).rows] == ["b"]


def test_counts_follow_every_change(store: Store) -> None:
    assert store.counts() == {}
    made(store, start("a"), start("b", name="other"), start("c", placement="dedicated", host="c"))
    assert store.counts() == {("hello", "Pending"): 2, ("other", "Pending"): 1}
    advance(store, "a")
    advance(store, "b", "Failed")
    advance(store, "c", "Completed", children=(new("d"),))
    assert store.counts() == {
        ("hello", "Pending"): 1,
        ("hello", "Running"): 1,
        ("hello", "Completed"): 1,
        ("other", "Failed"): 1,
    }
    assert store.count(InstanceQuery()) == 4
    assert store.count(InstanceQuery(statuses=("Failed", "Running"))) == 2
    assert store.count(InstanceQuery(names=("hello",), statuses=("Failed", "Running"))) == 1
    purge(store, "b", "c")
    assert store.counts() == {("hello", "Pending"): 1, ("hello", "Running"): 1}


def test_a_prefix_ends_before_the_next_text() -> None:
    assert after_prefix("a") == "b"
    assert after_prefix("a\U0010ffff") == "b"
    assert after_prefix("a\ud7ff") == "a\ue000"
    assert after_prefix("\U0010ffff") > "\U0010ffff" * 256


def test_payloads_that_are_not_asked_for_are_neither_given_nor_read(store: Store) -> None:
    size = 1_000_000
    made(store, *(start(f"i{n}", input=f'"{"x" * size}"') for n in range(20)))
    for n in range(20):
        advance(store, f"i{n}", "Completed", output='"done"')
    tracemalloc.start()
    try:
        bare = store.query(InstanceQuery(payloads="none"), 100)
        without_input = store.query(InstanceQuery(payloads="output"), 100)
        rows = store.rows([f"i{n}" for n in range(20)], "none")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size, "an input was read"
    assert [(len(page.rows), page.token) for page in (bare, without_input)] == [(20, None)] * 2
    assert {(it.input, it.output) for it in bare.rows} == {(None, None)}
    assert {(it.input, it.output) for it in without_input.rows} == {(None, '"done"')}
    assert {(it.input, it.output) for it in rows.values()} == {(None, None)}


def test_a_page_has_a_bound_in_bytes_and_at_least_one_instance(store: Store) -> None:
    large = '"' + "x" * (queries.PAGE_BYTES // 3) + '"'
    inputs = [large, large, large, large, '"' + "y" * (2 * queries.PAGE_BYTES) + '"', "1", large]
    made(store, *(start(f"i{n}", input=body, created_at=n) for n, body in enumerate(inputs)))
    found: list[list[str]] = []
    token = None
    while True:
        page = store.query(InstanceQuery(), 100, token)
        found.append([it.instance_id for it in page.rows])
        assert sum(len(it.input or "") for it in page.rows) <= queries.PAGE_BYTES or len(page.rows) == 1
        token = page.token
        if token is None:
            break
    assert found == [["i0", "i1"], ["i2", "i3"], ["i4"], ["i5", "i6"]]
    assert len(store.query(InstanceQuery(payloads="none"), 100).rows) == len(inputs)


def test_standings_are_walked_page_by_page(store: Store) -> None:
    made(store, *(start(f"i{n}", host=f"p{n % 2}") for n in range(6)))
    for n in (0, 1, 2):
        advance(store, f"i{n}", "Completed", completed_at=100 + n)
    found = []
    after = ("", "")
    while page := store.live_standings(after, 2):
        found += page
        after = (page[-1][0], page[-1][1].instance_id)
    assert [(host, it.instance_id, it.status) for host, it in found] == [
        ("p0", "i4", "Pending"), ("p1", "i3", "Pending"), ("p1", "i5", "Pending"),
    ]  # fmt: skip
    assert [it for _, it in found] == [row(store, it.instance_id).standing for _, it in found]
    ended = store.ended_standings((101, ""), 1)
    ended += store.ended_standings((ended[0][0], ended[0][1].instance_id), 5)
    assert [(at, it.instance_id, it.status) for at, it in ended] == [(101, "i1", "Completed"), (102, "i2", "Completed")]

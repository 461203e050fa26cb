"""A statement is said once and means the same in both databases; and whoever only runs statements needs no SQL toolkit."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from durable_ray.actors.cluster.ray_hub import HubInfo
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.sql.statement import Statement

#: What takes longest to import, and a host has no use for.
LEFT_OUT = ("sqlalchemy", "alembic", "pydantic", "pydantic_settings")

LIFE = """
import pickle, sys
import durable_ray.actors.cluster.ray_actors.instance_actor
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import NewInstance
from durable_ray.actors.store.writes import StartInstance

info = pickle.loads(bytes.fromhex(sys.argv[1]))
assert info.settings.linger == 1.5
store = open_store(info.store, create=False)
fence = store.acquire_lease("h")
store.commit(fence, [StartInstance(NewInstance("a", "x", "n", "h", "shared", 1))])
assert store.load(["a"])["a"].row.name == "n"
store.close()
print(sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[2:])))
"""


@pytest.mark.parametrize(
    ("sql", "sqlite", "postgresql"),
    [
        ("SELECT a FROM t WHERE b = :b", "SELECT a FROM t WHERE b = ?", "SELECT a FROM t WHERE b = %s"),
        (
            "DELETE FROM t WHERE a IN (:ids) AND b IN ('x', 'y')",
            "DELETE FROM t WHERE a IN (SELECT value FROM json_each(?)) AND b IN ('x', 'y')",
            "DELETE FROM t WHERE a = ANY(%s) AND b IN ('x', 'y')",
        ),
        ("SELECT a FROM t ORDER BY a FOR NO KEY UPDATE", "SELECT a FROM t ORDER BY a", None),
        ("SELECT a FROM t JOIN u ON TRUE FOR SHARE OF t", "SELECT a FROM t JOIN u ON TRUE", None),
        ("SELECT a FROM t INDEXED BY i WHERE a > 1 + 1", None, "SELECT a FROM t WHERE a > 1 + 1"),
        ("SELECT a FROM t WHERE +t.a > 1 ORDER BY +a", None, "SELECT a FROM t WHERE t.a > 1 ORDER BY a"),
        ("SELECT '%' || a FROM t", None, "SELECT '%%' || a FROM t"),
    ],
)
def test_a_text_is_said_in_the_words_of_each_database(sql: str, sqlite: str | None, postgresql: str | None) -> None:
    statement = Statement(sql)
    assert (statement.sqlite, statement.postgresql) == (sqlite or sql, postgresql or sql)


def test_white_space_means_nothing() -> None:
    assert Statement("\n    SELECT a\n    FROM t\n    ").sqlite == "SELECT a FROM t"


def test_parameters_are_picked_in_the_order_of_their_places_however_often_they_stand() -> None:
    statement = Statement("SELECT :b, :a, :b")
    assert statement.names == ("b", "a", "b")
    assert statement.from_items({"a": 1, "b": 2}) == (2, 1, 2)


def test_a_statement_may_be_for_one_database() -> None:
    assert (Statement(sqlite="SELECT 1").sqlite, Statement(sqlite="SELECT 1").postgresql) == ("SELECT 1", "")


def test_two_texts_with_their_parameters_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="no one order"):
        Statement(sqlite="SELECT :a, :b", postgresql="SELECT :b, :a")


def test_a_host_lives_without_what_made_its_store_and_settings(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url).close()
    info = pickle.dumps(HubInfo("hub", url, HubSettings(linger=1.5).settled())).hex()
    done = subprocess.run([sys.executable, "-c", LIFE, info, *LEFT_OUT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

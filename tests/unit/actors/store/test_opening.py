"""Opening by URL; and schema versions: fresh and migrated are the same, older is brought up, newer is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.databases import making, migrations
from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.databases.postgres import PostgresDatabase
from durable_ray.actors.store.databases.postgres_connection import connect
from durable_ray.actors.store.databases.revision import REVISION, VERSION_TABLE
from durable_ray.actors.store.databases.schema import metadata
from durable_ray.actors.store.databases.sqlite import SqliteDatabase
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.writes import Started
from tests.store_contract.building import made, row, start


def test_a_url_says_which_store() -> None:
    with pytest.raises(StoreUnusable, match="sqlite:///path"):
        open_store("mysql://localhost/x")
    with pytest.raises(StoreUnusable):
        open_store("store.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///"])
def test_a_store_in_memory_is_gone_with_its_object(url: str) -> None:
    store = open_store(url)
    made(store, start("a"))
    assert open_store(url).rows(["a"]) == {}
    assert row(store, "a").name == "hello"


def test_relative_and_quoted_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///with%20space.db").close()
    assert (tmp_path / "with space.db").exists()


def test_a_missing_store_is_not_made_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="there is no store"):
        open_store(f"sqlite:///{tmp_path}/none.db", create=False)
    assert list(tmp_path.iterdir()) == []
    open_store(f"sqlite:///{tmp_path}/none.db").close()
    open_store(f"sqlite:///{tmp_path}/none.db", create=False).close()


def test_what_was_written_is_there_when_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url)
    made(store, start("a"))
    before = store.load(["a"])
    store.close()
    assert open_store(url).load(["a"]) == before


def test_a_fresh_store_opens_without_alembic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "alembic", None)
    began = time.perf_counter()
    open_store(f"sqlite:///{tmp_path}/store.db").close()
    assert time.perf_counter() - began < 2  # 15 ms; migrating takes longer than importing Alembic, not this


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    database: Any = SqliteDatabase(path)
    database.write(lambda session: session.plain("CREATE TABLE instances (x)"))
    database.close()
    with pytest.raises(StoreUnusable, match="'instances' that is not durable_ray's"):
        open_store(f"sqlite:///{path}")


def migrated(database: Database) -> None:
    """Make the schema by the migrations alone, from nothing."""
    if database.dialect == "sqlite":
        database.write(
            lambda session: session.plain("CREATE TABLE durable_ray_version (version_num VARCHAR(32) NOT NULL)")
        )
    making.upgrade(database, next(iter(_revisions())))


def _revisions() -> list[str]:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    return [each.revision for each in script.walk_revisions("base", "heads")]


def shape(database: Any) -> list[tuple[str, str]]:
    """Every table and index in the database's own words, less white space."""
    if database.dialect == "sqlite":
        rows = database._writer.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    else:
        columns = (
            "SELECT table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, collation_name,"
            " is_identity, column_default) FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        indexes = "SELECT indexname, replace(indexdef, current_schema() || '.', '') FROM pg_indexes"
        with connect(database._url) as connection:
            rows = connection.execute(columns).fetchall()
            rows += connection.execute(f"{indexes} WHERE schemaname = current_schema()").fetchall()
    said = [(name, " ".join(str(sql).replace('"', "").split())) for name, sql in rows]
    return sorted((name, sql.replace(" ,", ",")) for name, sql in said if "durable_ray_version" not in name)


def differences(database: Database) -> list[Any]:
    found: list[Any] = []

    def compare(connection: Connection) -> None:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        found.extend(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    making.migrate(database, compare)
    return found


def test_the_last_migration_is_the_schemas_revision() -> None:
    assert _revisions()[0] == REVISION


def test_migrations_make_what_a_fresh_store_gets(tmp_path: Path) -> None:
    fresh = open_store(f"sqlite:///{tmp_path}/fresh.db")
    assert isinstance(fresh, SqlStore)
    old = SqliteDatabase(tmp_path / "old.db")
    migrated(old)
    assert shape(old) == shape(fresh.database)
    assert differences(old) == []


@pytest.mark.postgres
def test_migrations_make_what_a_fresh_store_gets_on_postgres(postgres_url: str) -> None:
    old = PostgresDatabase(postgres_url)
    migrated(old)
    by_migrations = shape(old)
    assert differences(old) == []
    old.write(lambda session: session.plain("DROP SCHEMA public CASCADE"))
    old.write(lambda session: session.plain("CREATE SCHEMA public"))
    fresh = open_store(postgres_url)
    assert isinstance(fresh, SqlStore)
    assert by_migrations == shape(fresh.database)
    old.close()
    fresh.close()


def test_a_migrated_store_works(tmp_path: Path) -> None:
    old = SqliteDatabase(tmp_path / "old.db")
    migrated(old)
    old.close()
    store = open_store(f"sqlite:///{tmp_path}/old.db", create=False)
    assert made(store, start("a")) == Started()
    assert store.acquire_hub("hub", "c", "here", 1, 4, "{}").boot_epoch == 1
    store.close()


def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url)
    assert isinstance(store, SqlStore)
    store.database.write(lambda session: session.plain("UPDATE durable_ray_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StoreUnusable, match=f"schema 9999.*{REVISION}.*upgrade durable_ray"):
        open_store(url)
    database: Any = SqliteDatabase(tmp_path / "store.db")
    assert database._writer.execute("SELECT version_num FROM durable_ray_version").fetchall() == [("9999",)]
    database.close()

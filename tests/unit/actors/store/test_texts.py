"""The SQL that runs is what the statements say, and whoever only runs it imports nothing that made it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import literal, select

from durable_ray.actors.cluster import HubInfo
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store import texts
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.schema import leases
from durable_ray.actors.store.statements.compiling import compiled
from durable_ray.actors.store.statements.core import among, number, text
from durable_ray.actors.store.statements.printing import printed

FOLDER = Path(texts.__path__[0])

#: What making a store, checking settings and building values by type hints needs, and running does not.
LEFT_OUT = ("sqlalchemy", "alembic", "pydantic", "pydantic_settings")

LIFE = """
import pickle
import sys
import durable_ray.actors.dedicated
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


def test_the_texts_are_what_the_statements_say() -> None:
    written = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("[a-z]*.py")}
    assert written == printed(), "run `make statements`, and look at what changed"


def test_a_text_says_each_databases_words() -> None:
    made = compiled(select(leases.c.epoch).where(among(leases.c.host, "hosts"), leases.c.epoch > number("after")))
    assert made.names == ("hosts", "after")
    assert "IN (SELECT value FROM json_each(?)) AND leases.epoch > ?" in made.sqlite
    assert "= ANY(%s::TEXT[]) AND leases.epoch > %s::BIGINT" in made.postgresql


def test_a_value_within_a_statement_is_refused() -> None:
    """A text has no place for it, and would run without."""
    with pytest.raises(TypeError, match="have values"):
        compiled(select(leases.c.epoch).where(leases.c.host == literal("p0")))


def test_a_statement_may_be_for_one_database() -> None:
    made = compiled(select(leases.c.epoch).where(leases.c.host == text("host")), "sqlite")
    assert (made.sqlite, made.postgresql) == ("SELECT leases.epoch FROM leases WHERE leases.host = ?", "")


def test_a_host_lives_without_what_made_its_store_and_settings(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url).close()
    info = pickle.dumps(HubInfo("hub", url, HubSettings(linger=1.5).settled())).hex()
    done = subprocess.run([sys.executable, "-c", LIFE, info, *LEFT_OUT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

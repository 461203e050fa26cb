"""The commands for a store as a whole: backup, restore, move, audit."""

from __future__ import annotations

import json
from pathlib import Path

from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.cli.exits import Exit
from durable_ray.cli.health_ray import store as store_findings
from tests.cli.conftest import Cli
from tests.store_contract.building import made, start


def a_store(path: Path) -> str:
    """A store of the hub `durable_ray` with one instance."""
    url = f"sqlite:///{path}"
    opened = open_store(url)
    opened.acquire_hub("durable_ray", "c", "10.0.0.1:6379", 5_000_000, 2, HubSettings().settled().to_json())
    made(opened, start("a"))
    opened.close()
    return url


def test_a_store_is_backed_up_and_restored(cli: Cli, tmp_path: Path) -> None:
    url, backup = a_store(tmp_path / "hub.db"), str(tmp_path / "monday.db")
    said = cli.json("backup", backup, "--store", url)
    assert {key: said[key] for key in ("backup", "store", "hub", "instances", "unfinished")} == {
        "backup": backup, "store": url, "hub": "durable_ray", "instances": 1, "unfinished": 1,
    }  # fmt: skip
    assert "nothing is overwritten" in cli.fails(Exit.UNAVAILABLE, "backup", backup, "--store", url)

    restored = f"sqlite:///{tmp_path / 'restored.db'}"
    assert "--yes" in cli.fails(Exit.USAGE, "restore", backup, "--store", restored, "--json")
    assert cli.run("restore", backup, "--store", restored, stdin="n\n").exit_code == 1
    assert not (tmp_path / "restored.db").exists()
    asked = cli.run("restore", backup, "--store", restored, stdin="y\n")
    assert asked.exit_code == 0
    assert "last seen alive 1970-01-01 00:00:05Z at 10.0.0.1:6379" in asked.stderr
    assert "restored from a backup" in next(iter(store_findings(restored, "durable_ray"))).detail


def test_a_backup_of_another_hub_is_refused(cli: Cli, tmp_path: Path) -> None:
    url, backup = a_store(tmp_path / "hub.db"), str(tmp_path / "monday.db")
    cli.ok("backup", backup, "--store", url)
    restore = ("restore", backup, "--store", f"sqlite:///{tmp_path / 'restored.db'}", "--yes", "--hub", "other")
    assert "backup of the hub 'durable_ray', not of 'other'" in cli.fails(Exit.USAGE, *restore)


def test_a_store_is_moved(cli: Cli, tmp_path: Path) -> None:
    url, to = a_store(tmp_path / "hub.db"), f"sqlite:///{tmp_path / 'moved.db'}"
    assert cli.json("migrate-store", "--store", url, "--to", to)["rows"]["instances"] == 1
    assert "was moved to another database" in cli.fails(Exit.UNAVAILABLE, "audit", "--store", url)
    assert cli.json("audit", "--store", to) == []


def test_an_audit_says_what_is_wrong_and_mends_it(cli: Cli, tmp_path: Path) -> None:
    url = a_store(tmp_path / "hub.db")
    assert cli.json("audit", "--store", url) == []
    opened = open_store(url)
    assert isinstance(opened, SqlStore)
    opened.database.write(lambda session: session.plain("UPDATE counters SET n = 7"))
    opened.close()
    said = cli.run("audit", "--store", url)
    assert (said.exit_code, "counters say 7 of 'hello' are Pending, there are 1" in said.stdout) == (1, True)
    assert "--mend would count anew" in said.stdout
    assert "mended: count anew" in cli.ok("audit", "--store", url, "--mend")
    assert cli.json("audit", "--store", url) == []


def test_doctor_knows_a_file_that_was_copied_alone(tmp_path: Path) -> None:
    url = a_store(tmp_path / "hub.db")
    assert next(iter(store_findings(url, "durable_ray"))).level == "ok"
    (tmp_path / "hub.db.writers").unlink()
    found = next(iter(store_findings(url, "durable_ray")))
    assert (found.level, "copied or moved here alone" in found.detail) == ("problem", True)


def test_a_gateway_gives_no_store_away(cli: Cli, tmp_path: Path) -> None:
    said = cli.fails(Exit.USAGE, "backup", str(tmp_path / "b.db"), "--url", "http://127.0.0.1:7071", "--json")
    assert "without --url" in json.loads(said)["hint"]

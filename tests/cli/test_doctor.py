"""`doctor` finds what is stuck, says what to do about each, and leaves alone what merely waits."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.cli import health_ray
from durable_ray.cli.exits import Exit
from durable_ray.cli.health import CheckResult, hub_findings, stuck, unplaced
from durable_ray.cli.health_ray import machine, store
from durable_ray.cli.hub.port import InstanceView
from durable_ray.config import ClientSettings
from tests.cli.conftest import Cli

NOW = datetime(2030, 1, 10, tzinfo=UTC)


def running(**changes: object) -> InstanceView:
    fresh = InstanceView(
        "x", "order", "Running", NOW - timedelta(minutes=5), NOW - timedelta(seconds=5), placement="shared"
    )
    return replace(fresh, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "level", "detail", "remedy"),
    [
        ({"waiting_reason": "code: no module named 'orders'"}, "problem", "no module named", "deploy"),
        ({"waiting_reason": "history: it has 1 events"}, "problem", "it has 1 events", "restore the store"),
        (
            {"waiting_reason": "host: instance:x cannot be opened: OSError: full"},
            "problem",
            "OSError: full",
            "tried again",
        ),
        ({"waiting_reason": "admission"}, "problem", "waits for admission", "max_dedicated"),
        ({"next_due": NOW - timedelta(minutes=5)}, "problem", "overdue for 5 min", "durable-ray up"),
        ({"status": "Pending", "placement": "dedicated"}, "problem", "no room for its actor", "--placement shared"),
        ({"status": "Pending"}, "problem", "has not begun for 5 min", "durable-ray up"),
        ({"status": "Suspended", "updated_at": NOW - timedelta(days=3)}, "warning", "suspended for 3 d", "resume x"),
        ({"recoveries": 2}, "warning", "died 2 times", "memory"),
        ({"outstanding": 1, "updated_at": NOW - timedelta(hours=2)}, "warning", "nothing new for 2 h", "timeout="),
    ],
)
def test_what_is_stuck_is_found(changes: dict[str, object], level: str, detail: str, remedy: str) -> None:
    (found,) = stuck([running(**changes)], NOW)
    assert (found.level, found.subject) == (level, "instance x")
    assert detail in found.detail
    assert remedy in found.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"next_due": NOW + timedelta(days=30), "updated_at": NOW - timedelta(days=30)},
        {"next_due": NOW - timedelta(seconds=3)},
        {"status": "Pending", "scheduled_start": NOW + timedelta(hours=1)},
        {"status": "Pending", "waiting_reason": "max_running"},
        {"status": "Suspended"},
        {"outstanding": 3},
        {"status": "Failed", "waiting_reason": "code", "recoveries": 5},
    ],
)
def test_what_merely_waits_is_left_alone(changes: dict[str, object]) -> None:
    assert list(stuck([running(**changes)], NOW)) == []


def test_an_activity_that_waits_for_a_resource_is_found() -> None:
    waits = [{"kind": "activity"}, {"kind": "resource", "name": "train", "detail": "it asks for GPU: 1"}]
    (found,) = unplaced([running(waiting_for=waits), running(waiting_for=None)])
    assert (found.level, found.subject) == ("problem", "instance x")
    assert found.detail == "activity 'train' waits: it asks for GPU: 1"
    assert "add a node" in found.remedy


def test_failed_instances_are_a_warning_with_the_way_to_mend_them(cli: Cli) -> None:
    cli.fails(6, "start", "paying", "5", "--wait")
    levels = {finding.subject: finding for finding in hub_findings(cli.reached)}
    assert levels["failed instances"].level == "warning"
    assert "rewind" in levels["failed instances"].remedy


def test_the_command_answers_one_if_something_needs_mending(cli: Cli) -> None:
    gateway = ("--url", "http://127.0.0.1:7071")
    assert "instances: none" in cli.ok("doctor", *gateway)
    cli.ok("start", "hello", "--id", "late", "--at", "2030-01-02")
    # The hub's clock stands in 2030 and the command's does not: to it, this instance is not late.
    assert "late" not in cli.ok("doctor", *gateway)


def test_a_hub_that_does_not_answer_is_a_finding(cli: Cli) -> None:
    def unreachable(settings: ClientSettings) -> None:
        raise ConnectionError("nobody is there")

    from durable_ray.cli.app import app

    result = cli.runner.invoke(app, ["doctor", "--url", "http://127.0.0.1:1", "--json"], obj=unreachable)
    assert result.exit_code == Exit.FAILURE
    assert "nobody is there" in result.stdout


def test_a_damaged_history_is_a_finding_whether_its_instance_was_loaded_or_not(cli: Cli) -> None:
    cli.ok("start", "approval", "--id", "a")
    cli.hub.settle()
    doctor = ("doctor", "--url", "http://127.0.0.1:7071")  # so it looks at the hub alone
    assert "is damaged" not in cli.ok(*doctor)
    assert isinstance(cli.hub.store, SqlStore)
    cli.hub.store.database.write(lambda session: session.plain("UPDATE history SET body = 'x'"))
    for loaded in (False, True):
        said = cli.run(*doctor)
        assert said.exit_code == Exit.FAILURE
        assert said.stdout.count("the history of 'a' is damaged") == 1
        assert "durable-ray terminate a" in said.stdout
        assert ("waits for history" in said.stdout) == loaded
        cli.hub.crash()
        cli.ok("raise-event", "a", "Approval")
        cli.hub.settle()


def found_of(findings: list[CheckResult], subject: str) -> CheckResult:
    return next(finding for finding in findings if finding.subject == subject)


def test_a_store_that_others_may_read_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    open_store(f"sqlite:///{path}").close()
    assert found_of(list(store(f"sqlite:///{path}", "hub")), "store").level == "ok"
    path.chmod(path.stat().st_mode | stat.S_IROTH)
    found = found_of(list(store(f"sqlite:///{path}", "hub")), "store")
    assert (found.level, found.remedy) == ("problem", f"chmod 600 {path}")


def test_a_password_of_a_store_is_not_shown() -> None:
    (found,) = store("postgresql://ops:s3cret@db:5432/hub", "hub")
    assert "s3cret" not in found.detail
    assert "db:5432/hub" in found.detail


@pytest.mark.parametrize(
    ("mode", "rights", "level"),
    [(None, 0o600, "ok"), (None, 0o644, "warning"), ("disabled", 0o600, "warning"), (None, None, "warning")],
)
def test_the_token_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None, rights: int | None, level: str
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    if rights is not None:
        token = tmp_path / ".ray" / "auth_token"
        token.parent.mkdir()
        token.write_text("secret")
        token.chmod(rights)
    findings = list(machine(ClientSettings()))
    assert found_of(findings, "Ray's token").level == level
    assert "secret" not in str(findings)


def test_a_ray_without_tokens_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_ray, "ray_has_tokens", lambda: False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "which such a Ray does not ask for")
    found = found_of(list(machine(ClientSettings())), "Ray's token")
    assert (found.level, "ray>=2.52" in str(found)) == ("warning", True)


def test_the_release_of_sqlite_is_reported() -> None:
    assert found_of(list(machine(ClientSettings())), "SQLite").detail[0] == "3"

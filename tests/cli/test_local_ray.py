"""A Ray that was started here is known again, ended alone, and leaves nothing behind that leads others to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from pydantic_core import to_json

from durable_ray.cli.exits import CommandError, Exit
from durable_ray.cli.hub import local_ray
from durable_ray.cli.hub.local_ray import LocalRay, address_file, forget_dead, note_file, noted, start_head, stop

ADDRESS = "10.0.0.7:6379"


def note(ray: LocalRay) -> None:
    note_file().parent.mkdir(parents=True, exist_ok=True)
    note_file().write_bytes(to_json(asdict(ray)))


def test_a_noted_ray_is_known_only_while_that_very_process_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert noted() is None
    note(LocalRay(os.getpid(), "Mon Jan 1 00:00:00 2001", "127.0.0.1:1", "log"))
    assert noted() is None, "another process has its ID now"
    note_file().write_text("{}")
    assert noted() is None


def test_stopping_what_has_gone_ends_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    gone = LocalRay(os.getpid(), "Mon Jan 1 00:00:00 2001", "127.0.0.1:1", "log")
    note(gone)
    assert stop(gone)
    assert not note_file().exists()
    assert not replace(gone, began="").alive


@pytest.mark.ray
def test_a_ray_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x" * 32)
    with pytest.raises(CommandError, match="--no-such-thing") as refused:
        start_head(0, ["--no-such-thing"])
    assert refused.value.code is Exit.UNAVAILABLE
    assert noted() is None


# --- the address that Ray notes for others ---


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRay]:
    """A process that passes for a head, noted by us and by Ray."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "ray_current_cluster").write_text(f"{ADDRESS}\n")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ray = LocalRay(
        process.pid, local_ray._began(process.pid), ADDRESS, "log", "", str(tmp_path / "ray_current_cluster")
    )
    note(ray)
    yield ray
    process.kill()
    process.communicate()


def test_a_head_that_was_ended_is_looked_for_by_nobody(head: LocalRay) -> None:
    assert noted() == head
    forget_dead()
    assert Path(head.address_file).exists(), "it lives"
    assert stop(head)
    assert not Path(head.address_file).exists()
    assert noted() is None


@pytest.mark.parametrize("now", ["10.0.0.7:6380", "", None])
def test_what_ray_notes_of_another_cluster_stays(head: LocalRay, now: str | None) -> None:
    file = Path(head.address_file)
    if now is None:
        file.unlink()
    else:
        file.write_text(now)
    assert stop(head)
    assert (file.read_text() if file.exists() else None) == now


def test_a_head_that_was_killed_is_forgotten_before_anybody_looks_for_it(head: LocalRay) -> None:
    note(replace(head, began="Mon Jan 1 00:00:00 2001"))
    forget_dead()
    assert not Path(head.address_file).exists()
    assert not note_file().exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "folder"),
    [
        ([], {}, "/tmp/ray"),
        (["--num-cpus", "2"], {"RAY_TMPDIR": "/fast"}, "/fast/ray"),
        (["--temp-dir", "/scratch", "--num-cpus=2"], {"RAY_TMPDIR": "/fast"}, "/scratch"),
        (["--temp-dir=/scratch"], {}, "/scratch"),
        (["--temp-dir"], {}, "/tmp/ray"),
    ],
)
def test_where_ray_notes_it(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    assert address_file(arguments, environment) == Path(folder) / "ray_current_cluster"


def test_a_head_is_noted_with_the_place_of_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x" * 32)
    serves = "import sys, time; print('Local node IP: 10.0.0.7\\nRay runtime started', flush=True); time.sleep(60)"
    monkeypatch.setattr(local_ray, "ray_command", lambda: [sys.executable, "-c", serves])
    started = start_head(6379, [f"--temp-dir={tmp_path}"])
    try:
        assert (started.address, started.address_file) == (ADDRESS, str(tmp_path / "ray_current_cluster"))
        assert noted() == started
        (tmp_path / "ray_current_cluster").write_text(ADDRESS)
    finally:
        assert stop(started)
    assert not (tmp_path / "ray_current_cluster").exists()

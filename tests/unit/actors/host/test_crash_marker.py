"""Whose code ran is known after its process is gone: killed, or ended by the watchdog because a turn never did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from durable_ray.actors.host.crash_marker import FileMarker
from durable_ray.actors.store.contract import StoreUnusable
from tests.sources import ROOT

DIES = """
import os, signal, sys
from pathlib import Path
from durable_ray.actors.host.crash_marker import FileMarker
marker = FileMarker(Path(sys.argv[1]))
marker.set("before")
marker.clear()
marker.set("whose-ünit")
os.kill(os.getpid(), signal.SIGKILL)
"""
HANGS = """
import sys
from pathlib import Path
from durable_ray.actors.host.crash_marker import FileMarker
from durable_ray.actors.host.crash_marker import Watchdog
watchdog = Watchdog(FileMarker(Path(sys.argv[1])), 0.2)
watchdog.set("quick")
watchdog.clear()
watchdog.set("endless")
while True:
    pass
"""


@pytest.mark.parametrize(
    ("script", "code", "blamed"), [(DIES, -signal.SIGKILL, "whose-ünit"), (HANGS, 70, "endless")], ids=["dies", "hangs"]
)
def test_a_note_outlives_its_process(script: str, code: int, blamed: str, tmp_path: Path) -> None:
    path = tmp_path / "marker"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    successor = FileMarker(path)
    assert successor.timed_out() == (blamed == "endless"), "only the watchdog says that it took too long"
    assert not successor.timed_out(), "it is forgotten by being read"
    assert successor.take() == blamed
    assert successor.take() is None, "it is forgotten by being read"


def link(at: Path, to: Path) -> None:
    at.symlink_to(to)


def hard_link(at: Path, to: Path) -> None:
    at.hardlink_to(to)


def fifo(at: Path, to: Path) -> None:
    os.mkfifo(at)


@pytest.mark.parametrize("plant", [link, hard_link, fifo])
def test_what_another_user_has_put_in_its_place_is_refused_and_left_as_it_is(
    plant: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    precious, folder = tmp_path / "precious", tmp_path / "markers"
    precious.write_text("not to be truncated")
    folder.mkdir(0o700)
    plant(folder / "marker", precious)
    with pytest.raises(StoreUnusable, match="remove it"):
        FileMarker(folder / "marker")
    assert precious.read_text() == "not to be truncated"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_folder_that_others_may_write_to_is_refused(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "markers"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StoreUnusable, match=f"mode {mode:04o}"):
        FileMarker(folder / "marker")
    assert list(folder.iterdir()) == []


def test_a_folder_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "markers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnusable, match="no folder of this user's own"):
        FileMarker(tmp_path / "markers" / "marker")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_belongs_to_another_user_is_refused(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "markers"
    folder.mkdir(0o700)
    (folder / "marker").touch()
    os.chown(folder if what == "folder" else folder / "marker", 12345, 12345)
    with pytest.raises(StoreUnusable, match="belongs to user 12345"):
        FileMarker(folder / "marker")


def test_a_folder_of_ones_own_is_made(tmp_path: Path) -> None:
    FileMarker(tmp_path / "a" / "markers" / "marker")
    assert (tmp_path / "a" / "markers").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "markers" / "marker").stat().st_mode & 0o777 == 0o600


def test_a_turn_that_ended_leaves_no_note(tmp_path: Path) -> None:
    marker = FileMarker(tmp_path / "marker")
    marker.set("a")
    marker.clear()
    assert FileMarker(tmp_path / "marker").take() is None


def test_a_name_of_any_length_fits(tmp_path: Path) -> None:
    marker = FileMarker(tmp_path / "marker")
    marker.set("x" * 10_000)
    assert set(FileMarker(tmp_path / "marker").take() or "") == {"x"}


LOOP_ENDS = """
import asyncio, threading
from durable_ray.actors.host import crash_marker
crash_marker._ORDERLY_SECONDS = 0.1

def run():
    loop = asyncio.new_event_loop()
    def leave(): raise KeyboardInterrupt
    loop.call_soon(crash_marker.end_with_this_thread)
    loop.call_soon(leave)
    loop.run_forever()

threading.Thread(target=run, daemon=True).start()
threading.Event().wait(600)
"""


def test_a_process_whose_event_loop_has_ended_ends() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LOOP_ENDS], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 71, done.stderr.decode()


def test_a_host_that_passivates_removes_its_own_marker_and_not_its_successors(tmp_path: Path) -> None:
    path = tmp_path / "markers" / "marker"
    first = FileMarker(path)
    first.remove()
    assert list(path.parent.iterdir()) == []
    first.remove()
    successor = FileMarker(path)
    successor.set("x")
    first.clear()
    first.remove()
    assert FileMarker(path).take() == "x"


def test_a_link_that_was_put_in_the_place_of_a_marker_is_not_followed_when_it_is_removed(tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "markers" / "marker"
    precious.write_text("not to be removed")
    marker = FileMarker(path)
    path.unlink()
    path.symlink_to(precious)
    marker.remove()
    assert (path.is_symlink(), precious.read_text()) == (True, "not to be removed")

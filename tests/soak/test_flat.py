"""What has come and gone leaves nothing behind in a hub's processes: every container is as long after thousands as before."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from pathlib import Path

import pytest

from durable_ray.actors.activities import runner
from durable_ray.actors.cluster import in_process
from durable_ray.actors.code import definition_cache
from durable_ray.actors.code.recent import Recent
from durable_ray.actors.host.crash_marker import FileMarker
from durable_ray.actors.settings import HubSettings
from durable_ray.testing import TestHub
from tests.soak.containers import grown, sizes_of
from tests.soak.shapes import SHAPES, TIMED

#: Caches with a limit that a short run does not reach: how long they may be.
BOUNDS = {"services[]._answered": 2 * 4_096, "._hosts": 100_000}
#: At once under way. What is deployed at once is one deployment, for the others are outdated before anybody uses them.
_TOGETHER, _DEPLOYED = 50, 1


def pass_through(hub: TestHub, shape: str, count: int, prefix: str) -> None:
    """Let so many instances of a shape live and end."""

    async def all_of_them() -> None:
        width = _DEPLOYED if shape == "deployed" else _TOGETHER
        for at in range(0, count, width):
            together = range(at, min(at + width, count))
            await asyncio.gather(*(SHAPES[shape](hub, number, f"{prefix}-{number}") for number in together))

    asyncio.run(all_of_them())


@pytest.fixture(autouse=True)
def no_log_records(caplog: pytest.LogCaptureFixture) -> None:
    """pytest keeps every record until the test has ended: some thousands of objects that no hub keeps."""
    caplog.set_level(logging.CRITICAL, logger="durable_ray")
    caplog.set_level(logging.CRITICAL, logger="durable_ray.instances")


@pytest.fixture(autouse=True)
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full after the first hundred."""
    monkeypatch.setattr(definition_cache, "_MOST_CODE", 20)
    monkeypatch.setattr(runner, "_opened", Recent[object, object](20))


def measured(hub: TestHub) -> dict[str, int]:
    """The sizes of a hub without the hosts of dedicated instances that linger: how many of them do is chance."""

    async def make_way() -> None:
        for instance_id in hub.hub.registry.admission.running():
            await hub.hub.registry.admission.passivate(instance_id)

    hub.settle()
    hub.on_loop(make_way()).result(60)
    return sizes_of(hub)


def assert_flat(shape: str, warm: int, count: int) -> None:
    settings = HubSettings(partitions=2, max_dedicated=20, sweep_interval=0.2)
    with TestHub(settings=settings, auto_advance=shape in TIMED) as hub:
        pass_through(hub, shape, warm, "warm")
        # A leak grows with every pass. What a process takes once (imports, caches of other tests' code) does not.
        for name in ("more", "again"):
            if not (leaked := leaked_by(hub, shape, count, name)):
                break
    assert not leaked, leaked


def leaked_by(hub: TestHub, shape: str, count: int, name: str) -> dict[str, str]:
    """What has grown while `count` instances passed through, and has not gone after a while."""
    before = measured(hub)
    pass_through(hub, shape, count, name)
    # What is still on its way (cancelled timers, last messages between threads) is no leak: it goes.
    end = time.monotonic() + 20
    while (leaked := grown(before, measured(hub), BOUNDS, slack=count // 3)) and time.monotonic() < end:
        time.sleep(0.2)
    return leaked


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_leave_nothing_behind(shape: str) -> None:
    assert_flat(shape, 100, 300 if shape in {"named", "deployed"} else 900)


def test_dedicated_instances_leave_no_crash_markers_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FileMarker] = []

    def marker() -> FileMarker:
        made.append(FileMarker(tmp_path / "markers" / uuid.uuid4().hex))
        return made[-1]

    monkeypatch.setattr(in_process, "NoMarker", marker)
    with TestHub(settings=HubSettings(partitions=2, max_dedicated=20, sweep_interval=0.2)) as hub:
        pass_through(hub, "named", 60, "marked")
        measured(hub)
        assert len(made) >= 60, "one for each instance"
        left = list((tmp_path / "markers").iterdir())
        assert len(left) <= 2, "at most one for each partition, none for an instance that has ended"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", SHAPES)
def test_ten_thousand_leave_nothing_behind(shape: str) -> None:
    assert_flat(shape, 1_000, 10_000)

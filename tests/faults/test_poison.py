"""An instance that kills its host again and again is set aside, and those beside it go on. Real deaths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.fault

_SCRIPT = Path(__file__).with_name("poisoned.py")


def test_a_poison_instance_is_set_aside_and_its_neighbours_go_on(tmp_path: Path) -> None:
    codes, output = [], ""
    while not codes or codes[-1] != 0:
        run = subprocess.run([sys.executable, _SCRIPT, tmp_path], capture_output=True, text=True, timeout=60)
        codes.append(run.returncode)
        output = run.stdout
        assert run.returncode in (0, 66, 67, 68), run.stderr
        assert len(codes) < 12, f"it dies for ever: {codes}"
    # Each is tried once, and once more after each of max_recoveries = 2 crashes. The first may have died up to two times
    # before its first turn is committed (the event came along with its start), and that progress makes it count anew. The
    # third may not be tried again by its own option; a crash in a start's own transaction leaves no row to count in.
    assert codes in [[66] * n + [67] * 3 + [68] * m + [0] for n in (3, 4, 5) for m in (1, 2)], codes
    assert "p1 durable_ray.Poisoned" in output
    assert "p2 durable_ray.Poisoned" in output
    assert "p3 durable_ray.Poisoned" in output
    assert "[11, 12, 13]" in output

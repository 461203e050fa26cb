"""What docs/http.md shows was run: every command of its `bash` blocks, against a gateway, with the output it shows."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

from durable_ray.http.keys import Access, kept_keyring
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http.listening import listening

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
#: Commands, and the output that is shown for them; `…` stands for anything.
STEP = re.compile(r"```bash\n(.*?)```(?:\n```text\n(.*?)```)?", re.DOTALL)
MARK = "@@@ step"


@pytest.mark.timeout(180)
def test_every_command_says_what_is_shown(tmp_path: Path) -> None:
    kept = tmp_path / ".local" / "state" / "durable_ray" / "durable_ray.db.keys.json"
    ring = kept_keyring(kept)
    assert ring.first(Access.FULL) is not None
    steps = STEP.findall(PAGE)
    assert len(steps) > 8
    with TestHub(auto_advance=False) as hub, listening(hub.async_client, GatewaySettings(port=0, grace=1), ring) as url:
        deploy(hub, tmp_path)
        script = "".join(f"echo '{MARK}'\n{commands}" for commands, _ in steps)
        done = subprocess.run(
            ["bash", "-eu"],
            cwd=tmp_path,
            input=script.replace("http://127.0.0.1:7071", url),
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.replace(url, "http://127.0.0.1:7071").split(f"{MARK}\n")[1:]
    for (commands, shown), output in zip(steps, said, strict=True):
        pattern = ".*".join(re.escape(part) for part in shown.strip("\n").split("…"))
        assert re.fullmatch(pattern, output.strip("\n"), re.DOTALL), f"{commands}\n{output}\nis shown as\n{shown}"


def deploy(hub: TestHub, folder: Path) -> None:
    """The page's own orchestrator."""
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    file = folder / "orders.py"
    file.write_text(found[1], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("orders", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hub.client.register(module.order, module.ship)

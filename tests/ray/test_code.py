"""Which code runs: pinned for what is under way, the newest for what begins; from scripts, from modules nobody else can
import, after the driver has gone; and each job's activities in their own runtime environment."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import ray

import durable_ray as dr

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.ray


def drive(folder: Path, name: str, script: str, client: dr.Client, *more: str, env: str = "None") -> str:
    """Run `script` as a driver of its own in `folder`, as a user's script would be; what it printed."""
    path = folder / name
    preamble = f"""
        import sys, ray
        sys.path.append({str(ROOT)!r})
        import durable_ray as dr
        address, hub, store, *more = sys.argv[1:]
        ray.init(address, log_to_driver=False, runtime_env={env})
    """
    path.write_text(textwrap.dedent(preamble) + textwrap.dedent(script))
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, str(path), address, client.hub, client._link.info.store, *more],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


VERSION = """
    @dr.activity
    def work(value: str) -> str:
        return value + "!"

    @dr.orchestrator(name="pinned")
    async def pinned(ctx):
        await ctx.wait_for_external_event("Go")
        return await ctx.call_activity(work, {value!r})

    client = dr.Client(hub=hub, store=store)
    client.start_new(pinned, instance_id=more[0], placement="shared").wait_for_start(30)
    print("started")
"""


def test_an_instance_goes_on_with_the_code_it_began_with(ray_client: dr.Client, tmp_path: Path) -> None:
    drive(tmp_path, "old.py", VERSION.format(value="old code"), ray_client, "old")
    drive(tmp_path, "new.py", VERSION.format(value="new code"), ray_client, "new")
    # Both drivers are gone, and with them their files' module `__main__`.
    ray_client.raise_event("old", "Go")
    ray_client.raise_event("new", "Go")
    assert ray_client.wait_for_completion("old", 30) == "old code!"
    assert ray_client.wait_for_completion("new", 30) == "new code!"


MENDED = """
    @dr.activity(name="mended_step")
    def step() -> str:
        return {value!r}

    @dr.orchestrator(name="mended")
    async def mended(ctx):
        await ctx.wait_for_external_event("Go")
        return await ctx.call_activity("mended_step") + {value!r}

    client = dr.Client(hub=hub, store=store)
    if more:
        for instance_id, placement in (("mended-1", "shared"), ("mended-2", "dedicated")):
            client.start_new(mended, instance_id=instance_id, placement=placement).wait_for_start(30)
    else:
        client.register()
"""


def test_a_fix_reaches_who_waits_and_who_begins(ray_client: dr.Client, tmp_path: Path) -> None:
    drive(tmp_path, "broken.py", MENDED.format(value="old"), ray_client, "start")
    drive(tmp_path, "mended.py", MENDED.format(value="new"), ray_client)
    more = [ray_client.start_new("mended") for _ in range(8)]
    for handle in (*map(ray_client.get_handle, ("mended-1", "mended-2")), *more):
        handle.raise_event("Go")
    assert [ray_client.wait_for_completion(i, 30) for i in ("mended-1", "mended-2")] == ["newold"] * 2
    assert [handle.wait_for_completion(30) for handle in more] == ["newnew"] * 8


def test_a_module_that_only_the_driver_can_import_travels_by_value(ray_client: dr.Client, tmp_path: Path) -> None:
    (tmp_path / "private_helpers.py").write_text("FACTOR = 7\n\ndef scaled(n: int) -> int:\n    return n * FACTOR\n")
    (tmp_path / "private_jobs.py").write_text(
        textwrap.dedent(
            """
            import durable_ray as dr
            from private_helpers import scaled

            @dr.activity
            def scale(n: int) -> int:
                return scaled(n)

            @dr.orchestrator
            async def scale_twice(ctx, n: int) -> int:
                return await ctx.call_activity(scale, await ctx.call_activity(scale, n))
            """
        )
    )
    drive(
        tmp_path,
        "start.py",
        """
        sys.path.insert(0, ".")
        from private_jobs import scale_twice
        dr.Client(hub=hub, store=store).start_new(scale_twice, 3, instance_id="by-value", placement="shared")
        """,
        ray_client,
    )
    assert ray_client.wait_for_completion("by-value", 30) == 147


ENVIRONMENTS = """
    import os

    @dr.activity(name=more[0] + "_activity")
    def read() -> str:
        return os.environ.get("FLAVOUR", "none")

    @dr.orchestrator(name=more[0])
    async def report(ctx):
        return [os.environ.get("FLAVOUR", "none"), await ctx.call_activity(read)]

    client = dr.Client(hub=hub, store=store)
    print(client.start_new(report).wait_for_completion(60))
"""


@pytest.mark.timeout(240)
def test_two_jobs_see_their_own_runtime_environment(ray_client: dr.Client, tmp_path: Path) -> None:
    for flavour in ("vanilla", "mint"):
        env = repr({"env_vars": {"FLAVOUR": flavour}})
        printed = drive(tmp_path, f"{flavour}.py", ENVIRONMENTS, ray_client, flavour, env=env)
        assert f"['{flavour}', '{flavour}']" in printed

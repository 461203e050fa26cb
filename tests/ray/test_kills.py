"""`kill -9`, for real: of an instance's process in mid-sequence, of every actor of the hub at once, of a worker.

How executions are counted: a completion that is in history never runs again; an attempt on a surviving worker is adopted;
only an attempt whose own process died runs again.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
import ray

import durable_ray as dr
from durable_ray.actors.cluster.handles import WORKER_PREFIX, find, named_in, system_namespace
from tests.ray.orchestrators import hello_cities, note_in_sequence, say_hello, slow, wait_twice
from tests.ray_cluster import PATIENCE, eventually, kill_9, pid_of, running_hub

pytestmark = [pytest.mark.ray, pytest.mark.fault]

STEPS = 100
KILLS = 20


@pytest.mark.timeout(300)
def test_twenty_kills_of_an_instance_repeat_nothing_that_completed(fresh_ray_client: dr.Client, tmp_path: Path) -> None:
    client, notes = fresh_ray_client, tmp_path / "notes"
    handle = client.start_new(note_in_sequence, (str(notes), STEPS), instance_id="sequence")
    handle.wait_for_start(30)
    chance = random.Random(5)
    killed: set[int] = set()
    for moment in sorted(chance.sample(range(1, STEPS - 4), KILLS)):
        eventually(lambda: _lines(notes) >= moment, f"step {moment} ran")  # noqa: B023
        time.sleep(chance.uniform(0.0, 0.02))
        pid = eventually(lambda: _pid_or_none(client, killed), "the instance's process is back")
        kill_9(pid)
        killed.add(pid)
    assert handle.wait_for_completion(120) == STEPS
    counts = Counter(int(line.split()[0]) for line in notes.read_text().splitlines())
    assert sorted(counts) == list(range(STEPS)), "every step ran"
    assert len(killed) == KILLS
    # The workers were not killed: whatever they had begun was adopted, so not even an attempt ran twice.
    assert {step: n for step, n in counts.items() if n > 1} == {}


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def _pid_or_none(client: dr.Client, killed: set[int]) -> int | None:
    try:
        pid = pid_of(client, "instance:sequence")
    except Exception:
        return None
    return None if pid in killed else pid


def test_a_killed_worker_loses_only_what_it_was_running(fresh_ray_client: dr.Client, tmp_path: Path) -> None:
    client = fresh_ray_client
    notes = tmp_path / "notes"
    sequence = client.start_new(note_in_sequence, (str(notes), 200))
    sequence.wait_for_start(30)
    eventually(lambda: notes.exists(), "the first step ran")
    workers = [n for n in named_in(system_namespace(client.hub)) if n.startswith("worker-")]
    for name in workers:
        kill_9(ray.get(find(client.hub, name).pid.remote(), timeout=PATIENCE))
        time.sleep(0.2)
    assert sequence.wait_for_completion(60) == 200
    counts = Counter(int(line.split()[0]) for line in notes.read_text().splitlines())
    assert sorted(counts) == list(range(200))
    assert sum(counts.values()) <= 200 + len(workers), "only the attempts under way at the kills ran again"


def test_workers_that_exited_when_idle_are_created_again(ray_cluster: None, tmp_path: Path) -> None:
    with running_hub(tmp_path, partitions=1, workers=2, worker_idle=0.5) as client:
        for _ in range(3):
            assert client.start_new(hello_cities, ["a", "b"]).wait_for_completion(60) == ["Hello a!", "Hello b!"]
            eventually(lambda: not _workers(client), "all have left")


def _workers(client: dr.Client) -> list[str]:
    return [name for name in named_in(system_namespace(client.hub)) if name.startswith(WORKER_PREFIX)]


@pytest.mark.timeout(300)
def test_every_actor_killed_while_two_hundred_wait(fresh_ray_client: dr.Client) -> None:
    client = fresh_ray_client
    shared = client.start_many(wait_twice, [None] * 200)
    dedicated = [client.start_new(wait_twice, instance_id=f"single-{n}") for n in range(5)]
    for handle in [*shared[-5:], *dedicated]:
        handle.wait_for_start(60)
    targets = ["registry", "partition-0", *(f"instance:single-{n}" for n in range(5))]
    for target in targets:
        kill_9(pid_of(client, target))
    for number, handle in enumerate([*shared, *dedicated]):
        handle.raise_event("Go", number)
    results = client.wait_many([*shared, *dedicated], 60)
    assert results == [[number, None] for number in range(205)], "none lost, none twice, each its own"


@dr.orchestrator
async def one_slow_one_quick(ctx: dr.OrchestrationContext) -> list[object]:
    long = ctx.call_activity(slow, 6.0)
    quick = ctx.call_activity(say_hello, "x")
    first = await ctx.task_any([long, quick])
    return [first is quick, await long]


def test_a_slow_activity_holds_up_no_fast_one(ray_client: dr.Client) -> None:
    ray_client.start_new(one_slow_one_quick).wait_for_completion(60)
    began = time.monotonic()
    handles = ray_client.start_many(one_slow_one_quick, [None] * 8)
    assert ray_client.wait_many(handles, 60) == [[True, 6.0]] * 8
    assert time.monotonic() - began < 24, "eight slow ones ran beside each other"

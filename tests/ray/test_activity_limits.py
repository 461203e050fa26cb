"""A limit of an activity holds over real processes: partitions, dedicated actors, workers; and over `kill -9`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import durable_ray as dr
from tests.ray_cluster import eventually, kill_9, pid_of, running_hub

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

LIMIT, COUNT = 3, 14


@dr.activity(name="limits.measured", max_running=LIMIT)
def measured(context: dr.ActivityContext, book: str) -> str:
    """Notes when it comes and goes, in the order of one file that all processes lock."""
    import fcntl
    import json
    import time

    def note(what: str) -> None:
        with open(book, "a") as lines:
            fcntl.flock(lines, fcntl.LOCK_EX)
            lines.write(json.dumps([what, context.instance_id, context.attempt]) + "\n")

    note("in")
    time.sleep(0.25)
    note("out")
    return context.instance_id


@dr.orchestrator(name="limits.one")
async def one(ctx: dr.OrchestrationContext, book: str) -> Any:
    return await ctx.call_activity(measured, book)


def read(book: Path) -> list[list[Any]]:
    return [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []


def most(book: Path) -> int:
    """The most that were inside at once."""
    inside = highest = 0
    for what, *_ in read(book):
        inside += 1 if what == "in" else -1
        highest = max(highest, inside)
    return highest


@pytest.fixture
def client(ray_cluster: None, tmp_path: Path) -> Iterator[dr.Client]:
    """A client of a hub of two partitions."""
    with running_hub(tmp_path, partitions=2, max_dedicated=8) as client:
        yield client


def begin(client: dr.Client, book: Path) -> list[dr.OrchestrationHandle]:
    handles = client.start_many(one, [str(book)] * (COUNT - 2))
    for n in range(2):
        handles.append(client.start_new(one, str(book), instance_id=f"own-{book.stem}-{n}"))
    return handles


def test_partitions_and_dedicated_actors_share_one_limit(client: dr.Client, tmp_path: Path) -> None:
    book = tmp_path / "calm"
    handles = begin(client, book)
    assert client.wait_many(handles, 120) == [handle.instance_id for handle in handles]
    assert (most(book), len(read(book))) == (LIMIT, 2 * COUNT)


@pytest.mark.parametrize("target", ["partition-0", "registry"])
def test_it_holds_when_a_process_is_killed(client: dr.Client, tmp_path: Path, target: str) -> None:
    book = tmp_path / target
    handles = begin(client, book)
    eventually(lambda: len(read(book)) > 3, "some run")
    kill_9(pid_of(client, target))
    assert client.wait_many(handles, 120) == [handle.instance_id for handle in handles]
    # What ran on a worker was adopted: nothing ran twice, and nobody ran beside it.
    assert (most(book), len(read(book))) == (LIMIT, 2 * COUNT)

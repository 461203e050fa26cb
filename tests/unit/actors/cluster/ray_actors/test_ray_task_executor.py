"""Contract of activities as Ray tasks, as far as no cluster is needed: the newest definition says how one is run."""

from __future__ import annotations

from typing import Any

import durable_ray as dr
from durable_ray.actors.activities.dispatcher import Job
from durable_ray.actors.cluster.ray_actors.ray_task_executor import RayTaskExecutor
from durable_ray.actors.code.described import KnownActivity
from tests.unit.actors.hosting import invocation, row_of


def one_core(value: int) -> int:
    return value


def job(cores: int, scheduled_with: int) -> Job:
    newest, then = (dr.activity(name="unit.task", num_cpus=n)(one_core) for n in (cores, scheduled_with))
    return Job(invocation(then, 1), row_of(then), KnownActivity.of(row_of(newest), newest.options))


async def test_what_was_scheduled_with_older_code_takes_the_resources_that_are_declared_now() -> None:
    way: Any = RayTaskExecutor("hub", lambda address, event: None, lambda job, why: None)
    impossible, possible = job(64, scheduled_with=64), job(2, scheduled_with=64)
    assert impossible.row.code_id == possible.row.code_id
    assert way._function(impossible) is way._function(job(64, scheduled_with=64))
    assert way._function(possible) is not way._function(impossible)

"""A dedicated instance that only waits leaves memory: its actor is gone, its name is free, and whatever concerns it
brings it back; a finished one stays a while for questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

import durable_ray as dr
from durable_ray.actors.cluster.handles import named_in
from durable_ray.actors.host.crash_marker import marker_name
from durable_ray.actors.instances.placement import dedicated_host
from tests.ray.orchestrators import hello_cities, slow, wait_for_go
from tests.ray_cluster import eventually, running_hub

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def short_idle_client(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dr.Client]:
    """A hub whose instances fall asleep at once."""
    with running_hub(tmp_path_factory.mktemp("hub"), idle_timeout=0.5, linger=0.5) as client:
        yield client


def asleep(client: dr.Client, instance_id: str) -> bool:
    return instance_id not in named_in(client.hub)


@dr.orchestrator(placement="dedicated")
async def nap(ctx: dr.OrchestrationContext, seconds: float) -> str:
    from datetime import timedelta

    await ctx.create_timer(timedelta(seconds=seconds))
    return "woken by its timer"


def markers(client: dr.Client) -> set[str]:
    folder = Path(client._hello.store.partition("///")[2] + ".markers")
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_an_event_activates_it(short_idle_client: dr.Client) -> None:
    name = marker_name(short_idle_client._hello.store, short_idle_client.hub, dedicated_host("sleeper"))
    short_idle_client.start_new(wait_for_go, instance_id="sleeper").wait_for_start(30)
    eventually(lambda: asleep(short_idle_client, "sleeper"), "it left memory")
    assert name not in markers(short_idle_client), "its crash marker has gone with its process"
    assert short_idle_client.get_status("sleeper").runtime_status == "Running"
    short_idle_client.raise_event("sleeper", "Go", "good morning")
    assert short_idle_client.wait_for_completion("sleeper", 30) == "good morning"


def test_its_timer_activates_it(short_idle_client: dr.Client) -> None:
    handle = short_idle_client.start_new(nap, 5.0)
    handle.wait_for_start(30)
    eventually(lambda: asleep(short_idle_client, handle.instance_id), "it left memory", 20)
    assert handle.wait_for_completion(30) == "woken by its timer"


def test_get_actor_activates_it(ray_cluster: None, tmp_path: Path) -> None:
    # A raw handle does not look again: it has to be used before the actor falls asleep once more.
    with running_hub(tmp_path, idle_timeout=5.0) as client:
        client.start_new(wait_for_go, instance_id="called").wait_for_start(30)
        eventually(lambda: asleep(client, "called"), "it left memory")
        actor = client.get_actor("called")
        ray.get(actor.raise_event.remote("Go", 7))
        assert ray.get(actor.wait_for_completion.remote(10)) == 7


def test_get_actor_raises_why_it_cannot(short_idle_client: dr.Client) -> None:
    with pytest.raises(dr.InstanceNotFound):
        short_idle_client.get_actor("nobody")
    shared = short_idle_client.start_new(hello_cities, [])
    with pytest.raises(dr.InvalidState, match="shared"):
        short_idle_client.get_actor(shared.instance_id)


def test_a_finished_one_passivates_and_answers_from_the_store(short_idle_client: dr.Client) -> None:
    short_idle_client.start_new(hello_cities, ["x"], instance_id="done").wait_for_completion(30)
    eventually(lambda: asleep(short_idle_client, "done"), "it left memory")
    assert short_idle_client.wait_for_completion("done", 5) == ["Hello x!"]
    short_idle_client.start_new(hello_cities, ["y"], instance_id="done")
    assert short_idle_client.wait_for_completion("done", 30) == ["Hello y!"]


@dr.activity(detached=True, num_cpus=0)
def long_work(seconds: float) -> float:
    return slow(seconds)


@dr.orchestrator
async def train(ctx: dr.OrchestrationContext, seconds: float) -> float:
    return await ctx.call_activity(long_work, seconds)


def test_a_detached_activity_has_an_actor_of_its_own_until_its_result_is_durable(short_idle_client: dr.Client) -> None:
    handle = short_idle_client.start_new(train, 1.0)
    system = f"{short_idle_client.hub}/system"
    eventually(lambda: any(name.startswith("activity-") for name in named_in(system)), "its actor is there")
    assert handle.wait_for_completion(30) == 1.0
    eventually(lambda: not any(name.startswith("activity-") for name in named_in(system)), "its actor has gone")

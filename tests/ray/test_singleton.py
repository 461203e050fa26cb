"""One running instance per ID, on a real Ray: racing starters, and the actor that carries the instance's name."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

import durable_ray as dr
from durable_ray.actors.cluster.handles import named_in
from durable_ray.orchestrations.history.events import EventRaised
from tests.ray.orchestrators import hello_cities, wait_for_go
from tests.ray_cluster import eventually, pid_of

pytestmark = pytest.mark.ray

STARTER = """
import json, sys, threading
import durable_ray as dr
from tests.ray.orchestrators import wait_for_go
address, hub, store, instance_id, count = sys.argv[1:]
client = dr.Client(address, hub=hub, store=store)
barrier = threading.Barrier(int(count))
outcomes = []
def start():
    barrier.wait()
    try:
        client.start_new(wait_for_go, instance_id=instance_id)
        outcomes.append("started")
    except dr.InstanceAlreadyExists:
        outcomes.append("exists")
threads = [threading.Thread(target=start) for _ in range(int(count))]
[t.start() for t in threads]; [t.join() for t in threads]
print(json.dumps(outcomes))
"""


def test_fifty_starters_in_four_processes_make_one_instance(ray_client: dr.Client) -> None:
    address = ray.get_runtime_context().gcs_address
    store = ray_client._link.info.store
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, address, ray_client.hub, store, "the-one", count],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for count in ("13", "13", "12", "12")
    ]
    outcomes = [outcome for starter in starters for outcome in json.loads(starter.communicate(timeout=90)[0])]
    assert len(outcomes) == 50
    assert outcomes.count("started") == 1
    assert outcomes.count("exists") == 49
    ray_client.wait_for_start("the-one", 30)
    named = [a for a in ray.util.list_named_actors(all_namespaces=True) if a["namespace"] == ray_client.hub]
    assert [actor["name"] for actor in named] == ["the-one"]
    # Detached: the starters' jobs are gone, the actor answers.
    assert pid_of(ray_client, "instance:the-one") > 0
    ray_client.raise_event("the-one", "go", "done")
    assert ray_client.wait_for_completion("the-one", 30) == "done"


def test_a_raw_actor_handle_works_for_a_quick_job_and_a_finished_one(ray_client: dr.Client) -> None:
    ray_client.start_new(hello_cities, ["Tokyo"], instance_id="quick").wait_for_completion(30)
    actor = ray.get_actor("quick", namespace=ray_client.hub)
    assert ray.get(actor.wait_for_completion.remote(10)) == ["Hello Tokyo!"]
    status = ray.get(actor.get_status.remote())
    assert status == ray_client.get_status("quick")
    shown = {"show_history": True, "show_history_output": True, "show_input": False}
    told = ray.get(actor.get_status.remote(**shown))
    assert told == ray_client.get_status("quick", **shown)
    assert told.input is None
    assert told.history[-1].result == '["Hello Tokyo!"]'
    assert ray.get(actor.get_status.remote(True)).history[-1].result is None
    with pytest.raises(dr.InstanceFinished):
        ray.get(actor.raise_event.remote("Go", 1))


@pytest.mark.parametrize("instance_id", ["日" * 256, "...", "o'clock 100% a&b"], ids=ascii)
def test_an_id_that_is_hard_to_carry_names_an_actor(ray_client: dr.Client, instance_id: str) -> None:
    ray_client.start_new(wait_for_go, instance_id=instance_id).wait_for_start(30)
    actor = ray.get_actor(instance_id, namespace=ray_client.hub)
    assert ray.get(actor.get_status.remote()).instance_id == instance_id
    with pytest.raises(ValueError, match="an event's name"):
        ray.get(actor.raise_event.remote(".."))
    ray.get(actor.raise_event.remote("Go", "done"))
    assert ray_client.wait_for_completion(instance_id, 30) == "done"


def test_a_driver_can_do_without_the_client(ray_client: dr.Client) -> None:
    ray_client.start_new(wait_for_go, instance_id="by-hand").wait_for_start(30)
    actor = ray.get_actor("by-hand", namespace=ray_client.hub)
    assert ray.get(actor.get_status.remote()).runtime_status == "Running"
    ray.get(actor.suspend.remote("wait"))
    with pytest.raises(dr.InvalidState):
        ray.get(actor.suspend.remote("again"))
    ray.get(actor.resume.remote())
    with pytest.raises(ValueError, match="needs a name"):
        ray.get(actor.raise_event.remote(" "))
    ray.get(actor.raise_event.remote("Aside", 1, when_not_awaited="discard"))
    for _ in range(3):
        ray.get(actor.raise_event.remote("Once", 1, idempotency_key="k"))
    ray.get(actor.raise_event.remote("Go", {"ok": True}))
    assert ray.get(actor.wait_for_completion.remote(10)) == {"ok": True}
    history = ray.get(actor.get_status.remote(True)).history
    names = [event.name for event in history if isinstance(event, EventRaised)]
    assert names.count("Once") == 1, "sent before Go, so in history before the end"


def test_a_finished_instance_is_started_again_in_the_same_actor(ray_client: dr.Client) -> None:
    ray_client.start_new(hello_cities, ["a"], instance_id="again").wait_for_completion(30)
    pid = pid_of(ray_client, "instance:again")
    ray_client.start_new(hello_cities, ["b"], instance_id="again").wait_for_completion(30)
    assert pid_of(ray_client, "instance:again") == pid
    with pytest.raises(dr.InstanceAlreadyExists):
        ray_client.start_new(hello_cities, ["c"], instance_id="again", if_exists="reject_finished")


@dr.orchestrator(num_cpus=10_000)
async def too_large(ctx: dr.OrchestrationContext) -> None: ...


def test_one_whose_process_never_comes_up_is_ended_by_who_started_it(ray_client: dr.Client) -> None:
    handle = ray_client.start_new(too_large, instance_id="too-large")
    hub = ray_client.hub
    eventually(lambda: "too-large" in named_in(hub), "Ray is asked for its process")
    began = time.monotonic()
    handle.terminate("enough")
    with pytest.raises(dr.OrchestrationTerminated, match="enough"):
        handle.wait_for_completion(30)
    assert time.monotonic() - began < 40, "it was asked for in vain where it was to be"

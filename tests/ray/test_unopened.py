"""A host that cannot open, for real: it is not restarted for ever, its instance says why, and it goes on when it can."""

from __future__ import annotations

from pathlib import Path

import pytest

import durable_ray as dr
from durable_ray.actors.cluster.handles import named_in
from tests.ray.orchestrators import hello_cities
from tests.ray_cluster import eventually, running_hub

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.timeout(300)]


def test_a_host_that_cannot_open_releases_its_place_and_gives_the_reason(ray_cluster: None, tmp_path: Path) -> None:
    with running_hub(tmp_path, partitions=1, max_dedicated=1) as client:
        # Where hosts note whose turn they run: a file of that name is in the way.
        obstacle = tmp_path / f"{client.hub}.db.markers"
        obstacle.touch()
        handle = client.start_new(hello_cities, ["a"], instance_id="waits")
        eventually(lambda: "cannot be opened: StoreUnusable" in _reason(handle), "it says why", 120)
        eventually(lambda: "waits" not in named_in(client.hub), "its process is not restarted for ever")
        obstacle.unlink()
        assert handle.wait_for_completion(120) == ["Hello a!"]
        assert _reason(handle) == ""


def _reason(handle: dr.InstanceHandle) -> str:
    return handle.get_status().waiting_reason or ""

"""What a registry is made with must still be there when it is restarted, long after whoever made it."""

from __future__ import annotations

from ray import cloudpickle

from durable_ray.actors.cluster.ray_actors.actor_classes import classes


def test_the_actor_classes_travel_in_a_few_bytes_however_large_they_are() -> None:
    packed = cloudpickle.dumps(classes())
    assert len(packed) < 1000  # above 100 KB Ray keeps arguments where a restart may not find them
    assert cloudpickle.loads(packed) is classes()

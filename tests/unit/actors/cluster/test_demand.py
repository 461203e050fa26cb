"""What activities ask Ray for and do not get, in words."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from durable_ray.actors.cluster import demand
from durable_ray.actors.instances.waits import UnmetDemand


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes that are up and one that is not; two requests wait."""
    resources = [({"CPU": 4.0, "special": 1.0}, True), ({"CPU": 8.0}, True), ({"CPU": 64.0, "GPU": 8.0}, False)]
    nodes = [{"Resources": each, "Alive": alive} for each, alive in resources]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(demand, "_pending", lambda: [({"CPU": 2.0}, 2), ({"CPU": 1.0, "special": 1.0}, 1)])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"num_gpus": 1}, UnmetDemand("it asks for GPU: 1, and no node of the cluster has more than 0")),
        ({"num_cpus": 16}, UnmetDemand("it asks for CPU: 16, and no node of the cluster has more than 8")),
        (
            {"num_cpus": 8, "resources": {"special": 1}},
            UnmetDemand("it asks for CPU: 8, special: 1, and no node of the cluster has all of that"),
        ),
        ({"num_cpus": 2}, UnmetDemand("it asks for CPU: 2; such requests pending in Ray: 2", 2)),
        ({"resources": {"special": 1}}, UnmetDemand("it asks for CPU: 1, special: 1; such requests pending in Ray: 1", 1)),
        ({"accelerator_type": "H100"}, UnmetDemand(
            "it asks for accelerator_type:H100: 0.001, and no node of the cluster has more than 0"
        )),
        ({"num_cpus": 4}, None),
        ({"num_cpus": 0, "max_calls": 1}, None),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_said(options: dict[str, Any], expected: UnmetDemand | None) -> None:
    assert demand.unmet({"a": options}) == ({} if expected is None else {"a": expected})

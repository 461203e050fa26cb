"""`cluster.yaml` is one that Ray takes, and a cluster started with it runs the hub.

Holds: Ray's own validation, the order of the head's commands, one version everywhere. Leaves out what the
commands do on a machine, as none is contacted.
"""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.sources import ROOT


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return loaded


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    validate_config(prepare_config(cluster))


def test_ray_would_refuse_a_misspelt_key(cluster: dict[str, Any]) -> None:
    """The test above can fail: validation is not a formality."""
    misspelt = {**cluster, "head_start_ray_command": cluster["head_start_ray_commands"]}
    with pytest.raises(Exception, match="head_start_ray_command"):
        validate_config(prepare_config(misspelt))


def test_the_head_stops_the_old_ray_starts_the_new_and_then_the_hub(cluster: dict[str, Any]) -> None:
    stop, start, hub = cluster["head_start_ray_commands"]
    assert stop == "ray stop"
    assert "ray start --head" in start
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in start
    assert hub == "durable-ray up --join"


def test_workers_join_the_port_the_head_listens_on(cluster: dict[str, Any]) -> None:
    stop, start = cluster["worker_start_ray_commands"]
    assert stop == "ray stop"
    assert "ray start --address=$RAY_HEAD_IP:6379" in start
    assert "--port=6379" in cluster["head_start_ray_commands"][1]


def test_it_installs_this_version_and_a_ray_that_this_version_takes(
    cluster: dict[str, Any], project: dict[str, Any]
) -> None:
    [install] = cluster["setup_commands"]
    ray, durable_ray = (Requirement(quoted) for quoted in install.split("'")[1::2])
    assert (durable_ray.name, str(durable_ray.specifier)) == (project["name"], f"=={project['version']}")
    assert durable_ray.extras <= project["optional-dependencies"].keys()
    needed = next(Requirement(line) for line in project["dependencies"] if Requirement(line).name == "ray")
    [pinned] = ray.specifier
    assert needed.specifier.contains(pinned.version)

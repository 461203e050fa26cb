"""Creating a hub's registry from a process of its own, so that it does not inherit this job's runtime environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import ray

from durable_ray.actors import errors
from durable_ray.actors.cluster.ray_hub import HubInfo

_BOOT_SECONDS = 120.0


def make_registry_apart(info: HubInfo, known: bool = False) -> None:
    """Create it from a process without a runtime environment: it would inherit this job's, which is gone with the cluster.

    `known`: the hub was open in this cluster before. Raises HubUnavailable.
    """
    command = [sys.executable, "-m", "durable_ray.actors.cluster.boot", ray.get_runtime_context().gcs_address]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_JOB_")}
    try:
        # Through a pipe: every user of the machine can read arguments, and the store's URL may carry a password.
        done = subprocess.run(
            command,
            input=json.dumps([info.hub, info.store, info.settings.to_json(), known]),
            env=environment,
            capture_output=True,
            text=True,
            timeout=_BOOT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise errors.HubUnavailable(f"the registry could not be created within {_BOOT_SECONDS:.0f} s") from None
    if done.returncode:
        raise errors.HubUnavailable(f"the registry could not be created: {done.stderr.strip()[-2000:]}")

"""Run in a process of its own: prints a digest of what every shape of the corpus does, as JSON.

Memory is littered at random first and between runs, so that objects get other addresses in every process, and the order
of anything that hashes by address comes out differently.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import types
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(2)


def digests() -> dict[str, str]:
    from durable_ray.orchestrations.history.codec import encode_events
    from tests.laws.corpus import CORPUS
    from tests.laws.world import World

    found, litter, chance = {}, list[object](), random.SystemRandom()
    for shape in CORPUS:
        digest = hashlib.sha256()
        for seed in SEEDS:
            litter.extend(bytearray(chance.randrange(16, 1024)) for _ in range(chance.randrange(200)))
            chance.shuffle(litter)
            del litter[: len(litter) // 2]
            world = World(shape, seed, most=1 + seed % 3).run()
            for execution in world.executions:
                for turn in execution:
                    digest.update(encode_events(turn).encode())
        found[shape.name] = digest.hexdigest()
    return found


def leave_the_front_door_closed() -> None:
    """Import the pure room alone: the front door brings Ray and more, and this runs twenty times over."""
    package = types.ModuleType("durable_ray")
    package.__path__ = [str(_ROOT / "durable_ray")]
    sys.modules["durable_ray"] = package
    sys.path.insert(0, str(_ROOT))


if __name__ == "__main__":
    leave_the_front_door_closed()
    print(json.dumps(digests()))

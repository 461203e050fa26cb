"""Settings of a hub and their defaults. Fixed when the hub is created, stored in its row, the same for every process."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.orchestrations.values.times import LATEST, SECOND


def _fitting(seconds: float) -> float:
    return min(seconds, float(LATEST // SECOND))


#: Seconds; infinity is as long as a time can be.
Seconds = Annotated[PositiveFloat, AfterValidator(_fitting)]
SecondsOrZero = Annotated[NonNegativeFloat, AfterValidator(_fitting)]


def _default_partitions() -> int:
    # One partition saturates one core and groups its commits; SQLite has one writer anyway.
    return max(1, min(8, (os.cpu_count() or 2) // 2))


class HubSettings(BaseModel):
    """Settings of a task hub.

    Example:
        >>> HubSettings(max_dedicated=4).max_dedicated
        4
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    partitions: PositiveInt = Field(default_factory=_default_partitions)
    #: Most dedicated actors alive at once; None: from the node's memory (one per 256 MiB available, 4 to 200).
    max_dedicated: PositiveInt | None = None
    #: Prestarted processes for dedicated instances once there was one, where Ray supports it.
    warm_processes: NonNegativeInt = 1
    #: Seconds a dedicated instance may merely wait before its actor passivates; None: never.
    idle_timeout: Seconds | None = 300.0
    #: Seconds for which the actor of a finished dedicated instance stays to answer calls.
    linger: SecondsOrZero = 60.0
    #: Placement of instances whose starter chose their ID; those with a random ID are shared.
    default_placement: str = Field(default="dedicated", pattern="^(dedicated|shared)$")
    #: Seconds a single turn may take before its process is replaced (it blocks every instance beside it).
    turn_limit: Seconds = 30.0
    #: Crashes of its host during an instance's turns after which it is quarantined as Failed.
    max_recoveries: PositiveInt = 5
    #: Instances a shared host keeps in memory; the least recently used beyond that are evicted and replayed when needed.
    max_in_memory: PositiveInt = 20_000
    #: Seconds between the registry's sweeps (lost notifications, admission, expired receipts).
    sweep_interval: Seconds = 5.0
    #: Activity worker processes per node; None: one per core.
    workers: PositiveInt | None = None
    #: Activities one worker runs at the same time.
    worker_slots: PositiveInt = 64
    #: Seconds without work after which a worker process ends.
    worker_idle: Seconds = 300.0
    #: Seconds after which a finished instance is purged by itself; None: never. An orchestrator's own `retain_for` wins.
    retain_for: SecondsOrZero | None = None
    #: Orchestrator's name -> how many of its instances run at a time, in place of what it declares; the others wait.
    max_running: dict[str, PositiveInt] = Field(default_factory=dict)
    #: Activity's name -> how many of its attempts run at a time, in place of what it declares; the others wait.
    max_running_activities: dict[str, PositiveInt] = Field(default_factory=dict)
    #: Whether processes of one machine call each other over sockets of theirs; otherwise only through Ray.
    wire: bool = True
    #: Seconds for which the outcome of a request is remembered, so that its retry is answered alike.
    receipt_seconds: Seconds = 900.0

    def settled(self) -> HubConfig:
        """The same as the hub's processes read them."""
        return HubConfig(**self.model_dump())

    def dedicated_limit(self) -> int:
        """`max_dedicated`, or what this node's memory suggests."""
        return self.settled().dedicated_limit()

"""Random lives of a few instances against a model of a hundred lines: statuses, outputs and event order always agree.

The model knows no hosts, turns or messages; it says what a user may expect. After every step nobody may be forgotten.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import durable_ray as dr
from durable_ray.testing import TestHub
from tests.management.conftest import SWEEPS_NEVER, assert_nobody_is_forgotten
from tests.management.shapes import BROKEN, LEDGER, fragile

FINISHED = {"Completed", "Failed", "Terminated"}


@dr.orchestrator
async def modelled(ctx: dr.OrchestrationContext, seen: list[Any] | None = None) -> list[Any]:
    """Collect items; some of them mean something."""
    seen = list(seen or [])
    while True:
        ctx.set_custom_status(seen)
        item = await ctx.wait_for_external_event("item")
        if item == "stop":
            return seen
        if item == "renew":
            ctx.continue_as_new(seen)
        seen.append(await ctx.call_activity(fragile, item) if item == "work" else item)


@dataclass
class Life:
    """What a user knows of one instance."""

    input: list[Any] | None = None
    status: str = "Running"
    seen: list[Any] = field(default_factory=list)
    #: Raised and not consumed yet, in order.
    waiting: list[Any] = field(default_factory=list)
    begun: bool = True
    paused: bool = False
    output: Any = None
    #: It stands at an item that could not be worked on.
    stuck: bool = False
    keys: set[str] = field(default_factory=set)

    def go(self, broken: bool) -> None:
        """Consume what waits, as far as that is possible."""
        while self.status == "Running" and (self.stuck or self.waiting):
            item = "work" if self.stuck else self.waiting.pop(0)
            if item == "stop":
                self.status, self.output = "Completed", list(self.seen)
            elif item == "renew":
                self.input = list(self.seen)
            elif item == "work" and broken:
                self.status, self.stuck = "Failed", True
            else:
                self.seen.append(item)
                self.stuck = False


IDS = st.sampled_from(["a", "b", "c"])
PLACEMENTS = st.sampled_from(["dedicated", "shared"])
ITEMS = st.sampled_from([1, 2, 3, "work", "renew", "stop"])


class Lives(RuleBasedStateMachine):
    """Drives a hub and the model alike."""

    @initialize()
    def begin(self) -> None:
        os.environ[LEDGER] = str(Path(mkdtemp()) / "ledger")
        os.environ[BROKEN] = ""
        self.hub = TestHub(auto_advance=False, settings=dr.HubSettings(partitions=2, sweep_interval=SWEEPS_NEVER))
        self.client = self.hub.client
        self.lives: dict[str, Life] = {}
        self.broken = False

    def expect(self, error: type[Exception] | None, act: Any, *arguments: Any, **options: Any) -> bool:
        """Do it, and see that it fails as expected; whether it was done."""
        if error is None:
            act(*arguments, **options)
            return True
        with pytest.raises(error):
            act(*arguments, **options)
        return False

    def missing(self, instance_id: str) -> type[Exception] | None:
        """Why nothing can be said to this instance."""
        life = self.lives.get(instance_id)
        if life is None:
            return dr.InstanceNotFound
        return dr.InstanceFinished if life.status in FINISHED else None

    @rule(instance_id=IDS, placement=PLACEMENTS, delayed=st.booleans(), replace=st.booleans())
    def start(self, instance_id: str, placement: Any, delayed: bool, replace: bool) -> None:
        self.hub.advance(timedelta(microseconds=1))
        life = self.lives.get(instance_id)
        active = life is not None and life.status not in FINISHED
        taken = dr.InstanceAlreadyExists if active and not replace else None
        start_at = timedelta(hours=1) if delayed else None
        policy = "terminate_existing" if replace else "reject"
        start = {"instance_id": instance_id, "placement": placement, "start_at": start_at, "if_exists": policy}
        if self.expect(taken, self.client.start_new, modelled, [], **start):
            self.lives[instance_id] = Life([], status="Pending" if delayed else "Running", begun=not delayed)

    @rule(instance_id=IDS, item=ITEMS, key=st.sampled_from([None, None, "k"]))
    def raise_event(self, instance_id: str, item: Any, key: str | None) -> None:
        send = {"idempotency_key": key} if key else {}
        life = self.lives.get(instance_id)
        # One that was sent before is answered as it was then, also when its instance has ended since.
        error = None if life is not None and key in life.keys else self.missing(instance_id)
        if self.expect(error, self.client.raise_event, instance_id, "item", item, **send):
            self.hears(instance_id, item, key)

    def hears(self, instance_id: str, item: Any, key: str | None = None) -> None:
        """An event arrives, unless one of its key has."""
        life = self.lives[instance_id]
        if key is None or key not in life.keys:
            life.waiting.append(item)
            life.go(self.broken)
        if key is not None:
            life.keys.add(key)

    @rule(instance_id=IDS, item=ITEMS, placement=PLACEMENTS)
    def signal_with_start(self, instance_id: str, item: Any, placement: Any) -> None:
        self.hub.advance(timedelta(microseconds=1))
        self.client.signal_with_start(modelled, "item", item, instance_id=instance_id, input=[], placement=placement)
        life = self.lives.get(instance_id)
        if life is None or life.status in FINISHED:
            self.lives[instance_id] = Life([])
        self.hears(instance_id, item)

    @rule(instance_id=IDS)
    def suspend(self, instance_id: str) -> None:
        life, error = self.lives.get(instance_id), self.missing(instance_id)
        if life is not None and error is None and (life.paused or life.status == "Suspended"):
            error = dr.InvalidState
        if self.expect(error, self.client.suspend, instance_id) and life is not None:
            life.paused, life.status = True, "Suspended"

    @rule(instance_id=IDS)
    def resume(self, instance_id: str) -> None:
        life, error = self.lives.get(instance_id), self.missing(instance_id)
        if life is not None and error is None and not life.paused:
            error = dr.InvalidState
        if self.expect(error, self.client.resume, instance_id) and life is not None:
            life.paused = False
            life.status = "Running" if life.begun else "Pending"
            life.go(self.broken)

    @rule(instance_id=IDS)
    def terminate(self, instance_id: str) -> None:
        if self.expect(self.missing(instance_id), self.client.terminate, instance_id, "why"):
            life = self.lives[instance_id]
            life.status, life.output, life.paused, life.begun = "Terminated", "why", False, True

    @rule(instance_id=IDS)
    def rewind(self, instance_id: str) -> None:
        life = self.lives.get(instance_id)
        error = dr.InstanceNotFound if life is None else dr.InvalidState
        possible = life is not None and life.status in ("Failed", "Terminated")
        if self.expect(None if possible else error, self.client.rewind, instance_id) and life is not None:
            life.status, life.output = "Running", None
            life.go(self.broken)

    @rule(instance_id=IDS)
    def restart(self, instance_id: str) -> None:
        self.hub.advance(timedelta(microseconds=1))
        life = self.lives.get(instance_id)
        error = dr.InstanceNotFound if life is None else None if life.status in FINISHED else dr.InvalidState
        if self.expect(error, self.client.restart, instance_id, restart_with_new_instance_id=False):
            assert life is not None
            self.lives[instance_id] = Life(life.input, seen=list(life.input or []))

    @rule(instance_id=IDS)
    def purge(self, instance_id: str) -> None:
        life = self.lives.get(instance_id)
        done = life is not None and life.status in FINISHED
        assert self.client.purge(instance_id) == int(done)
        if done:
            del self.lives[instance_id]

    @rule()
    def an_hour_passes(self) -> None:
        self.hub.advance(timedelta(hours=2))
        for life in self.lives.values():
            if not life.begun:
                life.begun = True
                life.status = "Suspended" if life.paused else "Running"
                life.go(self.broken)

    @rule(broken=st.booleans())
    def something_breaks_or_is_mended(self, broken: bool) -> None:
        self.broken = broken
        os.environ[BROKEN] = "work" if broken else ""

    @rule()
    def crash(self) -> None:
        self.hub.crash()

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "hub"):
            return
        assert_nobody_is_forgotten(self.hub)
        found = {status.instance_id: status for status in self.client.list_instances()}
        assert {name: str(status.runtime_status) for name, status in found.items()} == {
            name: life.status for name, life in self.lives.items()
        }
        for name, life in self.lives.items():
            if life.status != "Failed":
                assert found[name].output == life.output, name
            if life.begun and life.status in ("Running", "Completed", "Failed"):
                assert found[name].custom_status == life.seen, name
        counted = sum(self.client.counts().values())
        assert counted == len(self.lives)

    def teardown(self) -> None:
        if hasattr(self, "hub"):
            self.hub.close()


@pytest.mark.timeout(300)
class TestLives(Lives.TestCase):
    """Hypothesis runs it."""

    settings = settings(
        max_examples=int(os.environ.get("DURABLE_RAY_MODEL_EXAMPLES", "25")),
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

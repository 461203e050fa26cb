"""A failure at any commit, of any kind and shape, loses nothing and repeats nothing that completed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import durable_ray as dr
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.records import Fence
from durable_ray.actors.store.writes import CommitTurn, Write
from tests.faults.armed import MODES, anything, armed_hub, turns
from tests.faults.ledger import LEDGER
from tests.faults.shapes import SHAPES, step

pytestmark = pytest.mark.fault

#: How any commit may end, a client's request in the registry too: nobody knows whether it was made.
UNKNOWN = tuple(mode for mode in MODES if mode.startswith("unknown"))


CASES = [(name, mode, "shared") for name in SHAPES for mode in MODES]
CASES += [(name, mode, "dedicated") for name in ("children", "timers", "eternal") for mode in MODES[2:]]


@pytest.mark.parametrize(("name", "mode", "placement"), CASES)
def test_a_failed_commit_of_a_turn_changes_nothing(name: str, mode: str, placement: str) -> None:
    shape, shot = SHAPES[name], 0
    instance_id = "i" if placement == "dedicated" else None
    while True:
        shot += 1
        with armed_hub(mode, [shot], turns) as (hub, store):
            try:
                answer = shape.play(hub.client, instance_id)
            except Exception as error:
                pytest.fail(_story(f"{type(error).__name__}: {error}", store.story), pytrace=False)
            if answer != shape.expected:
                pytest.fail(_story(f"answered {answer}, not {shape.expected}", store.story), pytrace=False)
            if LEDGER.repeated:
                pytest.fail(_story(f"completed, and run again: {LEDGER.repeated}", store.story), pytrace=False)
        if store.seen < shot:
            break
    assert shot > 2, "nothing was shot at"


@pytest.mark.parametrize("mode", UNKNOWN)
@pytest.mark.parametrize("name", ["children", "collector", "eternal"])
def test_a_commit_of_unknown_outcome_is_never_made_twice(name: str, mode: str) -> None:
    shape, shot = SHAPES[name], 0
    while True:
        shot += 1
        with armed_hub(mode, [shot], anything) as (hub, store):
            answer = shape.play(hub.client, "i")
            assert answer == shape.expected, _story(f"answered {answer}", store.story)
        if store.seen < shot:
            break


@dr.orchestrator(name="faults.one_at_a_time", max_running=1)
async def one_at_a_time(ctx: dr.OrchestrationContext, number: int) -> int:
    return await ctx.call_activity(step, number)


def ends(fence: Fence | None, writes: Sequence[Write]) -> bool:
    """Commits in which an instance ends."""
    return any(isinstance(write, CommitTurn) and write.status == "Completed" for write in writes)


@pytest.mark.parametrize("instance_id", ["own", None], ids=["dedicated", "shared"])
def test_who_waits_for_an_end_of_unknown_outcome_learns_it_at_once(instance_id: str | None) -> None:
    settings = HubSettings(partitions=1, sweep_interval=600, max_dedicated=2)
    with armed_hub("unknown, made", [1], ends, settings=settings) as (hub, store):
        first = hub.client.start_new(one_at_a_time, 1, instance_id=instance_id)
        second = hub.client.start_new(one_at_a_time, 2)
        # Less than the slice of a long poll, after which a client asks again; no sweep comes to the second's help.
        assert (first.wait_for_completion(5), second.wait_for_completion(5)) == (10, 20)
        assert store.seen == 2


def _story(what: str, commits: list[str]) -> str:
    lines = [f"{number:3}  {line}" for number, line in enumerate(commits, 1)]
    return "\n".join([what, "the commits were:", *lines])

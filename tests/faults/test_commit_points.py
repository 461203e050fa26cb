"""A failure at any commit, of any kind and shape, loses nothing and repeats nothing that completed."""

from __future__ import annotations

import pytest

from tests.faults.armed import MODES, anything, armed_hub, turns
from tests.faults.ledger import LEDGER
from tests.faults.shapes import SHAPES

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


def _story(what: str, commits: list[str]) -> str:
    lines = [f"{number:3}  {line}" for number, line in enumerate(commits, 1)]
    return "\n".join([what, "the commits were:", *lines])

"""A group is exactly its members one after another: the bulk writing and its order must not be visible from outside.

Random groups, full of writes to the same few instances, are committed once as a group and once one by one; answers and
everything in the store must agree. Some writes cannot be stored at all, which makes the group fall back to savepoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.records import FINISHED, Receipt
from durable_ray.actors.store.sql.checks import check
from durable_ray.actors.store.writes import CommitTurn, FinishUnstarted, Passivate, Successor, TurnCommitted, Write
from durable_ray.orchestrations.history.events import ParentAddress
from tests.store_contract.building import HOST, message, new, put, start, turn

IDS = ("a", "b", "c")
ids = st.sampled_from(IDS)


@dataclass
class Guess:
    """What an instance is thought to be, so that many of the random turns fit."""

    execution: str
    turn: int = 0
    status: str = "Pending"
    events: int = 0


@dataclass
class World:
    """Remembers starts and turns as if all of them succeeded."""

    guesses: dict[str, Guess] = field(default_factory=dict)
    made: int = 0

    def begin(self, instance_id: str) -> str:
        self.made += 1
        execution = f"{instance_id}-x{self.made}"
        guess = self.guesses.get(instance_id)
        if guess is None or guess.status in FINISHED:
            self.guesses[instance_id] = Guess(execution)
        return execution


def a_start(draw: st.DrawFn, world: World) -> Write:
    name = draw(ids)
    policy = draw(st.sampled_from(["reject", "use_existing", "terminate_existing", "reject_finished"]))
    parent = ParentAddress(draw(ids), "px", 1) if draw(st.booleans()) else None
    execution = world.begin(name)
    if policy == "terminate_existing":
        world.guesses[name] = Guess(execution)
    return start(
        name,
        execution_id=execution,
        input=draw(st.sampled_from([None, '"in"', "l" * 1001, "\ud800"])),
        tags=draw(st.sampled_from([{}, {"k": "1"}, {"k": "2", "j": "1"}])),
        parent=parent,
        if_exists=policy,
        receipt=draw(receipts),
    )


def a_turn(draw: st.DrawFn, world: World) -> Write:
    name = draw(ids)
    guess = world.guesses.get(name, Guess("x"))
    status = draw(st.sampled_from(["Running", "Running", "Running", "Suspended", "Completed", "Failed"]))
    others = tuple(message(draw(ids), f"t{world.made}-{n}") for n in range(draw(st.integers(0, 2))))
    children = tuple(new(child, execution_id=world.begin(child)) for child in draw(st.sets(ids, max_size=1)) - {name})
    world.made += 1
    successor = None
    if status == "Running" and draw(st.integers(0, 3)) == 0:
        body = draw(st.sampled_from(["next", "n" * 1001]))
        successor = Successor(f"{name}-s{world.made}", 1, body, "first", 1, "v", "c")
    made = turn(
        new(name, execution_id=guess.execution),
        status,
        turn=guess.turn,
        old_status=guess.status,
        first_event=guess.events,
        body=draw(st.sampled_from(["events", "events", "events", "\ud800"])),
        messages=others,
        children=children,
        child_conflicts=tuple(message(name, f"conflict-{child.execution_id}") for child in children),
        successor=successor,
        next_due=draw(st.sampled_from([None, 5000])),
        outstanding=draw(st.integers(0, 1)),
        receipts=(Receipt(f"t{world.made}", "ok", 1),) if draw(st.booleans()) else (),
        consumed=(0,) if draw(st.booleans()) else (),
    )
    if made.body != "\ud800" and draw(st.integers(0, 9)):
        guess.turn, guess.status, guess.events = guess.turn + 1, status, guess.events + 1
        if successor:
            guess.execution, guess.events = successor.execution_id, 1
    return made


def an_ending(draw: st.DrawFn, world: World) -> Write:
    home = message(draw(ids), "ended") if draw(st.booleans()) else None
    name = draw(ids)
    execution = world.guesses.get(name, Guess("x")).execution
    return FinishUnstarted(name, execution, "Terminated", 3000, "end", 1, message=home, receipt=draw(receipts))


def a_sleep(draw: st.DrawFn, world: World) -> Write:
    name = draw(ids)
    guess = world.guesses.get(name, Guess("x"))
    return Passivate(name, guess.execution, HOST, guess.turn, draw(st.sampled_from([None, 6000])))


def a_message(draw: st.DrawFn, world: World) -> Write:
    return put(draw(ids), draw(st.sampled_from(["m1", "m2", "m3"])))


receipts = st.one_of(st.none(), st.builds(Receipt, st.sampled_from(["r1", "r2", "r3"]), st.just("done"), st.just(9)))
KINDS = [a_start, a_start, a_turn, a_turn, a_turn, a_turn, an_ending, a_sleep, a_message, a_message]


@st.composite
def groups(draw: st.DrawFn) -> list[list[Write]]:
    """Some groups of writes."""
    world = World()
    begun: list[Write] = [start(name, execution_id=world.begin(name)) for name in IDS]
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    return [begun] + [[draw(st.sampled_from(KINDS))(draw, world) for _ in range(size)] for size in sizes]


def taking(store: Store, group: list[Write]) -> list[Write]:
    """The group, with the turns that take mail taking what waits in this store now."""
    return [
        replace(write, consumed=tuple(pending.row for pending in store.inbox([write.instance_id])))
        if isinstance(write, CommitTurn) and write.consumed
        else write
        for write in group
    ]


def state(store: Store) -> Any:
    """Everything that can be seen. Of each inbox the order, for its numbers depend on what else was written before."""
    loaded = store.load(IDS)
    return (
        {name: (each.row, each.history) for name, each in loaded.items()},
        {name: [(each.message_id, each.body) for each in store.inbox([name])] for name in IDS},
        store.receipts([f"{kind}{n}" for kind in "rt" for n in range(60)]),
        store.counts(),
    )


def plain(answer: Any) -> Any:
    """An answer, without what the database says about a refusal."""
    return type(answer).__name__ if type(answer).__name__ == "Refused" else answer


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(groups())
def test_a_group_is_its_members_one_after_another(drawn: list[list[Write]]) -> None:
    together, apart = open_store("sqlite://"), open_store("sqlite://")
    try:
        for group in drawn:
            at_once = [plain(answer) for answer in together.commit(None, taking(together, group)).answers]
            one_by_one = [apart.commit(None, [write]) for write in taking(apart, group)]
            in_turn = [plain(committed.answers[0]) for committed in one_by_one]
            assert at_once == in_turn
        assert state(together) == state(apart)
        assert check(together) == check(apart) == []
    finally:
        together.close()
        apart.close()


def test_the_random_turns_are_not_all_stale() -> None:
    """The guard of the guard: among random groups there are turns that commit."""
    seen: list[str] = []

    @settings(max_examples=25, deadline=None, database=None, derandomize=True)
    @given(groups())
    def look(drawn: list[list[Write]]) -> None:
        store = open_store("sqlite://")
        seen.extend(type(answer).__name__ for group in drawn for answer in store.commit(None, group).answers)
        store.close()

    look()
    assert seen.count(TurnCommitted.__name__) > 20
    assert {"Started", "Exists", "Stale", "Refused", "Delivered", "Done"} <= set(seen)

"""Who is in memory: loads are shared and repeated, the least recently used leave, the inbox keeps its order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from durable_ray.actors.host.message_delivery import MessageDelivery
from durable_ray.actors.instances.active_instance import ActiveInstance, InstanceState, Obstacle, PendingMessage
from durable_ray.actors.instances.instance_cache import InstanceCache
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.messages import Reply
from durable_ray.actors.store.contract import Store, StoreError
from durable_ray.actors.store.records import InboxMessage, InstanceRow, NewInstance, Receipt
from durable_ray.actors.store.writes import CommitTurn, StartInstance
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_event, encode_events
from durable_ray.orchestrations.history.events import Message
from durable_ray.orchestrations.history.snapshot import fold
from tests.unit.actors.hosting import new_store, until


class Reads:
    """A store whose reads are counted, and fail as often as a test says."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.loads: list[list[str]] = []
        self.failures = 0
        #: What happens in the store and elsewhere, one for each read, when it has been made and nobody has its answer yet.
        self.meanwhile: list[Callable[[], None]] = []

    def load(self, ids: list[str]) -> Any:
        self.loads.append(list(ids))
        if self.failures:
            self.failures -= 1
            raise StoreError("busy")
        found = self.store.load(ids)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Home:
    """A residence with what it tells its host."""

    def __init__(self, *names: str, limit: int = 100) -> None:
        self.store = new_store()
        self.reads = Reads(self.store)
        for name in names:
            self.store.commit(None, [StartInstance(new(name))])
        self.admitted: list[str] = []
        self.arrived: list[str] = []
        self.outdated: list[str] = []
        self.stopped: list[str] = []
        self.elsewhere: list[str] = []
        self.instance_cache = InstanceCache(
            "h",
            self.reads,  # type: ignore[arg-type]
            self.blocking,
            lambda active: self.admitted.append(active.instance_id),
            lambda active: self.arrived.append(active.instance_id),
            lambda active: self.stopped.append(active.instance_id),
            lambda row: self.elsewhere.append(row.instance_id),
            limit,
        )

    async def blocking(self, call: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(call)

    async def active(self, name: str) -> ActiveInstance:
        found = await self.instance_cache.find(name)
        assert isinstance(found, ActiveInstance)
        return found

    async def look(self, active: ActiveInstance) -> None:
        self.instance_cache.read_inbox(active, lambda active: self.outdated.append(active.instance_id))
        await until(lambda: active.state is InstanceState.IDLE)

    def put(self, name: str, number: int) -> None:
        body = encode_event(ev.EventRaised("e", str(number)))
        self.store.commit(None, [InboxMessage(name, f"m{number}", body)])


def new(name: str, execution: str = "e1", host: str = "h") -> NewInstance:
    return NewInstance(name, execution, "n", host, "shared", 1000)


def numbers(active: ActiveInstance) -> list[str | None]:
    return [pending.message.event.payload for pending in active.pending_messages]  # type: ignore[union-attr]


def direct(number: int) -> PendingMessage:
    answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    return PendingMessage(Message(f"d{number}", ev.EventRaised("e", str(number))), answer=answer)


async def test_loads_that_are_asked_for_together_share_a_read() -> None:
    home = Home("a", "b", "c")
    await asyncio.gather(*(home.instance_cache.find(name) for name in ("a", "b", "a", "c", "nobody")))
    assert home.reads.loads == [["a", "b", "c", "nobody"]]
    assert home.admitted == ["a", "b", "c"]
    assert await home.instance_cache.find("nobody") is None


async def test_what_is_in_memory_is_not_read_again() -> None:
    home = Home("a")
    assert await home.active("a") is await home.active("a") is home.instance_cache.peek("a")
    assert len(home.reads.loads) == 1


async def test_one_of_another_host_is_a_row() -> None:
    home = Home()
    home.store.commit(None, [StartInstance(new("far", host="elsewhere"))])
    found = await home.instance_cache.find("far")
    assert not isinstance(found, ActiveInstance)
    assert found is not None
    assert found.host == "elsewhere"


async def test_only_of_one_that_is_not_in_memory_it_is_told_that_it_is_elsewhere() -> None:
    home = Home()
    home.store.commit(None, [StartInstance(new(name, host="elsewhere")) for name in ("far", "anew")])
    loop, successor = asyncio.get_running_loop(), InstanceRow("anew", "e2", "n", "h", "shared", 2000)
    # Started anew here, while the row of its predecessor was on its way.
    home.reads.meanwhile = [lambda: loop.call_soon_threadsafe(home.instance_cache.create, successor)]  # type: ignore[list-item,func-returns-value]
    await asyncio.gather(home.instance_cache.find("far"), home.instance_cache.find("anew"))
    assert home.elsewhere == ["far"]


async def test_a_load_that_fails_is_repeated_until_it_succeeds() -> None:
    home = Home("a")
    home.reads.failures = 2
    assert (await home.active("a")).instance_id == "a"
    assert len(home.reads.loads) == 3
    assert home.instance_cache.idle


async def test_one_that_cannot_be_read_does_not_take_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home("bad", "good")
    admit = InstanceCache._activate

    def fails(instance_cache: InstanceCache, loaded: Any) -> ActiveInstance:
        if loaded.row.instance_id == "bad":
            raise ValueError("of a newer release")
        return admit(instance_cache, loaded)

    monkeypatch.setattr(InstanceCache, "_activate", fails)
    bad, good = await asyncio.gather(
        home.instance_cache.find("bad"), home.instance_cache.find("good"), return_exceptions=True
    )
    assert isinstance(bad, ValueError)
    assert isinstance(good, ActiveInstance)
    assert home.instance_cache.idle


async def test_one_with_a_damaged_history_is_stopped_and_its_mail_stays_where_it_is() -> None:
    home = Home("bad", "good")
    home.store.commit(
        None, [CommitTurn("bad", "e1", "h", 0, "n", "Pending", "Running", 1, encode_events([ev.TurnStarted(1)]), 0, 2)]
    )
    home.put("bad", 1)
    bad, good = await home.active("bad"), await home.active("good")
    assert (bad.obstacle, home.stopped) == (Obstacle.DAMAGE, ["bad"])
    assert "it has 1 events, its row says 2" in str(bad.waiting_reason)
    assert good.obstacle is None
    assert len(home.store.inbox(["bad"])) == 1


async def test_mail_that_comes_while_its_instance_is_being_read_is_read() -> None:
    """Its nudge finds a load under way, whose read was before it."""
    home = Home("a")
    loop = asyncio.get_running_loop()
    late: list[asyncio.Future[Any]] = []

    def mail_comes() -> None:
        home.put("a", 1)
        loop.call_soon_threadsafe(lambda: late.append(home.instance_cache.get("a")))

    home.reads.meanwhile.append(mail_comes)
    active = await home.active("a")
    await until(lambda: bool(late))
    assert await late[0] is active
    assert active.dirty or numbers(active) == ["1"]
    assert home.instance_cache.idle


@pytest.mark.parametrize("known", [False, True])
async def test_whoever_asks_after_a_start_does_not_get_an_answer_from_before_it(known: bool) -> None:
    home = Home("a") if known else Home()
    if known:
        over = {"completed_at": 2000, "old_status": "Pending", "status": "Terminated", "updated_at": 2000, "body": ""}
        turn = CommitTurn("a", "e1", "h", 0, "n", first_event=0, events=0, **over)  # type: ignore[arg-type]
        home.store.commit(None, [turn])
    loop = asyncio.get_running_loop()
    late: list[asyncio.Future[Any]] = []

    def it_starts() -> None:
        home.store.commit(None, [StartInstance(new("a", "e2"))])
        loop.call_soon_threadsafe(lambda: late.append(home.instance_cache.get("a")))

    home.reads.meanwhile.append(it_starts)
    early = await home.instance_cache.find("a")
    assert early is None or (isinstance(early, InstanceRow) and early.finished)
    await until(lambda: bool(late))
    found = await late[0]
    assert isinstance(found, ActiveInstance)
    assert found.row.execution_id == "e2"
    assert home.arrived == ["a"] or home.admitted == ["a"]
    assert home.instance_cache.idle


async def test_one_who_is_cancelled_does_not_take_the_load_from_others() -> None:
    home = Home("a")
    first = asyncio.ensure_future(home.instance_cache.find("a"))
    second = asyncio.ensure_future(home.instance_cache.find("a"))
    await asyncio.sleep(0)
    first.cancel()
    assert isinstance(await second, ActiveInstance)
    assert home.instance_cache.idle


async def test_closed_it_loads_nothing_more() -> None:
    home = Home("a")
    waits = asyncio.ensure_future(home.instance_cache.find("a"))
    await asyncio.sleep(0)
    home.instance_cache.close()
    with pytest.raises(asyncio.CancelledError):
        await waits
    with pytest.raises(asyncio.CancelledError):
        await home.instance_cache.find("a")


async def test_the_least_recently_used_leave_unless_they_have_something_to_do() -> None:
    home = Home(*(f"i{n}" for n in range(6)), limit=3)
    kept = await home.active("i0")
    kept.pending_messages.append(direct(1))
    held = await home.active("i1")
    held.obstacle = Obstacle.CODE
    for number in range(2, 6):
        await home.active(f"i{number}")
    assert {"i0", "i1"} <= {active.instance_id for active in home.instance_cache.all()}
    assert len(home.instance_cache) < 6


async def test_mail_keeps_its_order_however_often_it_is_read() -> None:
    home = Home("a")
    active = await home.active("a")
    for number in (1, 2, 3):
        home.put("a", number)
        await home.look(active)
    assert numbers(active) == ["1", "2", "3"]
    await home.look(active)
    assert numbers(active) == ["1", "2", "3"], "taken in twice"
    assert home.outdated == []


async def test_mail_was_accepted_before_what_came_straight_from_a_client() -> None:
    home = Home("a")
    home.put("a", 1)
    active = await home.active("a")
    active.pending_messages.append(direct(9))
    home.put("a", 2)
    await home.look(active)
    assert numbers(active) == ["1", "2", "9"]


async def test_one_whose_place_was_taken_is_outdated() -> None:
    home = Home("a")
    active = await home.active("a")
    await home.look(active)
    assert home.outdated == []
    home.store.commit(None, [StartInstance(new("a", "e2"), "terminate_existing")])
    await home.look(active)
    assert home.outdated == ["a"]


class _Mailboxes:
    """A scheduler that only takes messages."""

    def enqueue(self, active: ActiveInstance, pending: PendingMessage) -> None:
        active.pending_messages.append(pending)


def message_delivery(home: Home) -> MessageDelivery:
    return MessageDelivery(
        home.store, home.instance_cache, _Mailboxes(), home.blocking, lambda pending_messages, name: None
    )  # type: ignore[arg-type]


async def test_letters_find_the_instance_as_it_is_now() -> None:
    home = Home("a")
    pending_messages = [direct(1), direct(2)]
    again = message_delivery(home)
    again.deliver("a", pending_messages)
    await until(lambda: not again.pending)
    assert numbers(await home.active("a")) == ["1", "2"]
    lost = direct(3)
    again.deliver("nobody", [lost])
    assert lost.answer is not None
    assert await lost.answer == Reply("absent")


async def test_a_letter_that_was_committed_after_all_is_answered_and_not_taken_twice() -> None:
    home = Home("a")
    home.store.commit(None, [StartInstance(new("b"), receipt=Receipt("done before", "ok", 2**60))])
    committed, other = direct(1), direct(2)
    committed.request_id, other.request_id = "done before", "not made"
    again = message_delivery(home)
    again.deliver("a", [committed, other], after=StoreError("who knows"))
    await until(lambda: not again.pending)
    assert committed.answer is not None
    assert await committed.answer == Reply("ok")
    assert numbers(await home.active("a")) == ["2"]


@pytest.mark.parametrize("steps", [0, 1, 5])
async def test_closing_sends_everybody_on(steps: int) -> None:
    home = Home("a")
    again = message_delivery(home)
    pending, late = direct(1), direct(2)
    again.deliver("a", [pending], after=StoreError("busy"))
    for _ in range(steps):
        await asyncio.sleep(0)
    again.close()
    again.deliver("a", [late])
    for one in (pending, late):
        assert one.answer is not None
        assert await one.answer == Reply("moved")


def test_a_row_in_memory_is_fresh_only_after_continue_as_new() -> None:
    row = InstanceFactory.row(new("a"))
    assert not ActiveInstance(row, fold("a", ())).fresh
    assert ActiveInstance(replace(row, turn=1, next_due=1000), fold("a", ())).fresh

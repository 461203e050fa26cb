"""The row of a new instance: on the newest code, placed by what was declared and asked, a child's with its parent."""

from __future__ import annotations

from typing import Any

import durable_ray as dr
from durable_ray.actors.instances.instance_factory import InstanceFactory
from durable_ray.actors.messages import StartOptions
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.records import NewInstance
from durable_ray.actors.store.writes import StartInstance
from durable_ray.orchestrations.history.events import ParentAddress
from durable_ray.orchestrations.history.transition import ChildStart
from durable_ray.orchestrations.values.ids import child_instance_id
from tests.unit.actors.hosting import new_library, new_store, row_of


@dr.orchestrator(name="unit.plain")
async def plain(ctx: dr.OrchestrationContext) -> None: ...


@dr.orchestrator(name="unit.own", placement="dedicated")
async def own(ctx: dr.OrchestrationContext) -> None: ...


STORE = new_store()
LIBRARY = new_library(plain, own, store=STORE)
NURSERY = InstanceFactory(LIBRARY, HubSettings(partitions=3).settled())


def conceived(name: str = "unit.plain", **more: Any) -> NewInstance:
    given: dict[str, Any] = {"instance_id": "i", "execution_id": "e", "named": False} | more
    new = NURSERY.new_instance(StartOptions(name, **given), 1000)
    assert new is not None
    return new


def test_the_newest_code_is_taken() -> None:
    new = conceived()
    assert (new.code_id, new.version) == (row_of(plain).code_id, row_of(plain).version)
    assert NURSERY.new_instance(StartOptions("nobody", "i", "e", False), 1000) is None
    assert NURSERY.new_instance(StartOptions("unit.plain", "i", "e", False, version="none"), 1000) is None


def test_random_ids_are_shared_and_chosen_ones_have_an_actor() -> None:
    assert (conceived().placement, conceived().host[:10]) == ("shared", "partition-")
    assert (conceived(named=True).placement, conceived(named=True).host) == ("dedicated", "instance:i")
    assert conceived("unit.own").placement == "dedicated"
    assert conceived("unit.own", placement="shared").placement == "shared"


def test_a_start_may_be_given_as_a_time_or_as_a_delay() -> None:
    assert conceived().start_at is None
    assert conceived(start_at=777).start_at == 777
    assert conceived(delay=5).start_at == 1005


def test_an_automatic_child_is_shared_and_a_named_one_has_an_actor() -> None:
    parent = ParentAddress("p", "pe", 4)
    automatic = child_instance_id("p", "pe", 4)
    first = NURSERY.new_child(ChildStart(4, automatic, "unit.plain", "1", None, parent), 1000)
    assert (first.placement, first.parent, first.input) == ("shared", parent, "1")
    assert NURSERY.new_child(ChildStart(4, "chosen", "unit.plain", None, None, parent), 1000).placement == "dedicated"
    assert NURSERY.new_child(ChildStart(4, "free", "unit.plain", None, None, None), 1000).parent is None


def test_each_attempt_of_a_child_is_another_execution_and_the_same_one_on_replay() -> None:
    parent = ParentAddress("p", "pe", 4)
    first, again, second = (
        NURSERY.new_child(ChildStart(4, "kid", "unit.plain", None, None, parent, attempt), 1000).execution_id
        for attempt in (1, 1, 2)
    )
    assert first == again != second


def test_the_row_in_memory_is_the_row_in_the_store() -> None:
    for number, new in enumerate(
        (conceived(tags={"a": "b"}), conceived(named=True, start_at=9), conceived(priority=3))
    ):
        written = StartInstance(new, "terminate_existing")
        STORE.commit(None, [written])
        stored = STORE.rows(["i"])["i"]
        made = InstanceFactory.row(new)
        differ = {name for name in stored.__struct_fields__ if getattr(stored, name) != getattr(made, name)}
        # The store's own marks of when and whether to look at it.
        assert differ <= {"next_due", "updated_at"}, (number, differ)

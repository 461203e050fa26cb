"""What a process knows of definitions: the newest by name, any code by its hash, fetched once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import durable_ray as dr
from durable_ray.actors.code.definition_cache import DefinitionCache, DefinitionMissing
from durable_ray.orchestrations.authoring.definitions import Activity
from durable_ray.orchestrations.authoring.retries import RetryPolicy
from tests.unit.actors.hosting import double, new_library, new_store, row_of


@dr.orchestrator(name="unit.one", version="1")
async def one(ctx: dr.OrchestrationContext) -> int:
    return 1


@dr.orchestrator(name="unit.one", version="2")
async def two(ctx: dr.OrchestrationContext) -> int:
    return 2


@dr.activity(name="unit.retried", retry_policy=RetryPolicy(1, 4))
def retried() -> None: ...


def test_nothing_is_known_at_first() -> None:
    definition_cache = DefinitionCache(new_store())
    definition_cache.refresh()
    assert definition_cache.activity("unit.double") == ("", None)
    assert definition_cache.orchestrator("unit.one", None) is None
    assert definition_cache.names() == ()


def test_the_newest_of_a_name_and_each_version() -> None:
    definition_cache = new_library(one, two)
    codes = row_of(one).code_id, row_of(two).code_id
    assert definition_cache.orchestrator("unit.one", None) == ("2", codes[1])
    assert definition_cache.orchestrator("unit.one", "1") == ("1", codes[0])
    assert definition_cache.orchestrator("unit.one", "3") is None
    assert definition_cache.names() == ("unit.one",)


def test_what_is_deployed_again_is_the_newest_again() -> None:
    store = new_store()
    definition_cache = new_library(one, two, store=store)
    store.put_definitions([row_of(one)])
    definition_cache.refresh()
    assert definition_cache.orchestrator("unit.one", None) == ("1", row_of(one).code_id)


def test_an_activity_s_own_policy_is_known() -> None:
    assert new_library(retried).activity("unit.retried") == (row_of(retried).code_id, RetryPolicy(1, 4))


def test_code_is_loaded_when_it_is_asked_for() -> None:
    definition_cache, code = new_library(double, one), row_of(double).code_id
    assert definition_cache.peek("activity", "unit.double", code) is None
    loaded = definition_cache.open("activity", "unit.double", code)
    assert isinstance(loaded, Activity)
    assert loaded(4) == 8
    assert definition_cache.peek("activity", "unit.double", code) is not None
    assert definition_cache.loaded_orchestrator("unit.one", row_of(one).code_id) is None
    definition_cache.open("orchestrator", "unit.one", row_of(one).code_id)
    assert definition_cache.loaded_orchestrator("unit.one", row_of(one).code_id) is not None


def test_code_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(DefinitionMissing, match="gone"):
        new_library(double).open("activity", "unit.double", "gone")


def test_a_runtime_environment_has_a_short_name_that_finds_it_again() -> None:
    store = new_store()
    store.put_definitions([replace(row_of(one), runtime_env='{"pip": ["x"]}')])
    definition_cache = DefinitionCache(store)
    definition_cache.refresh()
    known = definition_cache.known_orchestrator("unit.one")
    assert known is not None
    name = definition_cache.environment(known.row)
    assert len(name) == 8
    fresh = DefinitionCache(store)
    fresh.refresh()
    assert fresh.runtime_env(name) == '{"pip": ["x"]}'
    assert fresh.runtime_env("") is None
    assert definition_cache.environment(row_of(two)) == ""

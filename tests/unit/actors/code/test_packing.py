"""Packing: what goes by name and what by value, what stands beside the code, and what cannot travel or does not load.

Held here within one interpreter; the journeys between two are in test_packing_journeys.py.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
import threading
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import cloudpickle
import pytest
from msgspec.structs import replace

from durable_ray.actors.code.code_identity import code_id
from durable_ray.actors.code.packing import (
    PYTHON_PAYLOADS,
    DefinitionCannotLoad,
    DefinitionCannotTravel,
    PackedDefinition,
    pack,
    pickle_value,
    unpack,
    unpickle_value,
)
from durable_ray.orchestrations.authoring.definitions import Activity, CalledByReference, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.values.payloads import PayloadNotSerializable, is_pickled


def test_of_a_local_module_goes_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("some_local_module")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    source = """
    import threading, some_local_module
    LOCK = threading.Lock()
    MODEL = "a megabyte of weights"
    RATE = 3
    def locked(): return LOCK
    def triple(n): return some_local_module.rated(n)
    def rated(n): return some_local_module.RATE * n
    """
    exec(dedent(source), vars(module))

    def triples(n: int) -> Any:
        return module.triple(n)

    def locks() -> Any:
        return module.locked()

    packed = pack(Activity(triples, ActivityOptions("triples")))
    assert unpack(packed)(2) == 6
    assert b"megabyte" not in packed.body
    assert code_id(unpack(packed)) == packed.code_id
    with pytest.raises(DefinitionCannotTravel, match="lock"):
        pack(Activity(locks, ActivityOptions("locks")))


# --- by name or by value --------------------------------------------------------------------------


def work(n: int) -> int:
    return n + 1


def test_nothing_stays_registered() -> None:
    cloudpickle.register_pickle_by_value(sys.modules[Path.__module__])
    try:
        before = cloudpickle.list_registry_pickle_by_value()
        pack(Activity(work, ActivityOptions("work")))
        with pytest.raises(DefinitionCannotTravel):
            pack(Activity(holds_a_lock, ActivityOptions("holds_a_lock")))
        assert cloudpickle.list_registry_pickle_by_value() == before
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[Path.__module__])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module as if it were part of an installed package."""
    module = ModuleType("durable_ray.some_installed_module")
    exec("def work(n: int) -> int: return n + 1\ndef other(ctx, n): return work(n)", vars(module))
    vars(module)["work"] = Activity(module.work, ActivityOptions("work"))
    vars(module)["other"] = Orchestrator(module.other, OrchestratorOptions("other"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_installed_definitions_go_by_name(installed: ModuleType) -> None:
    for definition in (installed.work, installed.other):
        packed = pack(definition)
        assert (packed.how, packed.body) == ("reference", f"durable_ray.some_installed_module:{packed.name}".encode())
        assert unpack(packed) is definition


def test_an_installed_function_that_is_decorated_elsewhere_goes_by_value(installed: ModuleType) -> None:
    packed = pack(Activity(installed.work.fn, ActivityOptions("mine")))
    assert packed.how == "value"
    assert unpack(packed)(1) == 2


def test_an_activity_finds_the_installed_one_it_calls(installed: ModuleType) -> None:
    called = installed.work

    def local(n: int) -> Any:
        return called, called(n)

    loaded = unpack(pack(Activity(local, ActivityOptions("local"))))
    assert loaded(1) == (called, 2)


def test_an_orchestrator_keeps_its_code_and_only_the_names_of_others() -> None:
    step = 1

    def code(n: int) -> int:
        return n + step

    def orchestrate(ctx: Any, n: int) -> Any:
        return called, n + step

    called = Activity(code, ActivityOptions("called", RetryPolicy()))
    packed = pack(Orchestrator(orchestrate, OrchestratorOptions("pinned")))
    step = 100
    reference, result = unpack(packed)("ctx", 1)
    assert result == 2
    assert (reference.name, reference.options) == ("called", called.options)
    with pytest.raises(CalledByReference):
        reference(1)


def test_types_that_lead_back_to_the_definition() -> None:
    @dataclasses.dataclass
    class Node:
        n: int

        def again(self) -> Any:
            return visit

    def visit_node(node: Node) -> Any:
        return node.again()

    visit = Activity(visit_node, ActivityOptions("visit"))
    visit_node.__annotations__["node"] = Node
    loaded = unpack(pack(visit))
    assert loaded(loaded.input_hint(1)) is loaded

    def orchestrate(ctx: Any) -> Any:
        return visit

    reference = unpack(pack(Orchestrator(orchestrate, OrchestratorOptions("o"))))("ctx")
    assert reference.is_reference
    assert reference.input_hint(1).again().name == "visit"


# --- what stands beside the code ------------------------------------------------------------------


def test_options_travel_beside_and_inside() -> None:
    strategy = dataclasses.make_dataclass("NodeAffinity", ["node"])("n1")
    options = ActivityOptions("work", RetryPolicy(), 5, num_cpus=2, scheduling_strategy=strategy)
    packed = pack(Activity(work, options))
    loaded = unpack(packed)
    assert isinstance(loaded, Activity)
    assert loaded.options.scheduling_strategy.node == "n1"
    assert dataclasses.replace(loaded.options, scheduling_strategy=strategy) == options
    beside = ActivityOptions.from_json_dict(json.loads(packed.options_json))
    assert beside == dataclasses.replace(options, scheduling_strategy=None)
    assert packed.runtime_env is None


def test_the_runtime_env_is_the_jobs_with_the_definitions_own_before_it() -> None:
    own = {"pip": ["a"], "env_vars": {"A": "own", "C": "own"}}
    job = {"pip": ["b"], "working_dir": "s3://x", "env_vars": {"A": "job", "B": "job"}}
    packed = pack(Activity(work, ActivityOptions("work", runtime_env=own)), job_runtime_env=job)
    assert json.loads(packed.runtime_env or "") == {
        "pip": ["a"],
        "working_dir": "s3://x",
        "env_vars": {"A": "own", "B": "job", "C": "own"},
    }
    assert json.loads(pack(Activity(work, ActivityOptions("work")), job_runtime_env=job).runtime_env or "") == job


# --- what goes wrong ------------------------------------------------------------------------------

LOCK = threading.Lock()
ObjectRef = type("ObjectRef", (), {"__module__": "ray._raylet"})
REF = ObjectRef()


def holds_a_lock() -> Any:
    return LOCK


def holds_a_ref() -> Any:
    return REF


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        (Activity(holds_a_lock, ActivityOptions("x")), "cannot pickle '_thread.lock' object.*inside the function"),
        (Activity(holds_a_ref, ActivityOptions("x")), "an ObjectRef dies with its owner"),
        (Activity(work, ActivityOptions("x")).reference(), "register it where its function is"),
        (Activity(work, ActivityOptions("x", runtime_env={"pip": {1, 2}})), "not JSON values"),
    ],
)
def test_what_cannot_travel_says_why(definition: Activity[..., Any], reason: str) -> None:
    with pytest.raises(DefinitionCannotTravel, match=f"definition 'x' cannot be stored: .*{reason}"):
        pack(definition)


def reference_to(path: str, kind: Any = "activity", name: str = "x") -> PackedDefinition:
    return PackedDefinition(kind, name, "", "c0de", "reference", path.encode(), "{}")


def test_a_module_that_leaves_when_it_is_imported_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaves_at_import.py").write_text("raise SystemExit('no main guard')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DefinitionCannotLoad, match="SystemExit: no main guard"):
        unpack(reference_to("leaves_at_import:work"))


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (reference_to("no_such_module:x"), "No module named 'no_such_module'; install it on every node"),
        (reference_to("json:no_such_function"), "AttributeError: .*no_such_function"),
        (reference_to("json:dumps"), "json:dumps is <function dumps .*, not activity 'x'"),
        (reference_to("durable_ray.some_installed_module:work"), "is <activity 'work'>, not activity 'x'"),
        (
            reference_to("durable_ray.some_installed_module:work", "orchestrator", "work"),
            "not orchestrator 'work'",
        ),
        (replace(reference_to(""), how="value", body=b"2.7\n..."), "packed by Python 2.7"),
        (replace(pack(Activity(work, ActivityOptions("x"))), body=b"torn"), "packed by Python torn"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_what_does_not_load_says_why(packed: PackedDefinition, reason: str) -> None:
    with pytest.raises(DefinitionCannotLoad, match=reason) as caught:
        unpack(packed)
    back = pickle.loads(pickle.dumps(caught.value))
    assert (back.name, back.reason, str(back)) == (packed.name, caught.value.reason, str(caught.value))


# --- values ---------------------------------------------------------------------------------------


class Opaque:
    def __init__(self, inside: object) -> None:
        self.inside = inside


def test_values_travel_with_their_classes() -> None:
    payload = PYTHON_PAYLOADS.encode(Opaque({1: (2, 3)}))
    assert is_pickled(payload)
    assert PYTHON_PAYLOADS.decode(payload).inside == {1: (2, 3)}
    assert PYTHON_PAYLOADS.encode({"a": (1, 2)}) == '{"a":[1,2]}'
    assert PYTHON_PAYLOADS.decode("[1,2]", tuple[int, int]) == (1, 2)
    assert PYTHON_PAYLOADS.decode(None, int) is None
    assert unpickle_value(pickle_value({1, 2})) == {1, 2}


def test_an_object_ref_is_found_inside_any_object() -> None:
    with pytest.raises(PayloadNotSerializable, match="dies with its owner"):
        PYTHON_PAYLOADS.encode(Opaque([REF]))


def test_threads_may_pack_at_the_same_time() -> None:
    expected = code_id(Activity(work, ActivityOptions("work")))
    failures: list[BaseException] = []

    def pack_often() -> None:
        try:
            for _ in range(30):
                packed = pack(Activity(work, ActivityOptions("work")))
                assert (packed.how, packed.code_id, b"tests" in packed.body) == ("value", expected, True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=pack_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not cloudpickle.list_registry_pickle_by_value()

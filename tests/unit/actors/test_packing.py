"""Packing: code runs where its file is not, and what was packed is what runs.

Contract held here: definitions and values packed in one process load in another that has neither the script nor its
modules; what goes by name and what by value; the errors. Each journey is a real one, between two interpreters. Not
here: Ray, which carries the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from durable_ray.actors.code_id import code_id
from durable_ray.actors.packing import (
    PYTHON_PAYLOADS,
    DefinitionCannotLoad,
    DefinitionCannotTravel,
    PackedDefinition,
    pack,
    pickle_value,
    unpack,
    unpickle_value,
)
from durable_ray.orchestrations.definitions import Activity, CalledByReference, Orchestrator
from durable_ray.orchestrations.options import ActivityOptions, OrchestratorOptions
from durable_ray.orchestrations.payloads import PayloadNotSerializable, is_pickled
from durable_ray.orchestrations.retries import RetryPolicy
from tests.sources import ROOT

HELPERS = """
from __future__ import annotations
import dataclasses

RATE = 3

@dataclasses.dataclass
class Line:
    sku: str
    parts: list[Part] = dataclasses.field(default_factory=list)

@dataclasses.dataclass
class Part:
    n: int

def triple(n: int) -> int:
    return RATE * n
"""

SCRIPT = """
from __future__ import annotations
import dataclasses, enum, pickle, sys
from typing import *
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict
from durable_ray.actors.packing import PYTHON_PAYLOADS, pack
from durable_ray.orchestrations.decorators import activity, orchestrator
from durable_ray.orchestrations.retries import RetryPolicy
import helpers
from helpers import triple

class Color(enum.Enum):
    RED = "red"
    def shout(self) -> str: return self.value.upper()

class Item(BaseModel):
    sku: str = Field(min_length=2)
    color: Color = Color.RED
    @field_validator("sku")
    @classmethod
    def upper(cls, text: str) -> str: return text.upper()

class Order(BaseModel):
    items: list[Item]
    parent: Order | None = None

@dataclasses.dataclass(frozen=True, slots=True)
class Receipt:
    lines: list[Entry]
    previous: Receipt | None = None
    tags: list[int] = dataclasses.field(default_factory=list)

@dataclasses.dataclass
class Entry:
    n: int
    color: Color = Color.RED

class Address(TypedDict, total=False):
    zip: Required[int]
    entry: Entry

class Pair(NamedTuple):
    a: int
    b: Entry

T = TypeVar("T")

class Box(BaseModel, Generic[T]):
    value: T

def factory(k: int) -> Any:
    @activity(name=f"times_{k}")
    def times(n: int) -> int:
        return triple(n) * k + helpers.triple(1)
    return times

times_5 = factory(5)

@activity(retry_policy=RetryPolicy(max_number_of_attempts=2))
def bill(order: Order) -> Receipt:
    return Receipt([Entry(len(item.sku), item.color) for item in order.items])

@activity
def count_down(line: helpers.Line) -> list[str]:
    n = line.parts[0].n
    rest = count_down(helpers.Line("", [helpers.Part(n - 1)])) if n else []
    return [f"{n} {times_5(n)} {Color.RED.shout()}", *rest]

@activity
def move(address: Address) -> Pair:
    return Pair(address["zip"], address["entry"])

@activity
def unbox(box: Box[Item]) -> Item:
    return box.value

@orchestrator(version="1")
def main(ctx, order: Order) -> list[Receipt]:
    receipt = yield ctx.call_activity(bill, order)
    return [ctx, bill.is_reference, bill.options.retry_policy is not None, triple(2), main.name, receipt]

first = main

@orchestrator(name="main", version="2")
async def main(ctx, order: Order) -> str:
    return bill(order)

definitions = [times_5, bill, count_down, move, unbox, first, main]
stuff = {1: Entry(4), "lines": [helpers.Line("a")]}
with open(sys.argv[1], "wb") as file:
    pickle.dump(([pack(d) for d in definitions], PYTHON_PAYLOADS.encode(stuff)), file)
"""

RUNNER = """
import json, pickle, sys
from durable_ray.actors.code_id import code_id
from durable_ray.actors.packing import PYTHON_PAYLOADS, pack, unpack
packed, stuff = pickle.load(open(sys.argv[1], "rb"))
inputs = {
    "times_5": "2",
    "bill": '{"items":[{"sku":"abc","color":"red"}]}',
    "count_down": '{"sku":"q","parts":[{"n":1}]}',
    "move": '{"zip":1,"entry":{"n":2}}',
    "unbox": '{"value":{"sku":"abc"}}',
}
class Context:
    def call_activity(self, activity, value):
        return f"called {activity.name} with {type(value).__name__}, gives {activity.output_hint.__name__}"
told = {}
for one in packed:
    loaded = unpack(one)
    again = unpack(pack(loaded))
    same = code_id(loaded) == one.code_id == code_id(again) and pack(loaded).how == one.how
    if one.kind == "activity":
        value = again(PYTHON_PAYLOADS.decode(inputs[one.name], again.input_hint))
        payload = PYTHON_PAYLOADS.encode(value)
        assert PYTHON_PAYLOADS.decode(payload, again.output_hint) == value
        result = json.loads(payload)
    else:
        order = PYTHON_PAYLOADS.decode(inputs["bill"], again.input_hint)
        if one.version == "1":
            turn = again(Context(), order)
            result = [next(turn)]
            try:
                turn.send("receipt")
            except StopIteration as stop:
                result += stop.value[1:]
        else:
            try:
                again(Context(), order).send(None)
            except Exception as error:
                result = f"{type(error).__name__}: {error}"
    told[f"{one.name} {one.version}".strip()] = [one.how, same, result]
back = PYTHON_PAYLOADS.decode(stuff)
told["stuff"] = [type(back[1]).__name__, back[1].n, back["lines"][0].sku]
told["modules"] = [name for name in ("helpers", "script") if name in sys.modules]
print(json.dumps(told))
"""


def run(*arguments: str | Path, cwd: Path) -> str:
    """A process of its own that knows this project and nothing of the test's files."""
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize("as_module", [False, True], ids=["script", "module"])
def test_code_runs_where_its_files_are_not(tmp_path: Path, as_module: bool) -> None:
    here, there, packed = tmp_path / "here", tmp_path / "there", tmp_path / "packed"
    here.mkdir()
    there.mkdir()
    (here / "helpers.py").write_text(HELPERS)
    (here / "script.py").write_text(SCRIPT)
    (here / "importer.py").write_text("import script")
    (there / "runner.py").write_text(RUNNER)
    run(here / ("importer.py" if as_module else "script.py"), packed, cwd=here)
    told = json.loads(run(there / "runner.py", packed, cwd=there))
    assert told == {
        "times_5": ["value", True, 33],
        "bill": ["value", True, {"lines": [{"n": 3, "color": "red"}], "previous": None, "tags": []}],
        "count_down": ["value", True, ["1 18 RED", "0 3 RED"]],
        "move": ["value", True, [1, {"n": 2, "color": "red"}]],
        "unbox": ["value", True, {"sku": "ABC", "color": "red"}],
        "main 1": ["value", True, ["called bill with Order, gives Receipt", True, True, 6, "main", "receipt"]],
        "main 2": [
            "value",
            True,
            "CalledByReference: activity 'bill' is here by name only, so that its newest code is what runs: "
            "use ctx.call_activity(...) instead of calling it",
        ],
        "stuff": ["Entry", 4, "a"],
        "modules": [],
    }


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
        (dataclasses.replace(reference_to(""), how="value", body=b"2.7\n..."), "packed by Python 2.7"),
        (dataclasses.replace(pack(Activity(work, ActivityOptions("x"))), body=b"torn"), "packed by Python torn"),
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

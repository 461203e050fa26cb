"""Packed code runs where its file is not, and answers there what it would have answered here.

Each journey is a real one, between two interpreters: one has a script and its modules, the other has neither. Not here: Ray,
which carries the same bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
from durable_ray.actors.store.records import (Receipt)
from durable_ray.actors.code.packing import PYTHON_PAYLOADS, pack
from durable_ray.orchestrations.authoring.decorators import activity, orchestrator
from durable_ray.orchestrations.authoring.retries import RetryPolicy
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
from durable_ray.actors.code.code_identity import code_id
from durable_ray.actors.code.packing import PYTHON_PAYLOADS, pack, unpack
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

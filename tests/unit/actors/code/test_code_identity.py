"""The identity of code: equal for what does the same, different for what does not, in every process.

Contract held here: pairs of sources that must (not) be told apart, stability over hash seeds, files and
line numbers. That the identity survives packing is held in test_packing_journeys.py. Not here: other minor versions
of Python, whose bytecode differs and is meant to make another identity.
"""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from durable_ray.actors.code.code_identity import code_id
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.values.payloads import decode, encode
from tests.sources import ROOT

PRELUDE = """
from __future__ import annotations
import dataclasses, enum, functools, json, re
from typing import *
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict
from durable_ray.orchestrations.authoring.definitions import Activity, Orchestrator
from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions
"""

_cells = itertools.count()


def space_of(source: str, name: str = "__main__") -> dict[str, Any]:
    """Run a source as a notebook runs a cell: under a file name that no other cell has."""
    space: dict[str, Any] = {"__name__": name}
    exec(compile(PRELUDE + dedent(source), f"<cell {next(_cells)}>", "exec"), space)
    return space


def identity(source: str) -> str:
    return code_id(space_of(source)["f"])


SAME = {
    "blank lines and comments": ("def f(x): return x", "\n\n# why\ndef f(x):\n\n    # how\n    return x"),
    "its own name": ("def f(x): return x", "def g(x): return x\nf = g"),
    "where it was defined": ("def f(x): return x", "def make():\n    def f(x): return x\n    return f\nf = make()"),
    "globals it does not use": ("A = 1\ndef f(x): return x", "A = 2\ndef f(x): return x"),
    "an attribute named like a global": (
        "name = 1\ndef f(x): return x.name",
        "name = 2\ndef f(x): return x.name",
    ),
    "order of a set": ("def f(x): return x in {'a', 'b', 'c'}", "def f(x): return x in {'a', 'b', 'c'}"),
    "objects with state": ("L = object()\ndef f(): return L", "L = object()\ndef f(): return L"),
    "line numbers of local classes": (
        "def f():\n    class A:\n        __firstlineno__ = 3\n        x = 1\n    return A",
        "def f():\n    class A:\n        __firstlineno__ = 9\n        x = 1\n    return A",
    ),
    "whether equal values are one object": (
        "A = B = (1, 2)\ndef f(): return A, B",
        "A = (1, 2)\nB = (1, *[2])\ndef f(): return A, B",
    ),
}  # fmt: skip

DIFFERENT = {
    "a constant": ("def f(x): return x + 1", "def f(x): return x + 2"),
    "a constant's type": ("def f(x): return 1", "def f(x): return True"),
    "a name": ("def f(x): return x.a", "def f(x): return x.b"),
    "an exception handler": (
        "def f(x):\n    try: x()\n    except ValueError: return 1",
        "def f(x):\n    try: x()\n    except KeyError: return 1",
    ),
    "a default": ("def f(x=1): return x", "def f(x=2): return x"),
    "a keyword default": ("def f(*, x=1): return x", "def f(*, x=2): return x"),
    "async": ("def f(x): return x", "async def f(x): return x"),
    "an inner function": (
        "def f(x): return [lambda: 1 for _ in x]",
        "def f(x): return [lambda: 2 for _ in x]",
    ),
    "a constant global": ("A = 1\ndef f(): return A", "A = 2\ndef f(): return A"),
    "a global inside an inner function": (
        "A = 1\ndef f(): return lambda: A",
        "A = 2\ndef f(): return lambda: A",
    ),
    "a list of constants": ("A = ['x']\ndef f(): return A", "A = ['x', 'y']\ndef f(): return A"),
    "a local function": (
        "def g(): return 1\ndef f(): return g()",
        "def g(): return 2\ndef f(): return g()",
    ),
    "a function two steps away": (
        "def h(): return 1\ndef g(): return h()\ndef f(): return g()",
        "def h(): return 2\ndef g(): return h()\ndef f(): return g()",
    ),
    "a closure": (
        "def make(k):\n    return lambda x: x + k\nf = make(1)",
        "def make(k):\n    return lambda x: x + k\nf = make(2)",
    ),
    "a partial": (
        "def g(a): return a\nP = functools.partial(g, 1)\ndef f(): return P()",
        "def g(a): return a\nP = functools.partial(g, 2)\ndef f(): return P()",
    ),
    "a cached function": (
        "@functools.cache\ndef g(): return 1\ndef f(): return g()",
        "@functools.cache\ndef g(): return 2\ndef f(): return g()",
    ),
    "a pattern": ("P = re.compile('a')\ndef f(): return P", "P = re.compile('b')\ndef f(): return P"),
    "an installed function": ("G = json.dumps\ndef f(): return G", "G = json.loads\ndef f(): return G"),
    "a method": (
        "class A:\n    def m(self): return 1\ndef f(): return A()",
        "class A:\n    def m(self): return 2\ndef f(): return A()",
    ),
    "a method's kind": (
        "class A:\n    @staticmethod\n    def m(x): return 1\ndef f(): return A()",
        "class A:\n    @classmethod\n    def m(x): return 1\ndef f(): return A()",
    ),
    "a base class": (
        "class B: x = 1\nclass A(B): pass\ndef f(): return A",
        "class B: x = 2\nclass A(B): pass\ndef f(): return A",
    ),
    "a property": (
        "class A:\n    @property\n    def m(self): return 1\ndef f(): return A",
        "class A:\n    @property\n    def m(self): return 2\ndef f(): return A",
    ),
    "a member of an enum": (
        "class E(enum.Enum):\n    A = 1\ndef f(): return E",
        "class E(enum.Enum):\n    A = 2\ndef f(): return E",
    ),
    "a method of an enum": (
        "class E(enum.Enum):\n    A = 1\n    def m(self): return 1\ndef f(): return E.A",
        "class E(enum.Enum):\n    A = 1\n    def m(self): return 2\ndef f(): return E.A",
    ),
    "a dataclass's field type": (
        "@dataclasses.dataclass\nclass D:\n    a: int\ndef f(): return D",
        "@dataclasses.dataclass\nclass D:\n    a: str\ndef f(): return D",
    ),
    "a dataclass's default": (
        "@dataclasses.dataclass\nclass D:\n    a: int = 1\ndef f(): return D",
        "@dataclasses.dataclass\nclass D:\n    a: int = 2\ndef f(): return D",
    ),
    "a dataclass's parameters": (
        "@dataclasses.dataclass\nclass D:\n    a: int\ndef f(): return D",
        "@dataclasses.dataclass(order=True)\nclass D:\n    a: int\ndef f(): return D",
    ),
    "a dataclass instance": (
        "@dataclasses.dataclass\nclass D:\n    a: int\nC = D(1)\ndef f(): return C",
        "@dataclasses.dataclass\nclass D:\n    a: int\nC = D(2)\ndef f(): return C",
    ),
    "a model's field": (
        "class M(BaseModel):\n    a: int = 1\ndef f(): return M",
        "class M(BaseModel):\n    a: int = 2\ndef f(): return M",
    ),
    "a model's constraint": (
        "class M(BaseModel):\n    a: int = Field(gt=1)\ndef f(): return M",
        "class M(BaseModel):\n    a: int = Field(gt=2)\ndef f(): return M",
    ),
    "a model's validator": (
        "class M(BaseModel):\n    a: int\n    @field_validator('a')\n    def v(cls, x): return 1\ndef f(): return M",
        "class M(BaseModel):\n    a: int\n    @field_validator('a')\n    def v(cls, x): return 2\ndef f(): return M",
    ),
    "a model's validator's mode": (
        "class M(BaseModel):\n    a: int\n    @field_validator('a')\n    def v(cls, x): return x\ndef f(): M",
        "class M(BaseModel):\n    a: int\n    @field_validator('a', mode='plain')\n"
        "    def v(cls, x): return x\ndef f(): M",
    ),
    "a model's config": (
        "class M(BaseModel):\n    a: int\ndef f(): return M",
        "class M(BaseModel, extra='forbid'):\n    a: int\ndef f(): return M",
    ),
    "a TypedDict's required keys": (
        "class T(TypedDict):\n    a: int\nA = T\ndef f(): return A",
        "class T(TypedDict, total=False):\n    a: int\nA = T\ndef f(): return A",
    ),
    "what a type is made of": ("A = list[int]\ndef f(): return A", "A = list[str]\ndef f(): return A"),
    "which special form": ("A = ClassVar[int]\ndef f(): return A", "A = Final[int]\ndef f(): return A"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_what_does_not_count(one: str, other: str) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_counts(one: str, other: str) -> None:
    assert identity(one) == identity(one)
    assert identity(one) != identity(other)


@pytest.mark.parametrize(
    "source",
    [
        "def f(n): return f(n - 1) if n else 0",
        "def g(n): return f(n)\ndef f(n): return g(n - 1) if n else 0",
        "class A:\n    def m(self): return f()\n    def s(self): return super().m()\ndef f(): return A()",
        "A = []\nA.append(A)\ndef f(): return A",
        "A = {}\nA['f'] = lambda: A\ndef f(): return A",
        "@dataclasses.dataclass\nclass N:\n    next: N | None = None\nA = N()\nA.next = A\ndef f(): return A",
        "class M(BaseModel):\n    inner: list[M] = []\ndef f(): return M",
    ],
)
def test_ways_back_end(source: str) -> None:
    assert identity(source) == identity(source)


def test_of_a_local_module_counts_what_the_code_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def identity_with(helper: str) -> str:
        module = ModuleType("some_local_helpers")
        exec(helper, vars(module))
        monkeypatch.setitem(sys.modules, "some_local_helpers", module)
        return identity("import some_local_helpers as h\ndef f(x): return h.double(x)")

    before = identity_with("R = 2\ndef double(x): return R * x\ndef other(): return 1")
    assert before == identity_with("R = 2\ndef double(x): return R * x\ndef other(): return 2\nlater = 3")
    assert before != identity_with("R = 3\ndef double(x): return R * x\ndef other(): return 1")


def test_definitions_count_with_types_and_options() -> None:
    space = space_of("""
    class M(BaseModel):
        a: int
    def f(x: M) -> int: return 1
    def g(x: int) -> int: return 1
    """)
    assert code_id(space["f"]) == code_id(space["g"]), "hints of a plain function change nothing it does"
    made = [
        Activity(space["f"], ActivityOptions("f")),
        Activity(space["g"], ActivityOptions("f")),
        Activity(space["f"], ActivityOptions("g")),
        Activity(space["f"], ActivityOptions("f", num_cpus=1)),
        Activity(space["f"], ActivityOptions("f", RetryPolicy())),
        Orchestrator(space["f"], OrchestratorOptions("f")),
        Orchestrator(space["f"], OrchestratorOptions("f", version="2")),
    ]
    assert len({code_id(definition) for definition in made}) == len(made)


REFERRING = """
def work(x: int) -> {output}: return {code}
called = Activity(work, ActivityOptions({name!r}))
def f(ctx, x): return called
def g(x): return called(x)
orchestrator = Orchestrator(f, OrchestratorOptions('o'))
activity = Activity(g, ActivityOptions('a'))
"""


def test_an_orchestrator_is_not_changed_by_its_activities_code_but_by_what_it_knows_of_them() -> None:
    def identities(name: str = "w", output: str = "int", code: str = "x") -> tuple[str, str]:
        space = space_of(REFERRING.format(name=name, output=output, code=code))
        return code_id(space["orchestrator"]), code_id(space["activity"])

    orchestrator, calling_activity = identities()
    fixed_orchestrator, fixed_activity = identities(code="x + 1")
    assert orchestrator == fixed_orchestrator, "the fix is found by name"
    assert calling_activity != fixed_activity, "an activity carries along what it calls"
    assert orchestrator != identities(name="v")[0]
    assert orchestrator != identities(output="str")[0]


SCRIPT = """
class Model(BaseModel):
    items: frozenset[str] = frozenset({"a", "b", "c", "d"})
    kind: Literal["x", "y"] = "x"

@dataclasses.dataclass
class Data:
    model: Model
    tags: set[str] = dataclasses.field(default_factory=set)

SETTINGS = {"cities": ["a", "b"], "set": {"p", "q", "r", "s"}}

def helper(x): return x in {"k", "l", "m", "n"} and SETTINGS

def f(data: Data) -> Model: return helper(data.model)
"""


def test_every_process_sees_the_same(tmp_path: Path) -> None:
    """Other hash seeds, another file, another place in the file, as a script and as a module."""
    ending = "\nfrom durable_ray.actors.code.code_identity import code_id\nprint(code_id(Activity(f, ActivityOptions('f'))))\n"
    script, module, importer = (tmp_path / f"{name}.py" for name in ("script", "module", "importer"))
    script.write_text(PRELUDE + SCRIPT + ending)
    module.write_text(PRELUDE + "\n# moved\n" * 7 + SCRIPT + ending)
    importer.write_text("import module")
    started = [
        subprocess.Popen(
            [sys.executable, file],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        )
        for file, seed in [(script, "0"), (script, "77"), (importer, "123")]
    ]
    printed = {process.communicate(timeout=60)[0] for process in started}
    assert len(printed) == 1
    assert len(printed.pop().strip()) == 32


def test_using_a_class_does_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydantic, pickle and copy leave notes on the classes that they work with."""
    source = """
    @dataclasses.dataclass(slots=True)
    class Inner:
        b: int = 2
    @dataclasses.dataclass
    class D:
        a: Inner = dataclasses.field(default_factory=Inner)
        c: int = 1
    def f(d: D) -> D: return d
    """
    module = ModuleType("some_local_module")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module).update(space_of(source, module.__name__))
    made = Activity(vars(module)["f"], ActivityOptions("f"))
    before = code_id(made)
    value = decode(encode(vars(module)["D"]()), made.input_hint)
    assert made(value) == copy.copy(value) == pickle.loads(pickle.dumps(value))
    assert code_id(made) == before

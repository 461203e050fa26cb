"""Code goes on under another Python: made anew of its source where that is the same program, else refused with a reason.

Here the other Python is this one under another name; under real ones a kept store's instance goes on (`tests/stores`), and
`test_an_instance_that_began_under_this_python_goes_on_under_another` where one is named.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from durable_ray.actors.code import carried_source, generated, packing
from durable_ray.actors.code.carried_source import reduced_code, remade_code, source_of
from durable_ray.actors.code.code_identity import code_id
from durable_ray.actors.code.packing import DefinitionCannotLoad, pack, unpack
from durable_ray.orchestrations.authoring.definitions import Activity
from durable_ray.orchestrations.authoring.options import ActivityOptions
from tests.sources import ROOT

SCRIPT = '''
from __future__ import annotations
import dataclasses, functools
from dataclasses import InitVar
from typing import ClassVar

RATE = 3

def keeping(fn):
    @functools.wraps(fn)
    def inside(*args):
        return ("kept", fn(*args))
    return inside

@keeping
@keeping
def decorated(n, by=2):
    return [n * by for _ in range(2)]

def made(base):
    add, sub = lambda n: n + base, lambda n: n - base
    def both(n):
        return add(n), sub(n)
    return both

class Base:
    def name(self): return "base"

class Derived(Base):
    __secret = 7
    def name(self): return super().name() + str(self.__secret)
    @property
    def rate(self): return RATE

def many(n):
    """A docstring."""
    def deeper():
        nonlocal n
        n += 1
        yield n
        yield from (n * x for x in (1, 2))
    return list(deeper()), Derived().name(), Derived().rate, made(n)(10), decorated(n)

@dataclasses.dataclass(order=True, frozen=True)
class Line:
    sku: str
    parts: list[int] = dataclasses.field(default_factory=list, compare=False)
    shared: ClassVar[int] = 5
    by: InitVar[int] = 2
    n: int = dataclasses.field(init=False)

    def __post_init__(self, by):
        object.__setattr__(self, "n", by * RATE)

@dataclasses.dataclass
class More(Line.__base__):
    x: int = 0
    def __repr__(self): return "mine"

@dataclasses.dataclass(slots=True)
class Slotted:
    x: int

def lines(n):
    one, two = Line("a", [n]), Line("b", by=n)
    try:
        one.sku = "c"
    except dataclasses.FrozenInstanceError:
        frozen = True
    return repr(one), one < two, one == Line("a"), hash(two) == hash(Line("b", by=n)), two.n, Line.shared, frozen, \
        repr(More(n)), More(1) == More(1), [field.name for field in dataclasses.fields(Line)]

def slotted(n):
    return Slotted(n).x

if True:
    def conditional(n):
        return n + RATE
'''


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that is only here."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "carried_script.py").write_text(SCRIPT)
    monkeypatch.delitem(sys.modules, "carried_script", raising=False)
    return __import__("carried_script")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on this Python takes itself for another."""

    def become() -> None:
        monkeypatch.setattr(carried_source, "PYTHON", "9.9")
        monkeypatch.setattr(packing, "PYTHON", "9.9")
        monkeypatch.setattr(generated, "PYTHON", "9.9")

    return become


def work(name: str, function: Callable[..., Any]) -> Activity[..., Any]:
    return Activity(function, ActivityOptions(name))


@pytest.mark.parametrize("name", ["many", "conditional", "decorated", "lines"])
def test_a_function_is_made_anew_of_its_source_and_is_the_same_program(
    script: ModuleType, elsewhere: Callable[[], None], name: str
) -> None:
    function = getattr(script, name)
    packed, here = pack(work(name, function)), function(4)
    identity = code_id(work(name, function))
    elsewhere()
    again = unpack(packed)
    assert again.fn is not None
    assert again.fn(4) == here
    assert code_id(again) == identity


def test_a_dataclass_with_slots_waits_for_its_python(script: ModuleType, elsewhere: Callable[[], None]) -> None:
    packed = pack(work("slotted", script.slotted))
    assert unpack(packed).fn(4) == 4  # type: ignore[misc]
    elsewhere()
    with pytest.raises(DefinitionCannotLoad, match="'Slotted' has slots"):
        unpack(packed)


def test_a_closure_and_the_second_of_two_lambdas_are_found(script: ModuleType, elsewhere: Callable[[], None]) -> None:
    packed = pack(work("both", script.made(100)))
    elsewhere()
    assert unpack(packed).fn(1) == (101, -99)  # type: ignore[misc]


def test_only_the_statement_travels(script: ModuleType) -> None:
    source = source_of(script.conditional.__code__)
    assert source is not None
    assert source.text == "if True:\n    def conditional(n):\n        return n + RATE\n"
    assert b"class Derived" not in pack(work("conditional", script.conditional)).body


def test_what_has_no_source_is_refused_with_the_reason_and_runs_where_it_was_made(
    elsewhere: Callable[[], None],
) -> None:
    world: dict[str, Any] = {"__name__": "__main__"}
    exec("def generated(n):\n    return n + 1", world)
    packed = pack(work("generated", world["generated"]))
    assert unpack(packed).fn(1) == 2  # type: ignore[misc]
    elsewhere()
    with pytest.raises(
        DefinitionCannotLoad, match=r"packed by Python 3\.\d+, .* 'generated' has no source that could travel"
    ):
        unpack(packed)


def test_a_file_that_was_edited_since_is_not_taken_for_the_source(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "carried_script.py").write_text(SCRIPT.replace("n + RATE", "n - RATE"))
    import linecache

    linecache.checkcache()
    assert source_of(script.conditional.__code__) is None
    assert source_of(script.made.__code__) is not None


def test_bytecode_of_an_older_form_is_never_tried_under_another_python(elsewhere: Callable[[], None]) -> None:
    body = pack(work("work", lambda: 1)).body.replace(b" source\n", b"\n", 1)
    elsewhere()
    from msgspec.structs import replace

    with pytest.raises(DefinitionCannotLoad, match="packed by Python"):
        unpack(replace(pack(work("work", lambda: 1)), body=body))


def test_a_code_object_comes_back_as_it_was(script: ModuleType) -> None:
    make, arguments = reduced_code(script.many.__code__)
    assert make is remade_code
    again: CodeType = make(*arguments)
    assert again == script.many.__code__


BEGIN = """
import sys
import durable_ray as dr
from durable_ray.testing import TestHub

import dataclasses

@dataclasses.dataclass
class Order:
    sizes: list[int]

def rate(): return 3

@dr.activity(local=True)
def triple(n): return rate() * n

@dr.orchestrator
async def order(ctx, n):
    tripled = [await ctx.call_activity(triple, x) for x in Order(list(range(n))).sizes]
    match await ctx.wait_for_external_event("go"):
        case {"add": add}:
            return [x + add for x in tripled]
    return [await ctx.call_activity(triple, x) for x in tripled]

with TestHub(sys.argv[1], auto_advance=False) as hub:
    hub.client.start_new(order, 3, instance_id="o", placement="shared")
    hub.settle()
"""
FINISH = """
import sys
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.testing import TestHub

with TestHub(sys.argv[1], definitions=DefinitionCatalog()) as hub:
    hub.client.raise_event("o", "go", "triple")
    print(hub.client.wait_for_completion("o", timeout=20))
"""
#: Interpreters of other versions that have what durable_ray needs: DURABLE_RAY_PYTHONS=/path/to/python3.12:/path/to/python3.13
PYTHONS = [path for path in os.environ.get("DURABLE_RAY_PYTHONS", "").split(os.pathsep) if path]


@pytest.mark.skipif(not PYTHONS, reason="DURABLE_RAY_PYTHONS names no interpreters with durable_ray's dependencies")
@pytest.mark.parametrize("python", PYTHONS)
def test_an_instance_that_began_under_this_python_goes_on_under_another(python: str, tmp_path: Path) -> None:
    def run(program: str, text: str) -> str:
        (tmp_path / "script.py").write_text(text)
        done = subprocess.run(
            [program, "script.py", f"sqlite:///{tmp_path / 'hub.db'}"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run(sys.executable, BEGIN)
    assert run(python, FINISH) == "[0, 9, 18]"

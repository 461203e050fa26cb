"""A type hint that is not understood is said when the function is decorated; one of a local class is understood."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
import typing
from typing import Any

import pytest
from pydantic import BaseModel

from durable_ray.orchestrations.authoring.decorators import activity, orchestrator
from durable_ray.orchestrations.values.payloads import decode, encode

if typing.TYPE_CHECKING:
    from somewhere import OnlyForTypeCheckers  # type: ignore[import-not-found]


def test_a_class_of_the_function_around_is_found() -> None:
    @dataclasses.dataclass
    class Order:
        n: int

    class Model(BaseModel):
        n: int

    def wrapper() -> Any:
        @activity(name="hint_checks_inner")
        def inner(order: Order | None) -> list[Model]: ...  # type: ignore[empty-body]

        return inner

    found = wrapper()
    assert (found.input_hint, found.output_hint) == (Order | None, list[Model])
    assert decode(encode(Order(3)), found.input_hint) == Order(3)

    @orchestrator(name="hint_checks_generator")
    def generates(context: Any, order: Order) -> typing.Generator[Any, Any, Model]:
        yield

    assert (generates.input_hint, generates.output_hint) == (Order, Model)


def test_a_name_that_nobody_defined_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"hint 'Missing' of 'order' of .*takes names what is not defined there: define or"
    ):

        @activity
        def takes(order: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match=r"hint 'list\[OnlyForTypeCheckers\]' of the result of .*TYPE_CHECKING"):

        @orchestrator
        async def gives(ctx: Any) -> list[OnlyForTypeCheckers]: ...


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic understands them")
@pytest.mark.parametrize("place", ["itself", "in a list", "in a dataclass"])
def test_a_typed_dict_that_pydantic_cannot_read_is_refused(place: str) -> None:
    Plain: Any = typing.TypedDict("Plain", {"n": int})
    Holder = dataclasses.make_dataclass("Holder", [("it", Plain)])
    hint: Any = {"itself": Plain, "in a list": list[Plain], "in a dataclass": Holder}[place]

    def takes(order: Any) -> None: ...

    takes.__annotations__["order"] = hint
    with pytest.raises(TypeError, match=r"of 'order' of .*typing_extensions.TypedDict"):
        activity(takes)


USER = """
from __future__ import annotations
import sys, typing
import durable_ray as dr

class Odd:
    __get_pydantic_core_schema__ = 5

@dr.orchestrator
async def plain(ctx, numbers: list[int]) -> dict[str, tuple[int, ...] | None]: ...
assert "pydantic" not in sys.modules

try:
    @dr.activity
    def takes(order: Odd) -> None: ...
except TypeError as error:
    print(error)
"""


def test_it_is_refused_too_where_nobody_has_imported_pydantic_yet() -> None:
    told = subprocess.run([sys.executable, "-c", USER], capture_output=True, text=True, timeout=60, check=True)
    assert "the type hint Odd of 'order' of __main__.takes cannot be used to read values" in told.stdout


def test_a_local_class_whose_fields_only_its_function_knows_is_refused() -> None:
    @dataclasses.dataclass
    class Inner:
        n: int

    @dataclasses.dataclass
    class Outer:
        inner: Inner

    with pytest.raises(TypeError, match="define its types in a module"):

        @activity
        def takes(order: Outer) -> None: ...


MODULE = """
from __future__ import annotations
from durable_ray.orchestrations.authoring.decorators import activity

@activity
def hint_checks_forward(order: Later) -> list[Later]: ...
@activity
def hint_checks_never(order: Never) -> int: ...

class Later: ...
"""


def test_what_a_module_defines_further_down_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    space: dict[str, Any] = {"__name__": "hint_checks_module"}
    exec(MODULE, space)
    forward, never = space["hint_checks_forward"], space["hint_checks_never"]
    with caplog.at_level(logging.WARNING):
        later: Any = space["Later"]
        assert (forward.input_hint, forward.output_hint) == (later, list[later])
        assert caplog.text == ""
        assert (never.input_hint, never.output_hint) == (None, int)
    assert (
        "the type hint 'Never' of 'order' of hint_checks_module.hint_checks_never names what is not defined"
        in caplog.text
    )

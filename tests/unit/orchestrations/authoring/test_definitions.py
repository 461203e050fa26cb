"""Definitions: what a decorator makes of a function, what it refuses, and what the catalog remembers.

Contract held here: `signatures`, `options`, `definitions`, `decorators` and `catalog`, which are one story
to an author. Each refusal is checked for the sentence that says what to do instead. Not here: how
definitions travel (test_packing.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import json
import pickle
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from typing import Annotated, Any, get_overloads

import pytest
from pydantic import BaseModel, Field

from durable_ray.orchestrations.authoring import decorators
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog, DuplicateDefinition
from durable_ray.orchestrations.authoring.decorators import activity, orchestrator
from durable_ray.orchestrations.authoring.definitions import Activity, CalledByReference, Orchestrator
from durable_ray.orchestrations.authoring.options import UNSET, ActivityOptions, OrchestratorOptions
from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.authoring.signatures import resolved_annotations


class ActivityContext:
    """Recognised by its name, as the real one is."""


class Order(BaseModel):
    n: int = 0


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> DefinitionCatalog:
    """A catalog of this test's own, so that tests do not meet in the process's."""
    fresh = DefinitionCatalog()
    monkeypatch.setattr(decorators, "catalog", fresh)
    return fresh


# --- decorating -----------------------------------------------------------------------------------


def test_a_definition_is_still_its_function() -> None:
    @activity
    def say_hello(city: str) -> str:
        """Greets."""
        return f"Hello {city}!"

    assert say_hello("Tokyo") == "Hello Tokyo!"
    assert say_hello(city="Tokyo") == "Hello Tokyo!"
    assert (say_hello.name, say_hello.version, say_hello.__doc__) == ("say_hello", "", "Greets.")
    assert say_hello.__wrapped__ is say_hello.fn  # type: ignore[attr-defined]
    assert repr(say_hello) == "<activity 'say_hello'>"


def test_coroutines_run_as_coroutines() -> None:
    @activity
    async def double(n: int) -> int:
        return 2 * n

    assert double.style == "coroutine"
    assert asyncio.run(double(4)) == 8


def test_the_three_styles_of_orchestrators() -> None:
    @orchestrator
    async def a(ctx: Any) -> None: ...

    @orchestrator(version="2", name="renamed")
    def b(ctx: Any) -> Generator[Any, Any, int]:
        yield
        return 1

    @orchestrator
    def c(context: Any, order: Order) -> str:
        return "done"

    assert [d.style for d in (a, b, c)] == ["coroutine", "generator", "function"]
    assert (b.name, b.version, repr(b)) == ("renamed", "2", "<orchestrator 'renamed' version 2>")
    assert [d.output_hint for d in (a, b, c)] == [type(None), int, str]
    assert c.input_hint is Order


def star(*args: int) -> None: ...


def generates() -> Iterator[int]:
    yield 1


async def generates_async() -> Any:
    yield 1


def no_context() -> None: ...


class NotAFunction:
    def method(self) -> None: ...


made = Activity(no_context, ActivityOptions("no_context"))
remote = type("RemoteFunction", (), {"__module__": "ray.remote_function"})()


@pytest.mark.parametrize(
    ("decorate", "target", "sentence"),
    [
        (activity, generates, "return a list"),
        (activity, generates_async, "async generator"),
        (activity, NotAFunction, "not a class"),
        (activity, NotAFunction().method, "not a method"),
        (activity, print, "not a builtin_function_or_method"),
        (activity, functools.partial(star, 1), "not a partial"),
        (activity, lambda x: x, "a lambda has no name"),
        (activity, made, "is already an activity"),
        (activity, remote, "drop @ray.remote"),
        (orchestrator, made, "is already an activity"),
        (orchestrator, no_context, "must take its context first"),
        (orchestrator, star, "must take its context first"),
        (orchestrator, generates_async, "async generator"),
        (orchestrator, lambda ctx: None, "a lambda has no name"),
    ],
)
def test_what_is_no_definition_is_told_why(
    decorate: Callable[[Any], Any], target: Any, sentence: str, catalog: DefinitionCatalog
) -> None:
    with pytest.raises(TypeError, match=sentence):
        decorate(target)
    assert len(catalog) == 0


def test_a_lambda_with_a_name_will_do() -> None:
    assert activity(name="double")(lambda n: 2 * n)(4) == 8


# --- calling --------------------------------------------------------------------------------------


def test_arguments_follow_the_signature() -> None:
    def nothing() -> None: ...
    def value(x: int) -> None: ...
    def default(x: int = 5) -> None: ...
    def context(ctx: ActivityContext) -> None: ...
    def both(ctx: ActivityContext, x: int, *, verbose: bool = False) -> None: ...
    def by_text(ctx: not_imported.ActivityContext, x: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def extra(x: int, y: int = 3, *rest: int, **more: int) -> None: ...

    def given(fn: Callable[..., Any], value: object) -> tuple[object, ...]:
        return Activity(fn, ActivityOptions("x")).shape.arguments("CTX", value)

    assert given(nothing, None) == given(nothing, 1) == ()
    assert (given(value, 1), given(value, None)) == ((1,), (None,))
    assert (given(default, 1), given(default, None)) == ((1,), ())
    assert given(context, 1) == ("CTX",)
    assert given(both, 1) == given(by_text, 1) == ("CTX", 1)
    assert given(extra, 1) == (1,)


def test_a_wrapped_function_is_called_as_the_wrapped_one() -> None:
    def inner(ctx: ActivityContext, order: Order) -> int:
        return order.n

    @functools.wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    found = Activity(outer, ActivityOptions("x"))
    assert found.shape.arguments("CTX", 1) == ("CTX", 1)
    assert (found.input_hint, found.output_hint) == (Order, int)


def test_hints_are_read_when_needed_and_tolerantly() -> None:
    def forward(order: Later) -> list[Later]: ...  # type: ignore[empty-body]
    def broken(order: Order) -> Missing: ...  # type: ignore[name-defined]  # noqa: F821
    def annotated(order: Annotated[int, Field(gt=0)]) -> Any: ...
    def silent(order): ...  # type: ignore[no-untyped-def]

    def hints(fn: Callable[..., Any]) -> tuple[Any, Any]:
        found = Activity(fn, ActivityOptions("x"))
        return found.input_hint, found.output_hint

    assert hints(forward) == (Later, list[Later])
    assert hints(broken) == (Order, None)
    assert hints(annotated)[0].__metadata__[0].metadata
    assert hints(annotated)[1] is None
    assert hints(silent) == (None, None)


class Later: ...


def test_annotations_of_models_that_waited_for_a_later_class() -> None:
    class Outer(BaseModel):
        inner: NamedLater  # type: ignore[name-defined]  # noqa: F821

    globals()["NamedLater"] = Order
    try:
        assert resolved_annotations(Outer) == {"inner": Order}
        assert Outer.model_validate({"inner": {"n": 3}}).inner.n == 3
    finally:
        del globals()["NamedLater"]


# --- references -----------------------------------------------------------------------------------


def test_a_reference_knows_everything_but_the_code() -> None:
    full = Activity(with_order, ActivityOptions("with_order", RetryPolicy()))
    light = pickle.loads(pickle.dumps(full.reference()))
    assert light.is_reference
    assert not full.is_reference
    assert (light.name, light.options, light.input_hint) == ("with_order", full.options, Order)
    assert repr(light) == "<activity 'with_order' (by name)>"
    with pytest.raises(CalledByReference, match=r"use ctx\.call_activity"):
        light(Order())
    child = Orchestrator(with_order, OrchestratorOptions("child")).reference()
    with pytest.raises(CalledByReference, match=r"call_sub_orchestrator.*start_new"):
        child(Order())


def with_order(order: Order) -> int:
    return order.n


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "placement"),
    [
        ({}, "worker"),
        ({"retry_policy": RetryPolicy(), "timeout": 5}, "worker"),
        ({"local": True}, "local"),
        ({"detached": True, "num_gpus": 1}, "detached"),
        ({"num_cpus": 0}, "task"),
        ({"runtime_env": {"pip": ["x"]}}, "task"),
        ({"label_selector": {"gpu": "a100"}}, "task"),
    ],
)
def test_options_say_where_an_activity_runs(options: dict[str, Any], placement: str) -> None:
    made = activity(**options)(no_context)
    assert made.options.placement == placement


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"max_retries": 3}, TypeError, r"invisible to history; use retry_policy=RetryPolicy"),
        ({"retry_exceptions": True}, TypeError, "retry_on"),
        ({"lifetime": "detached"}, TypeError, "detached=True"),
        ({"namespace": "x"}, TypeError, "hub"),
        ({"get_if_exists": True}, TypeError, "instances"),
        ({"num_returns": 2}, TypeError, "return a tuple"),
        ({"max_concurrency": 2}, TypeError, "call the activity several times"),
        ({"num_cpu": 2}, TypeError, "did you mean num_cpus="),
        ({"zzz": 2}, TypeError, "no option zzz=$"),
        ({"num_cpus": -1}, ValueError, "not negative"),
        ({"num_cpus": "2"}, ValueError, "is a number"),
        ({"timeout": -1}, ValueError, "timeout must not be negative"),
        ({"timeout": 0}, ValueError, "timeout must be positive"),
        ({"max_running": 0}, ValueError, "at least 1"),
        ({"max_running": 1.5}, ValueError, "whole number"),
        ({"local": True, "num_gpus": 1}, ValueError, "num_gpus"),
        ({"local": True, "detached": True}, ValueError, "exclude each other"),
        ({"detached": True, "max_calls": 1}, ValueError, "max_calls"),
        ({"name": ""}, ValueError, "1 to 200 characters"),
        ({"name": "a/b"}, ValueError, "must not contain"),
        ({"name": "a\nb"}, ValueError, "must not contain"),
        ({"name": "x" * 201}, ValueError, "at most 200 characters"),
    ],
)
def test_bad_activity_options(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        activity(**options)(no_context)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"placement": "here"}, ValueError, "'dedicated', 'shared' or None"),
        ({"placement": "shared", "num_cpus": 1}, ValueError, "use 'dedicated'"),
        ({"max_running": 0}, ValueError, "at least 1"),
        ({"max_recoveries": -1}, ValueError, "negative"),
        ({"version": 2}, ValueError, "version is a text"),
        ({"retain_for": timedelta(days=-1)}, ValueError, "retain_for"),
        ({"retry_policy": RetryPolicy()}, TypeError, "no option retry_policy="),
    ],
)
def test_bad_orchestrator_options(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        orchestrator(**options)(with_order)


POLICY = RetryPolicy(0.5, 4, 1.5, timedelta(minutes=1), 3600, [ValueError, "Timeout"], [KeyError])


@pytest.mark.parametrize(
    "options",
    [
        ActivityOptions("a"),
        ActivityOptions("a", POLICY, 1_500_000, num_cpus=0.5, resources={"tpu": 1}, scheduling_strategy="SPREAD"),
        ActivityOptions("a", RetryPolicy(), detached=True, fallback_strategy=[{"label_selector": {"a": "b"}}]),
        OrchestratorOptions("o"),
        OrchestratorOptions("o", "2", "dedicated", None, None, 1, 2, {"x": 1}, {"pip": ["y"]}, 0, True, -1, 7),
        OrchestratorOptions("o", idle_timeout=0, retain_for=5_000_000),
    ],
)
def test_options_survive_json(options: ActivityOptions | OrchestratorOptions) -> None:
    text = json.dumps(options.to_json_dict())
    assert type(options).from_json_dict(json.loads(text)) == options
    assert type(options).from_json_dict({**json.loads(text), "of_a_later_release": 1}) == options


def test_a_strategy_that_is_an_object_stays_out_of_json() -> None:
    options = ActivityOptions("a", scheduling_strategy=object())
    assert options.to_json_dict() == {"name": "a"}
    assert options.placement == "task"


def test_durations_become_microseconds_and_unset_is_not_none() -> None:
    made = orchestrator(idle_timeout=None, retain_for=timedelta(hours=1))(with_order)
    assert (made.options.idle_timeout, made.options.retain_for) == (None, 3_600_000_000)
    assert orchestrator(name="other")(with_order).options.idle_timeout is UNSET
    assert activity(timeout=1.5)(no_context).options.timeout == 1_500_000


def test_the_decorators_name_every_option() -> None:
    """Their overloads are what editors show: a field that is added to the options must be added there."""
    for decorator, options in ((activity, ActivityOptions), (orchestrator, OrchestratorOptions)):
        with_options = get_overloads(decorator)[-1]
        assert list(inspect.signature(with_options).parameters) == [f.name for f in dataclasses.fields(options)]


# --- the catalog ----------------------------------------------------------------------------------


def defined(body: Callable[..., Any], name: str, version: str = "") -> Orchestrator:
    return Orchestrator(body, OrchestratorOptions(name, version))


def test_changes_since_a_counter(catalog: DefinitionCatalog) -> None:
    assert catalog.changes(0) == (0, ())
    first = activity(no_context)
    seen, new = catalog.changes(0)
    assert new == (first,)
    assert catalog.changes(seen) == (seen, ())
    second = orchestrator(with_order)
    again = activity(no_context)
    assert catalog.changes(seen)[1] == (second, again)
    assert list(catalog) == [second, again]
    assert catalog.get("activity", "no_context") is again
    assert catalog.get("orchestrator", "no_context") is None


def test_versions_live_side_by_side() -> None:
    catalog = DefinitionCatalog()
    one, two = defined(with_order, "order", "1"), defined(wrong_order, "order", "2")
    catalog.register(two)
    catalog.register(one)
    assert catalog.get("orchestrator", "order") is one, "the one entered last"
    assert catalog.get("orchestrator", "order", "2") is two
    assert catalog.get("orchestrator", "order", "3") is None


def wrong_order(ctx: Any) -> None: ...


def test_another_function_of_the_same_name_is_refused() -> None:
    catalog = DefinitionCatalog()
    catalog.register(defined(with_order, "order"))
    with pytest.raises(DuplicateDefinition, match=r"test_definitions:with_order, now also as .*:wrong_order"):
        catalog.register(defined(wrong_order, "order"))
    catalog.register(Activity(no_context, ActivityOptions("order")))


def test_the_same_function_again_replaces_the_older() -> None:
    """A notebook cell run again; a script that its own modules import under its file name."""
    source = "def cell(ctx): return {}"
    spaces = [{"__name__": "__main__"}, {"__name__": "__main__"}, {"__name__": "script"}]
    for number, space in enumerate(spaces):
        exec(compile(source.format(number), f"cell-{min(number, 1)}", "exec"), space)
    catalog = DefinitionCatalog()
    for space in spaces:
        latest = defined(space["cell"], "cell")  # type: ignore[arg-type]
        catalog.register(latest)
        assert catalog.get("orchestrator", "cell") is latest
    exec(compile(source, "elsewhere", "exec"), other := {"__name__": "elsewhere"})
    with pytest.raises(DuplicateDefinition):
        catalog.register(defined(other["cell"], "cell"))  # type: ignore[arg-type]

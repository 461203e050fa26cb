"""What may be declared beside a function: how an activity or orchestrator is to be run, as values that fit
into JSON.

Options that would let Ray do in secret what history must know (its own retries) or undo (names, lifetimes)
are refused, each with the reason. Durations are microseconds here; the decorators accept timedeltas and
seconds.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal, TypeVar

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.values.ids import validate_definition_name, validate_version
from durable_ray.orchestrations.values.times import duration

ActivityPlacement = Literal["worker", "task", "local", "detached"]
OrchestratorPlacement = Literal["dedicated", "shared"]


class Unset(enum.Enum):
    """The type of `UNSET`: not declared, so the hub's default holds; where None has a meaning of its own."""

    UNSET = "unset"


UNSET = Unset.UNSET

#: Ray's options that place an activity: declaring one makes the activity a Ray task of its own.
RAY_PLACING = (
    "num_cpus",
    "num_gpus",
    "memory",
    "resources",
    "accelerator_type",
    "label_selector",
    "fallback_strategy",
    "runtime_env",
    "scheduling_strategy",
    "max_calls",
)

#: Ray's options that are refused, and why.
FORBIDDEN = {
    "lifetime": "activities live as long as their attempt; use detached=True for one that outlives its host",
    "namespace": "the hub decides in which Ray namespace its actors live; choose the hub on the client",
    "get_if_exists": "an activity has no name in Ray that could exist; singletons are instances",
    "num_returns": "an activity returns one value; return a tuple or a dataclass",
    "max_concurrency": "each attempt runs alone; call the activity several times to run it in parallel",
    "max_retries": "Ray's retries are invisible to history; use retry_policy=RetryPolicy(...)",
    "retry_exceptions": "Ray's retries are invisible to history; use RetryPolicy(retry_on=...)",
}

_AMOUNTS = ("num_cpus", "num_gpus", "memory", "max_calls")
_DURATIONS = ("timeout", "idle_timeout", "retain_for")

_Options = TypeVar("_Options", "ActivityOptions", "OrchestratorOptions")


@dataclass(frozen=True, slots=True)
class ActivityOptions:
    """How an activity is run. Fields up to `max_running` are ours, the rest are Ray's task options, passed on
    as they are.

    `timeout` is in microseconds and holds for one attempt. `max_running` is how many attempts run at a time in the
    hub; the others wait. `scheduling_strategy` may be an object of Ray's.

    Raises:
        ValueError: a number is out of range, or two options contradict each other.
    """

    name: str
    retry_policy: RetryPolicy | None = None
    timeout: int | None = None
    local: bool = False
    detached: bool = False
    max_running: int | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: float | None = None
    resources: Mapping[str, float] | None = None
    accelerator_type: str | None = None
    label_selector: Mapping[str, str] | None = None
    fallback_strategy: list[dict[str, Any]] | None = None
    runtime_env: Mapping[str, Any] | None = None
    scheduling_strategy: Any = None
    max_calls: int | None = None

    def __post_init__(self) -> None:
        validate_definition_name(self.name)
        _check_amounts(self)
        if self.timeout == 0:
            raise ValueError("timeout must be positive; leave it out for no timeout")
        _check_limit(self.max_running)
        placed = [name for name in RAY_PLACING if getattr(self, name) is not None]
        if self.local and placed:
            raise ValueError(
                f"local=True runs in the host itself, which cannot give {', '.join(placed)}; drop one of them"
            )
        if self.local and self.detached:
            raise ValueError("local=True and detached=True exclude each other: inside the host, or outliving it")
        if self.detached and self.max_calls is not None:
            raise ValueError(
                "max_calls recycles the workers of tasks; a detached activity has a process of its own anyway"
            )

    @property
    def placement(self) -> ActivityPlacement:
        """Where it runs: in a shared worker, as a Ray task, in the host, or in an actor of its own."""
        if self.local:
            return "local"
        if self.detached:
            return "detached"
        return "task" if self.ray_options() else "worker"

    def ray_options(self) -> dict[str, Any]:
        """Ray's own options, those that were declared."""
        return {name: getattr(self, name) for name in RAY_PLACING if getattr(self, name) is not None}

    def to_json_dict(self) -> dict[str, Any]:
        """The declared options as JSON values; without a scheduling strategy that is an object of Ray's."""
        found = _declared(self)
        if not isinstance(found.get("scheduling_strategy", ""), str):
            del found["scheduling_strategy"]
        if self.retry_policy is not None:
            found["retry_policy"] = _policy_to_json(self.retry_policy)
        return found

    @classmethod
    def from_json_dict(cls, data: Mapping[str, Any]) -> ActivityOptions:
        """Read what `to_json_dict` wrote; options of a later release are ignored."""
        known = _known(cls, data)
        if known.get("retry_policy") is not None:
            known["retry_policy"] = _policy_from_json(known["retry_policy"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class OrchestratorOptions:
    """How an orchestrator's instances are run.

    Args:
        name: what clients start it by.
        version: a label that `start_new(version=...)` can choose; the code itself is pinned by its hash.
        placement: an actor of its own, or a shared one; None lets the way it was started decide.
        idle_timeout: a dedicated instance that only waits is passivated after this long (µs); None keeps it
        there. retain_for: a finished instance is purged after this long (µs); None keeps it for ever.
        num_cpus, memory, resources: what a dedicated instance's actor reserves (`memory` in bytes).
        runtime_env: Ray's runtime environment of a dedicated instance's actor.
        max_recoveries: how often an instance may take its host down before it is set aside.
        pin_activities: also keep to the code with which an execution first called an activity: for later calls, retries and
            rewinds (but not `rewind(version="latest")`). Otherwise each attempt takes the newest.
        priority: of those waiting for a dedicated actor, the higher goes first.
        max_running: how many instances run at a time in the hub; the others wait. None: no limit.
        schedule: that it declares, as `orchestrations/schedules/declared.py` makes and reads it.

    Raises:
        ValueError: a number is out of range, or resources are asked for a shared placement.
    """

    name: str
    version: str = ""
    placement: OrchestratorPlacement | None = None
    idle_timeout: int | Unset | None = UNSET
    retain_for: int | Unset | None = UNSET
    num_cpus: float | None = None
    memory: float | None = None
    resources: Mapping[str, float] | None = None
    runtime_env: Mapping[str, Any] | None = None
    max_recoveries: int | None = None
    pin_activities: bool = False
    priority: int = 0
    max_running: int | None = None
    schedule: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        validate_definition_name(self.name)
        _check_amounts(self)
        validate_version(self.version)
        if self.placement not in (None, "dedicated", "shared"):
            raise ValueError(f"placement is 'dedicated', 'shared' or None, not {self.placement!r}")
        asked = [n for n in ("num_cpus", "memory", "resources", "runtime_env") if getattr(self, n) is not None]
        if self.placement == "shared" and asked:
            raise ValueError(
                f"a shared instance has no actor of its own to give {', '.join(asked)} to; use 'dedicated'"
            )
        if self.max_recoveries is not None and self.max_recoveries < 0:
            raise ValueError("max_recoveries must not be negative")
        if type(self.priority) is not int or abs(self.priority) >= 1 << 31:
            raise ValueError(f"priority is a whole number of 32 bits, not {self.priority!r}")
        _check_limit(self.max_running)

    def __setstate__(self, state: list[Any]) -> None:
        """Code that is stored by value holds a pickle of these: an older release's lacks the fields that came last."""
        for index, field in enumerate(fields(self)):
            object.__setattr__(self, field.name, state[index] if index < len(state) else field.default)

    def to_json_dict(self) -> dict[str, Any]:
        """The declared options as JSON values. An absent duration is unset; a null one is None."""
        return _declared(self)

    @classmethod
    def from_json_dict(cls, data: Mapping[str, Any]) -> OrchestratorOptions:
        """Read what `to_json_dict` wrote; options of a later release are ignored."""
        return cls(**_known(cls, data))


def options_from(kind: type[_Options], declared: Mapping[str, Any]) -> _Options:
    """Build options from a decorator's arguments: durations as timedelta or seconds, unknown names refused.

    Raises:
        TypeError: an option does not exist or is refused; the message says what to use instead.
        ValueError: an option has a value it cannot have.
    """
    known = {field.name for field in fields(kind)}
    for name in declared.keys() - known:
        if name in FORBIDDEN:
            raise TypeError(f"{name}= is not for durable functions: {FORBIDDEN[name]}")
        near = difflib.get_close_matches(name, known, n=1)
        raise TypeError(f"there is no option {name}=" + (f"; did you mean {near[0]}=?" if near else ""))
    values = dict(declared)
    for name in _DURATIONS:
        if values.get(name) is not None and values[name] is not UNSET:
            values[name] = duration(values[name], name, least=0)
    return kind(**values)


def _check_limit(limit: object) -> None:
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ValueError(f"max_running is a whole number, at least 1, not {limit!r}; leave it out for no limit")


def _check_amounts(options: ActivityOptions | OrchestratorOptions) -> None:
    for name in _AMOUNTS:
        value = getattr(options, name, None)
        if value is not None and (not isinstance(value, int | float) or value < 0):
            raise ValueError(f"{name} is a number and not negative; {value!r} is not")


def _declared(options: ActivityOptions | OrchestratorOptions) -> dict[str, Any]:
    found = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            found[field.name] = dict(value) if isinstance(value, Mapping) else value
    return found


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in data.items() if name in names}


def _policy_to_json(policy: RetryPolicy) -> dict[str, Any]:
    found = {field.name: getattr(policy, field.name) for field in fields(policy)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _policy_from_json(data: Mapping[str, Any]) -> RetryPolicy:
    values = _known(RetryPolicy, data)
    for name in ("first_retry_interval", "max_retry_interval", "retry_timeout"):
        if values.get(name) is not None:
            values[name] = timedelta(microseconds=values[name])
    return RetryPolicy(**values)

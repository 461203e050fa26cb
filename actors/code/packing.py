"""Definitions and values on their way into the store and to other processes: packed here, unpacked where
they run.

A cluster outlives its drivers, so the code must be in the store before the driver is gone. Code that every
process can import goes as `module:qualname`; the rest goes by value. What an orchestrator refers to stays
what it is, except for other definitions: those are looked up by name when they are scheduled, so that a
fixed activity reaches instances that are already running. An activity carries along the definitions that it
calls, for it calls them as functions.

Packed definitions move through registry and gateway as bytes. Only hosts and activity workers unpack them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from durable_ray.actors.code.carried_source import PYTHON
from durable_ray.actors.code.code_identity import code_id
from durable_ray.actors.code.pickling import dumps, import_path, importable_path, loads
from durable_ray.orchestrations.authoring.catalog import AnyDefinition
from durable_ray.orchestrations.authoring.definitions import Activity, Kind, Orchestrator
from durable_ray.orchestrations.values.payloads import Payload, decode, encode

#: The form of what follows the first line: code that goes with its source, so that another Python may try.
_WITH_SOURCE = "source"


class DefinitionCannotTravel(Exception):
    """A definition refers to something that exists only in this process."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"definition {self.name!r} cannot be stored: {self.reason}"


class DefinitionCannotLoad(Exception):
    """A stored definition does not load here; its instances wait until it does, and do not fail."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"definition {self.name!r} cannot be loaded: {self.reason}"


class PackedDefinition(Struct, frozen=True):
    """A definition as bytes and text; a process may pass it on without being able to load it.

    `body` is `module:qualname` if `how` is "reference"; else the Python version that packed it and the word "source" (its
    code goes with its source, for other versions), a line feed and a pickle. `options_json` is what
    `ActivityOptions.from_json_dict` or `OrchestratorOptions.from_json_dict` reads.
    """

    kind: Kind
    name: str
    version: str
    code_id: str
    how: Literal["reference", "value"]
    body: bytes
    options_json: str
    runtime_env: str | None = None


def pack(definition: AnyDefinition, *, job_runtime_env: Mapping[str, Any] | None = None) -> PackedDefinition:
    """Make a definition independent of this process.

    Args:
        definition: an activity or orchestrator with its code.
        job_runtime_env: the runtime environment of the job it is defined in. The definition's own goes
        before it,
            field by field, and variable by variable in `env_vars`, as Ray merges a task's with its job's.

    Raises:
        DefinitionCannotTravel: it is a reference, or refers to something that cannot be pickled.

    Example:
        >>> from durable_ray.orchestrations.authoring.options import ActivityOptions
        >>> say_hello = Activity(lambda city: f"Hello {city}!", ActivityOptions("say_hello"))
        >>> unpack(pack(say_hello))("Tokyo")
        'Hello Tokyo!'
    """
    if definition.is_reference:
        raise DefinitionCannotTravel(definition.name, "only its name is here; register it where its function is")
    runtime_env = _merged(job_runtime_env or {}, definition.options.runtime_env or {})
    try:
        options_json = _json(definition.options.to_json_dict())
        environment = _json(runtime_env) if runtime_env else None
    except (TypeError, ValueError) as error:
        raise DefinitionCannotTravel(definition.name, f"its options are not JSON values ({error})") from error
    path = importable_path(definition)
    return PackedDefinition(
        kind=definition.kind,
        name=definition.name,
        version=definition.version,
        code_id=code_id(definition),
        how="value" if path is None else "reference",
        body=_by_value(definition) if path is None else path.encode(),
        options_json=options_json,
        runtime_env=environment,
    )


class Packed(Protocol):
    """What `unpack` reads of a definition, be it a `PackedDefinition` or a row of the store."""

    @property
    def kind(self) -> Kind: ...
    @property
    def name(self) -> str: ...
    @property
    def how(self) -> Literal["reference", "value"]: ...
    @property
    def body(self) -> bytes: ...


def unpack(packed: Packed) -> AnyDefinition:
    """Make a definition that runs here.

    A reference gives what is installed here, which may be another release than where it was packed; compare
    `code_id(definition)` with the packed one to know. By value it is the very code that was packed.

    Raises:
        DefinitionCannotLoad: a module is missing, the Python version is another, or something else is at
        its place.
    """
    try:
        loaded = import_path(packed.body.decode()) if packed.how == "reference" else _from_value(packed.body)
    except BaseException as error:  # a module may leave by SystemExit when it is imported
        raise DefinitionCannotLoad(packed.name, _advice(error)) from error
    expected = Activity if packed.kind == "activity" else Orchestrator
    if not isinstance(loaded, expected) or loaded.name != packed.name:
        place = packed.body.decode() if packed.how == "reference" else "its body"
        raise DefinitionCannotLoad(packed.name, f"{place} is {loaded!r}, not {packed.kind} {packed.name!r}")
    return loaded


def pickle_value(value: object) -> bytes:
    """Pickle a payload that JSON cannot say, with the local classes it is made of: the `pickler` of `encode`.

    Raises:
        PayloadNotSerializable: an `ObjectRef` is in it.
        Exception: whatever the value raises when it is pickled; `encode` wraps it.
    """
    return dumps(value)


def unpickle_value(data: bytes) -> object:
    """Read what `pickle_value` wrote: the `unpickler` of `decode`. Only for payloads of one's own hub."""
    value: object = loads(data)
    return value


class PythonPayloads:
    """The codec between Pythons: JSON where it can say the value, else a pickle. Not for the gateway."""

    __slots__ = ()

    def encode(self, value: object) -> Payload:
        """Write a value as a payload; the errors are those of `payloads.encode`."""
        return encode(value, pickler=pickle_value)

    def decode(self, payload: Payload | None, hint: object = None) -> Any:
        """Read a payload as `hint` says; no payload is None. The errors are those of `payloads.decode`."""
        return None if payload is None else decode(payload, hint, unpickler=unpickle_value)


PYTHON_PAYLOADS = PythonPayloads()


def _by_value(definition: AnyDefinition) -> bytes:
    try:
        body = dumps(definition, root=definition, cut=isinstance(definition, Orchestrator))
    except Exception as error:
        raise DefinitionCannotTravel(
            definition.name,
            f"it uses something that cannot be pickled ({error}); make that inside the function that needs it, "
            "or install the module it is in on the cluster",
        ) from error
    return f"{PYTHON} {_WITH_SOURCE}\n".encode() + body


def _from_value(body: bytes) -> Any:
    first, _, pickled = body.partition(b"\n")
    python, _, form = first.decode().partition(" ")
    if python == PYTHON:
        return loads(pickled)
    if form != _WITH_SOURCE:
        raise ImportError(f"it was packed by Python {python} and its bytecode means nothing to {PYTHON}{_GO_ON}")
    try:
        return loads(pickled)
    except Exception as error:
        raise ImportError(f"{error}{_GO_ON}") from error


#: What to do about code of another Python.
_GO_ON = (
    "; run its hosts on that Python, or deploy it from this one and move its instances: durable-ray terminate ID, then "
    "durable-ray rewind ID --latest"
)


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error}; install it on every node, or name it in the runtime_env of the definition"
    return f"{type(error).__name__}: {error}"


def _merged(job: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**job, **own}
    variables = {**(job.get("env_vars") or {}), **(own.get("env_vars") or {})}
    return {**merged, "env_vars": variables} if variables else merged


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

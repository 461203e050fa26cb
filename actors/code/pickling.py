"""A pickler for code that must load where its file is not: cloudpickle, with the gaps closed that users
would fall into.

What it adds:
- Local modules travel by value, transitively. cloudpickle's switch for that is global, so it is thrown only
  while one pickle is written.
- Of a local module that code holds as a whole (`import helpers`) only what some code in the pickle names goes
  along, as of a function's globals. The lock, client or model that also stands in it stays at home.
- Type hints written as text (`from __future__ import annotations`) are resolved first, as their names mean
  nothing in the process that loads the class. So a dataclass of a notebook can still be built from JSON
  there.
- The sentinels of `dataclasses` keep their identity, and TypedDicts, which cannot be remade like other
  classes, load.
- Definitions of installed packages go by name; others are cut down to references where the caller asks for
  that.
- A code object goes with its source, for other versions of Python (`carried_source`).
- An `ObjectRef` is refused wherever it hides.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import io
import sys
import threading
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
import typing_extensions

from durable_ray.actors.code.carried_source import reduced_code
from durable_ray.actors.code.code_identity import all_names
from durable_ray.actors.code.generated import generated_by_dataclasses, reduced_generated, set_dataclass_state
from durable_ray.actors.code.local_modules import is_installed, local_modules
from durable_ray.orchestrations.authoring.definitions import Definition
from durable_ray.orchestrations.authoring.signatures import bare_hint, resolved_annotations
from durable_ray.orchestrations.values.payloads import is_object_ref, object_ref_refusal

#: Instances of these, found in every dataclass, mean something only as the very object that `dataclasses`
#: holds.
_SENTINELS = {
    id(getattr(dataclasses, name)): name
    for name in ("MISSING", "KW_ONLY", "_HAS_DEFAULT_FACTORY")
    if hasattr(dataclasses, name)
}

_by_value = threading.RLock()


def dumps(value: object, *, root: Definition[..., Any] | None = None, cut: bool = False) -> bytes:
    """Pickle a value with all local code it needs.

    Args:
        value: anything.
        root: the definition that is being packed, which is written in full in any case.
        cut: write every other definition as a reference.

    Raises:
        PayloadNotSerializable: an `ObjectRef` is in it.
        Exception: whatever the objects in it raise when they are pickled.
    """
    named: frozenset[str] = frozenset()
    with _local_modules_by_value():
        while True:
            file = io.BytesIO()
            pickler = _Pickler(file, root, cut, named)
            pickler.dump(value)
            # Which names the code uses is known once all code was met, and what they bring along is code again.
            if pickler.names.isdisjoint(pickler.left_out):
                return file.getvalue()
            named |= pickler.names


def loads(data: bytes) -> Any:
    """Read what `dumps` wrote. Runs the code in it: never for bytes of unknown origin."""
    return cloudpickle.loads(data)


def importable_path(definition: Definition[..., Any]) -> str | None:
    """`module:qualname` if every process can import exactly this definition under it, else None."""
    module, qualname = definition.__module__, getattr(definition, "__qualname__", "")
    if definition.is_reference or not is_installed(module):
        return None
    try:
        found = _attribute(sys.modules[module], qualname)
    except (KeyError, AttributeError):
        return None
    return f"{module}:{qualname}" if found is definition else None


def import_path(path: str) -> Any:
    """The object at `module:qualname`.

    Raises:
        ImportError, AttributeError: it is not there.
    """
    module, _, qualname = path.partition(":")
    return _attribute(importlib.import_module(module), qualname)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """One attempt: `names` are those that the code it met uses, `left_out` those it kept back from modules."""

    def __init__(self, file: io.BytesIO, root: Definition[..., Any] | None, cut: bool, named: frozenset[str]) -> None:
        super().__init__(file)
        self._root = root
        self._cut = cut
        self._named = named
        #: Code without a source, which `dataclasses` makes again where it is needed.
        self._generated: set[int] = set()
        self.names: set[str] = set()
        self.left_out: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, CodeType):
            return reduced_generated(obj) if id(obj) in self._generated else reduced_code(obj)
        if id(obj) in _SENTINELS:
            return import_path, (f"dataclasses:{_SENTINELS[id(obj)]}",)
        if isinstance(obj, Definition) and obj is not self._root:
            return self._reduced_definition(obj)
        if is_object_ref(type(obj)):
            raise object_ref_refusal()
        if typing_extensions.is_typeddict(obj) and not is_installed(obj.__module__):
            return _reduced_typeddict(obj)
        if isinstance(obj, ModuleType) and not is_installed(obj.__name__):
            return self._reduced_module(obj)
        reduced = super().reducer_override(obj)
        if isinstance(obj, FunctionType) and isinstance(reduced, tuple):
            self.names |= all_names(obj.__code__)
        return self._reduced_class(obj, reduced) if isinstance(obj, type) else reduced

    def _reduced_class(self, kind: type, reduced: Any) -> Any:
        reduced = _with_resolved_hints(kind, reduced)
        if not isinstance(reduced, tuple) or len(reduced) != 6 or "__dataclass_fields__" not in vars(kind):
            return reduced
        self._generated |= {id(code) for code in generated_by_dataclasses(reduced[2][0])}
        return (*reduced[:5], set_dataclass_state)

    def _reduced_module(self, module: ModuleType) -> Any:
        kept = {name: value for name, value in vars(module).items() if name in self._named}
        self.left_out |= vars(module).keys() - kept.keys()
        # In two steps, as the functions in it may lead back to it.
        return ModuleType, (module.__name__,), kept

    def _reduced_definition(self, definition: Definition[..., Any]) -> Any:
        if self._cut:
            # In two steps, as the types in it may lead back to this definition.
            return _blank, (type(definition),), definition.reference().__getstate__()
        path = importable_path(definition)
        return NotImplemented if path is None else (import_path, (path,))


def _blank(kind: type[Definition[..., Any]]) -> Definition[..., Any]:
    return object.__new__(kind)


def _attribute(owner: Any, qualname: str) -> Any:
    for part in qualname.split("."):
        owner = getattr(owner, part)
    return owner


def _with_resolved_hints(kind: type, reduced: Any) -> Any:
    """The reduction of a class, `(make, args, (its dict, its slots), ...)`, with hints free of names."""
    if not isinstance(reduced, tuple) or len(reduced) < 3 or not isinstance(reduced[2], tuple):
        return reduced
    hints = resolved_annotations(kind)
    body = dict(reduced[2][0])
    if hints:
        body["__annotations__"] = hints
    if "__dataclass_fields__" in body:
        inherited = {name: hint for base in reversed(kind.__mro__) for name, hint in _own_hints(base).items()}
        body["__dataclass_fields__"] = {
            name: _with_type(field, inherited.get(name, field.type))
            for name, field in body["__dataclass_fields__"].items()
        }
    return (*reduced[:2], (body, *reduced[2][1:]), *reduced[3:])


def _own_hints(kind: type) -> Mapping[str, Any]:
    return {} if is_installed(kind.__module__) else resolved_annotations(kind)


def _with_type(field: dataclasses.Field[Any], hint: Any) -> dataclasses.Field[Any]:
    changed = copy.copy(field)
    changed.type = hint
    return changed


def _reduced_typeddict(kind: Any) -> Any:
    hints = {name: bare_hint(hint) for name, hint in resolved_annotations(kind).items()}
    required = {name: name in kind.__required_keys__ for name in hints}
    return _make_typeddict, (kind.__name__, kind.__module__, hints, required)


def _make_typeddict(name: str, module: str, hints: Mapping[str, Any], required: Mapping[str, bool]) -> Any:
    marked = {key: typing.Required[hint] if required[key] else typing.NotRequired[hint] for key, hint in hints.items()}
    # Through a variable: type checkers want to read a TypedDict's fields in the call.
    make: Any = typing_extensions.TypedDict
    made = make(name, marked)
    made.__module__ = module
    return made


@contextmanager
def _local_modules_by_value() -> Iterator[None]:
    # Held while pickling, or another thread would take the registrations back under our hands.
    with _by_value:
        already = cloudpickle.list_registry_pickle_by_value()
        added = [module for module in local_modules() if module.__name__ not in already]
        registered = []
        try:
            for module in added:
                if sys.modules.get(module.__name__) is module:
                    cloudpickle.register_pickle_by_value(module)
                    registered.append(module)
            yield
        finally:
            for module in registered:
                cloudpickle.unregister_pickle_by_value(module)

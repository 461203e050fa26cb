"""The identity of code: equal as long as a function does the same, whatever file or notebook cell it stands
in.

A pickle would not do: its bytes change with a blank line, with the file's name, with the cell's number. So
the hash is taken over what the interpreter executes. What counts:

- of a function: bytecode with its constants and names, defaults, closure; not its name, file or line numbers;
- of the global names it uses: constants by value, local functions and classes by the same rule,
  recursively; installed ones by name only, since their code does not travel either;
- of a local class: bases, annotations, methods, class attributes, and what dataclasses, enums and pydantic
  keep;
- of a definition that is hashed: its function, its types and its options;
- of a definition that an orchestrator refers to: what travels of it (name, version, retry policy, types),
  since its code is looked up by name; of one that an activity refers to: all, since the activity carries it
  along.

What does not count: the state of objects that are none of the above (a lock, a connection, an array): only
their type. A plain container counts by value, so one that changes while the program runs makes a new
identity: that costs a stored definition, where ignoring it would let an edited constant run as the old one.
"""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any
from uuid import UUID

from typing_extensions import is_typeddict

from durable_ray.actors.code.local_modules import is_installed
from durable_ray.orchestrations.authoring.definitions import Activity, Definition
from durable_ray.orchestrations.authoring.signatures import bare_hint, resolved_annotations

_HEX_DIGITS = 32

#: Constants whose repr is their value.
_REPRESENTED = (
    int, float, complex, str, bytes, bytearray, type(None), type(...), type(NotImplemented), range, slice,
    date, time, timedelta, timezone, Decimal, Fraction, UUID, PurePath,
)  # fmt: skip

#: What a class body or its metaclass leaves behind beside what the author wrote.
_BOOKKEEPING = frozenset(
    "__dict__ __weakref__ __doc__ __module__ __qualname__ __annotations__ __annotate__ __annotate_func__ "
    "__annotations_cache__ __firstlineno__ __static_attributes__ __slots__ __abstractmethods__ _abc_impl "
    "__signature__ __orig_bases__ __parameters__ __type_params__ __dataclass_fields__ __dataclass_params__ "
    "__class_vars__ __private_attributes__ __hash__ __slotnames__".split()
)

#: Of a field (of a dataclass, of a pydantic model): what changes which values it takes or gives.
_FIELD_FACTS = (
    "annotation", "default", "default_factory", "init", "kw_only", "alias", "validation_alias",
    "serialization_alias", "discriminator", "exclude", "frozen", "metadata",
)  # fmt: skip


def code_id(target: Callable[..., object] | Definition[..., Any]) -> str:
    """The identity of a function or definition: 32 hex digits.

    Equal in every process, under every hash seed, after moving the code, and after packing and unpacking
    it; different for another minor version of Python, whose bytecode is another.

    Example:
        >>> code_id(lambda x: x + 1) == code_id(lambda x: x + 1)
        True
    """
    digest = _Digest(whole=isinstance(target, Activity))
    digest.text(f"{sys.version_info.major}.{sys.version_info.minor}")
    if isinstance(target, Definition):
        digest.definition(target)
    else:
        digest.value(target)
    return digest.hexdigest()


def same_program(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects of this Python do the same, wherever they stand."""
    return _code_digest(one) == _code_digest(other)


def _code_digest(code: CodeType) -> str:
    digest = _Digest(whole=False)
    digest.value(code)
    return digest.hexdigest()


def referred_to(target: Definition[..., Any]) -> tuple[Definition[..., Any], ...]:
    """The definitions that a definition's code refers to: what it may call without saying a name."""
    digest = _Digest(whole=False)
    digest.definition(target)
    return tuple(digest.referred)


class _Digest:
    """A hash over a graph of objects.

    Functions, classes, modules and definitions are entered once and by number after that. Values are
    entered in full each time, for whether two equal tuples are one object is the compiler's whim; only a
    way back is cut short.
    """

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole
        self._hash = hashlib.sha256()
        self._numbers: dict[int, int] = {}
        # Keeps every numbered object alive, as the numbers hang on id().
        self._alive: list[object] = []
        self._path: set[int] = set()
        self.referred: list[Definition[..., Any]] = []
        self._opened: set[tuple[int, CodeType]] = set()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()[:_HEX_DIGITS]

    def text(self, text: str) -> None:
        raw = text.encode("utf-8", "surrogatepass")
        self._hash.update(b"%d:" % len(raw))
        self._hash.update(raw)

    def definition(self, root: Definition[..., Any]) -> None:
        if self._seen(root):
            return
        self.text(root.kind)
        self.value(root.fn)
        self.value(root.hints.input)
        self.value(root.hints.output)
        self._parameters(root)
        self.value(root.options.to_json_dict())
        self.value(getattr(root.options, "scheduling_strategy", None))

    def value(self, value: object) -> None:
        """Enter any object by the first rule that knows it."""
        if isinstance(value, enum.Enum):
            self._type(type(value))
            self.text(value.name)
        elif isinstance(value, _REPRESENTED):
            self.text(f"{type(value).__name__} {value!r}")
        elif isinstance(value, type) and not isinstance(value, types.GenericAlias):
            self._type(value)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, Definition):
            (self.definition if self._whole else self._reference)(value)
        elif isinstance(value, ModuleType):
            self.text(f"module {value.__name__}" if is_installed(value.__name__) else "local module")
        elif id(value) in self._path:
            self.text("a way back")
        else:
            self._path.add(id(value))
            self._compound(value)
            self._path.discard(id(value))

    def _seen(self, value: object) -> bool:
        number = self._numbers.get(id(value))
        if number is not None:
            self.text(f"again {number}")
            return True
        self._numbers[id(value)] = len(self._numbers)
        self._alive.append(value)
        return False

    def _compound(self, value: object) -> None:
        if isinstance(value, tuple | list):
            self._each(type(value).__name__, value)
        elif isinstance(value, set | frozenset):
            self._unordered(type(value).__name__, value)
        elif isinstance(value, Mapping):
            self._each(type(value).__name__, [part for item in value.items() for part in item])
        elif isinstance(value, CodeType):
            self._code(value)
        else:
            self._instance(value)

    def _each(self, label: str, values: Any) -> None:
        self.text(f"{label} {len(values)}")
        for value in values:
            self.value(value)

    def _unordered(self, label: str, values: Any) -> None:
        # The order of a set is the hash seed's; that of its members' own identities is arbitrary.
        def alone(value: object) -> str:
            digest = _Digest(whole=self._whole)
            digest.value(value)
            return digest.hexdigest()

        self._each(label, sorted(map(alone, values)))

    def _reference(self, definition: Definition[..., Any]) -> None:
        if self._seen(definition):
            return
        self.referred.append(definition)
        self._each(
            definition.kind,
            (
                definition.name,
                definition.version,
                getattr(definition.options, "retry_policy", None),
                definition.hints.input,
                definition.hints.output,
            ),
        )
        self._parameters(definition)

    def _parameters(self, definition: Definition[..., Any]) -> None:
        # One that takes an input and nothing more has the identity that it had before there were others.
        if definition.parameters:
            self.value(definition.parameters)
            self.value(definition.parameter_hints)

    def _function(self, fn: FunctionType) -> None:
        if is_installed(fn.__module__):
            self.text(f"function {fn.__module__}.{fn.__qualname__}")
            return
        if self._seen(fn):
            return
        self.text("function")
        self.value(fn.__code__)
        self.value(fn.__defaults__)
        self.value(fn.__kwdefaults__)
        for cell in fn.__closure__ or ():
            try:
                self.value(cell.cell_contents)
            except ValueError:  # a name of the enclosing function that is not assigned yet
                self.text("empty cell")
        for name in sorted(global_names(fn.__code__)):
            if name in fn.__globals__:
                self.text(name)
                self._global(fn.__globals__[name], fn.__code__)

    def _global(self, value: object, code: CodeType) -> None:
        self.value(value)
        if not isinstance(value, ModuleType) or is_installed(value.__name__):
            return
        if (id(value), code) not in self._opened:
            self._opened.add((id(value), code))
            # Of a local module, what this code can name: the rest of it may change at will.
            for name in sorted(all_names(code) & vars(value).keys()):
                self.text(name)
                self._global(vars(value)[name], code)

    def _code(self, code: CodeType) -> None:
        self._each(
            "code",
            (
                code.co_argcount,
                code.co_posonlyargcount,
                code.co_kwonlyargcount,
                # A function does the same inside another one.
                code.co_flags & ~inspect.CO_NESTED,
                code.co_names,
                code.co_varnames,
                code.co_freevars,
                code.co_cellvars,
                code.co_exceptiontable,
                *instructions(code),
            ),
        )

    def _type(self, kind: type) -> None:
        if is_installed(kind.__module__) and not _is_parametrized(kind):
            self.text(f"type {kind.__module__}.{kind.__qualname__}")
            return
        if self._seen(kind):
            return
        if is_typeddict(kind):
            # Which keys are required stands in several places, and in others once it was made anew.
            required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
            hints = sorted(resolved_annotations(kind).items())
            self._each("TypedDict", [(name, bare_hint(hint), name in required) for name, hint in hints])
            return
        # By its bare name: the qualified one says in which function it was defined, which is nobody's
        # business.
        self.text(f"class {kind.__name__}")
        for base in kind.__bases__:
            self.value(base)
        for name, hint in sorted(resolved_annotations(kind).items()):
            self.text(name)
            self.value(hint)
        if issubclass(kind, enum.Enum):
            self._each("members", [(name, member.value) for name, member in kind.__members__.items()])
        for name, value in sorted(_written_attributes(kind)):
            self.text(name)
            self.value(value)
        self._fields(kind)

    def _fields(self, kind: type) -> None:
        fields = vars(kind).get("__dataclass_fields__") or vars(kind).get("__pydantic_fields__") or {}
        for name, field in fields.items():
            self._each(f"field {name}", [getattr(field, fact, None) for fact in _FIELD_FACTS])
        params = vars(kind).get("__dataclass_params__")
        self.text(repr(params) if params is not None else "")
        decorators = vars(kind).get("__pydantic_decorators__")
        for group in dataclasses.fields(decorators) if decorators is not None else ():
            used = getattr(decorators, group.name)
            if isinstance(used, dict):
                self._each(group.name, [(name, getattr(made, "info", None)) for name, made in used.items()])

    def _instance(self, value: object) -> None:
        self.value(type(value))
        if isinstance(value, staticmethod | classmethod):
            self.value(value.__func__)
        elif isinstance(value, property):
            self._each("property", (value.fget, value.fset, value.fdel))
        elif isinstance(value, functools.partial):
            self._each("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            self._each("method", (value.__self__, value.__func__))
        elif isinstance(value, types.BuiltinFunctionType):
            self.text(f"{value.__module__}.{value.__qualname__}")
        elif isinstance(value, re.Pattern):
            self._each("pattern", (value.pattern, value.flags))
        elif typing.get_origin(value) is not None:
            self._each("generic", (typing.get_origin(value), *typing.get_args(value)))
        elif type(value).__module__ in ("typing", "typing_extensions"):
            self.text(repr(value))
        elif dataclasses.is_dataclass(value):
            self._each("fields", [(f.name, getattr(value, f.name, None)) for f in dataclasses.fields(value)])
        elif _is_pydantic(value, "FieldInfo"):
            self._each("field", [getattr(value, fact, None) for fact in _FIELD_FACTS])
        elif _is_pydantic(value, "BaseModel"):
            self.value(vars(value))
        else:  # functools.cache and its kind; functools.cached_property
            self.value(getattr(value, "__wrapped__", None) or getattr(value, "func", None))


def _is_pydantic(value: object, name: str) -> bool:
    """Whether it is of this class of pydantic's, recognised by name: whoever has one has imported pydantic, others need not."""
    return any(base.__name__ == name and base.__module__.startswith("pydantic.") for base in type(value).__mro__)


def _is_parametrized(kind: type) -> bool:
    """Whether the class was made from a generic pydantic model, and so may hold local classes."""
    return bool(getattr(kind, "__pydantic_generic_metadata__", {}).get("args"))


def _written_attributes(kind: type) -> Iterator[tuple[str, object]]:
    is_enum = issubclass(kind, enum.Enum)
    # A field's default stands in the class too, but not in one with slots, until pydantic puts it there.
    fields = vars(kind).get("__dataclass_fields__", {})
    for name, value in vars(kind).items():
        machinery = name in _BOOKKEEPING or name in fields or name.startswith("__pydantic_")
        descriptor = isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType)
        if not machinery and not descriptor and not (is_enum and not _is_own_method(value)):
            yield name, value


def _is_own_method(value: object) -> bool:
    """Of what stands in an enum's class, whether the author wrote it; its members are entered apart."""
    if isinstance(value, FunctionType):
        return not is_installed(value.__module__)
    return isinstance(value, property | staticmethod | classmethod)


# --- reading bytecode: code that came out of the store has no source at hand ------------------------

_GLOBAL_OPS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"})


def instructions(code: CodeType) -> Iterator[object]:
    """Bytecode and constants, without the position in the file that a class body inside a function contains.

    From Python 3.13 on, such a body assigns its line number and the attributes its methods set; neither is
    behaviour.
    """
    if not {"__firstlineno__", "__static_attributes__"} & set(code.co_names):
        yield code.co_code
        yield code.co_consts
        return
    stream = list(dis.get_instructions(code))
    for this, following in zip(stream, [*stream[1:], None], strict=True):
        if following is None or following.argval not in ("__firstlineno__", "__static_attributes__"):
            yield this.opname
            yield this.argval if this.opcode in dis.hasconst else this.arg


def global_names(code: CodeType) -> set[str]:
    """The names that the code, or code inside it, looks up in its module (not attribute names)."""
    names = {op.argval for op in dis.get_instructions(code) if op.opname in _GLOBAL_OPS}
    return names.union(*(global_names(inner) for inner in _inner(code)))


def all_names(code: CodeType) -> set[str]:
    """The names of globals and attributes that occur in the code and in code inside it."""
    return set(code.co_names).union(*(all_names(inner) for inner in _inner(code)))


def _inner(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]

"""The modules of `texts` as they are to be, made so that a change of SQL reads well where changes are reviewed."""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from textwrap import wrap
from types import ModuleType
from typing import get_args

from sqlalchemy.sql.elements import ClauseElement

from durable_ray.actors.store import statements
from durable_ray.actors.store.sql import Dialect, Statement
from durable_ray.actors.store.statements.compiling import compiled

_HEADER = '''"""{doc}

Written by `python -m durable_ray.actors.store.statements` from `statements/{name}.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement
'''

#: What a new line begins with, unless it stands in parentheses.
_CLAUSE = re.compile(
    r"(?:SELECT|(?<!DELETE )FROM|WHERE|VALUES|SET|GROUP BY|ORDER BY|LIMIT|ON CONFLICT|RETURNING|UNION|FOR)\b"
)
_WIDTH = 100


def printed() -> Mapping[str, str]:
    """File name -> content, of every module here that has statements."""
    modules = [
        import_module(f"{statements.__name__}.{each.name}") for each in pkgutil.iter_modules(statements.__path__)
    ]
    return {f"{_name(module)}.py": _module(module) for module in modules if any(_constants(module))}


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _constants(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The statements of a module."""
    return ((name, value) for name, value in vars(module).items() if name.isupper() and _is_said(value))


def _is_said(value: object) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else (value,)
    return all(isinstance(part, ClauseElement) for part in parts)


def _module(module: ModuleType) -> str:
    doc = (module.__doc__ or "").partition("\n")[0]
    return _HEADER.format(doc=doc, name=_name(module)) + "".join(
        f"\n{name} = {_value(value, '')}\n" for name, value in _constants(module)
    )


def _value(value: object, margin: str) -> str:
    if isinstance(value, tuple):
        inner = "".join(f"{margin}    {_value(each, margin + '    ')},\n" for each in value)
        return f"(\n{inner}{margin})"
    if not isinstance(value, ClauseElement | Mapping):
        raise TypeError(f"neither a statement nor some: {value!r}")
    return _statement(compiled(value), margin)


def _statement(made: Statement, margin: str) -> str:
    words = [_names(made.names, margin + "    ")] if made.names else []
    for dialect in get_args(Dialect):
        if text := getattr(made, dialect):
            words.append(f"{dialect}={_text(text, margin + '    ')}")
    return "Statement(\n" + "".join(f"{margin}    {word},\n" for word in words) + f"{margin})"


def _names(names: tuple[str, ...], margin: str) -> str:
    lines = wrap(", ".join(map(json.dumps, names)), _WIDTH)
    if len(lines) == 1:
        return f"({lines[0]}{',' * (len(names) == 1)})"
    return "(\n" + "".join(f"{margin}    {line}\n" for line in lines) + f"{margin})"


def _text(text: str, margin: str) -> str:
    lines = [part for clause in _clauses(text) for part in wrap(clause, _WIDTH, break_on_hyphens=False)]
    said = [json.dumps(line + " ") for line in lines[:-1]] + [json.dumps(lines[-1])]
    if len(said) == 1:
        return said[0]
    return "(\n" + "".join(f"{margin}    {line}\n" for line in said) + f"{margin})"


def _clauses(text: str) -> Iterator[str]:
    """A text in pieces, each beginning with a clause of the outermost statement."""
    depth = begin = 0
    for at, sign in enumerate(text):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == " " and depth == 0 and _CLAUSE.match(text, at + 1):
            yield text[begin:at]
            begin = at + 1
    yield text[begin:]

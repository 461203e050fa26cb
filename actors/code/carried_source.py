"""Code objects that outlive their interpreter: bytecode for the Python that packed it, and the source for every other one.

Bytecode means nothing to another minor version. So a code object is pickled as itself, and with its source, *if* that, compiled
here, gives the same program: the file may have been edited since it was imported, and code may come from no file at all
(`exec`; for what `dataclasses` generates see `generated`). Another version compiles the source. It is the same program then, by
another compiler; whether it does what an instance's history says, its replay decides, as after every change.

Of the file only the function itself travels, inside of what gives its names their meaning: a function that has the variables
it closes over, and its class, whose name is in that of private attributes. What else stands in a script stays at home.
"""

from __future__ import annotations
import __future__ as future

import ast
import linecache
import marshal
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

from msgspec import Struct

from durable_ray.actors.code.code_identity import all_names, same_program
from durable_ray.actors.code.sources import with_lines

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

#: `from __future__ import …` of the file, as a function's flags have it.
_FUTURE = sum({getattr(future, name).compiler_flag for name in future.all_feature_names} - {0x10, 0})

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class CarriedSource(Struct, frozen=True, array_like=True):
    """A text that holds the source of a function, and how to find it there.

    Attributes:
        file: where it came from, for tracebacks.
        line: how many lines of the file stand before the text.
        text: to be compiled.
        flags: of the compiler.
        name: the function's; the first of that name in the text is it.
        qualname: its name at home.
        freevars: the variables it closes over, in their order.
    """

    file: str
    line: int
    text: str
    flags: int
    name: str
    qualname: str
    freevars: tuple[str, ...]

    def compiled(self) -> CodeType | None:
        """The function's code, by this Python; None if it makes another one of it. Raises SyntaxError, ValueError."""
        module = compile("\n" * self.line + self.text, self.file, "exec", self.flags, dont_inherit=True)
        found = next((code for code in _within(module) if code.co_name == self.name), None)
        if found is None or found.co_freevars != self.freevars:
            return None
        return found.replace(co_qualname=self.qualname)


def reduced_code(code: CodeType) -> tuple[Any, ...]:
    """How a code object is pickled: what makes it again, in this Python or another."""
    source = source_of(code)
    carried = None if source is None else tuple(getattr(source, name) for name in source.__struct_fields__)
    return remade_code, (PYTHON, marshal.dumps(code), code.co_qualname, carried)


def remade_code(python: str, bytecode: bytes, qualname: str, carried: tuple[Any, ...] | None) -> CodeType:
    """The code object again. Raises ImportError if it is of another Python, and cannot be made of its source."""
    if python == PYTHON:
        code: CodeType = marshal.loads(bytecode)
        return code if carried is None else with_lines(code, *carried[:3])
    packed = f"it was packed by Python {python}, whose bytecode means nothing to {PYTHON}"
    if carried is None:
        raise ImportError(
            f"{packed}, and {qualname!r} has no source that could travel (generated code, an edited file)"
        )
    try:
        found = CarriedSource(*carried).compiled()
    except (SyntaxError, ValueError) as error:
        raise ImportError(f"{packed}, and which does not understand the source of {qualname!r}: {error}") from error
    if found is None:
        raise ImportError(f"{packed}, and which makes another function of the source of {qualname!r}")
    return with_lines(found, *carried[:3])


def source_of(code: CodeType) -> CarriedSource | None:
    """The source that makes this very program; None if there is none.

    Example:
        >>> source_of(eval("lambda: 0").__code__) is None
        True
    """
    return _source_in(code, code.co_filename, "".join(linecache.getlines(code.co_filename)))


@lru_cache(maxsize=1000)
def _source_in(code: CodeType, file: str, text: str) -> CarriedSource | None:
    functions, imported = _parsed(text)
    for node, owner in functions:
        if _name(node) != code.co_name or code.co_firstlineno not in (node.lineno, _first_line(node)):
            continue
        line, wrapped = _wrapped(node, owner, text, code.co_freevars, sorted(imported & all_names(code)))
        source = CarriedSource(
            file, line, wrapped, code.co_flags & _FUTURE, code.co_name, code.co_qualname, code.co_freevars
        )
        try:
            found = source.compiled()
        except (SyntaxError, ValueError):
            continue
        if found is not None and same_program(found, code):
            return source
    return None


@lru_cache(maxsize=20)
def _parsed(text: str) -> tuple[tuple[tuple[_Function, str], ...], frozenset[str]]:
    """The functions of a file, each with the name of the class it stands in ("" for none); the names that the file imports."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return (), frozenset()
    return tuple(_functions_in(tree, "")), frozenset(_imported_in(tree))


def _imported_in(node: ast.AST) -> Iterator[str]:
    """The names that are imported for the whole file."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in child.names)
        elif not isinstance(child, _Function | ast.ClassDef):
            yield from _imported_in(child)


def _functions_in(node: ast.AST, owner: str) -> Iterator[tuple[_Function, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Function):
            yield child, owner
        yield from _functions_in(child, child.name if isinstance(child, ast.ClassDef) else owner)


def _wrapped(node: _Function, owner: str, text: str, freevars: tuple[str, ...], imported: list[str]) -> tuple[int, str]:
    """The function's source inside of a function that has its variables, and inside of its class.

    Of what the file imports the names are there: compilers call a module's functions otherwise than methods.
    """
    lines = text.splitlines(keepends=True)
    if isinstance(node, ast.Lambda):
        indent, body = "  ", f"  ({ast.get_source_segment(text, node)})\n"
    else:
        first = lines[node.lineno - 1]
        indent, body = first[: len(first) - len(first.lstrip())], "".join(lines[node.lineno - 1 : node.end_lineno])
    variables = [name for name in freevars if name != "__class__" or not owner]
    head = [f"import {', '.join(imported)}\n"] if imported else []
    if variables or owner:
        outer = " " if owner else indent
        head += [
            "def carried():\n",
            f"{outer}{' = '.join([*variables, 'None'])}\n",
            *([f" class {owner}:\n"] if owner else []),
        ]
    elif indent:
        head += ["if True:\n"]
    return max(node.lineno - 1 - len(head), 0), "".join(head) + body


def _name(node: _Function) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else node.name


def _first_line(node: _Function) -> int:
    """With its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _within(code: CodeType) -> Iterator[CodeType]:
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield const
            yield from _within(const)

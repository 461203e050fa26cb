"""What a code object executes, and which names it looks up.

Read from the bytecode: code that came out of the store has no source at hand.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType

_GLOBAL_OPS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"})


def instructions(code: CodeType) -> Iterator[object]:
    """Bytecode and constants, less what a class body inside a function says of its place in the file.

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

"""The reference shows what callers get.

Operations are written as generators of `Steps[R]`, and the clients' methods give `R`. A docstring's `Example:` is shown
as code, as the plural would be.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class AsCallersSee(griffe.Extension):
    """Takes `Steps[...]` off the results of functions, and lets examples be code."""

    def on_function_instance(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """The function's result, as callers of a client see it."""
        result = func.returns
        if isinstance(result, griffe.ExprSubscript) and str(result.left) == "Steps":
            func.returns = result.slice

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """The object's docstring, its examples as code."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)

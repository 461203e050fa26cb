"""The reference shows what callers get: operations are generators of `Steps[R]`, and the clients' methods give `R`."""

from __future__ import annotations

from typing import Any

import griffe


class WithoutSteps(griffe.Extension):
    """Takes `Steps[...]` off the results of functions."""

    def on_function_instance(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """The function's result, as callers of a client see it."""
        result = func.returns
        if isinstance(result, griffe.ExprSubscript) and str(result.left) == "Steps":
            func.returns = result.slice

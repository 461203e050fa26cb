"""The command line: `durable-ray`. Each command says what it does in the words of the management API.

A command speaks to a `Hub` (`port.py`), which is reached over Ray or over HTTP; what came back is printed by
`output.py`, what went wrong by `exits.py`.
"""

from __future__ import annotations

from durable_ray.cli.app import main

__all__ = ["main"]

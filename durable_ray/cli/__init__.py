"""The command line: `durable-ray`. The commands are named as in the management API.

A command uses a `HubPort` (`port.py`), which is reached over Ray or over HTTP; what came back is printed by
`output.py`, what went wrong by `exits.py`.
"""

from __future__ import annotations

from durable_ray.cli.app import main

__all__ = ["main"]

"""What the oldest Ray that is supported lacks, and what is done there instead.

Asked for by what is there, not by version numbers: a patched Ray may have more than its number says.
"""

from __future__ import annotations

import importlib.util

import ray


def ray_has_tokens() -> bool:
    """Whether Ray can ask its callers for a token (2.52 and newer); of one that cannot every caller may run code."""
    return importlib.util.find_spec("ray._private.authentication") is not None


def session_name() -> str:
    """The name of this Ray cluster's session, which no other cluster has, nor this one after its head was replaced."""
    context = ray.get_runtime_context()
    if hasattr(context, "get_session_name"):
        return str(context.get_session_name())
    # Ray 2.50 and older keep it where only Ray itself looks.
    return str(ray._private.worker.global_worker.node.session_name)


def temp_dir() -> str:
    """The folder in which this node's Ray keeps its files."""
    context = ray.get_runtime_context()
    if hasattr(context, "get_temp_dir"):
        return str(context.get_temp_dir())
    return str(ray._private.worker.global_worker.node.get_temp_dir_path())

"""Joining a cluster without minutes of waiting and without the noise that Ray's native code makes when it fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from durable_ray.actors.cluster.connecting import join_ray


def join_quietly(address: str) -> None:
    """Join the cluster at `address` ("auto": the one on this machine). Raises HubUnavailable."""
    with _native_silence():
        join_ray(address)


@contextmanager
def _native_silence() -> Iterator[None]:
    """Nothing is written to file descriptor 2 but through Python."""
    stderr, kept = sys.stderr, os.dup(2)
    through = os.fdopen(os.dup(kept), "w", buffering=1) if stderr is sys.__stderr__ else None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        stderr.flush()
        os.dup2(nowhere, 2)
        if through is not None:
            sys.stderr = through
        yield
    finally:
        sys.stderr = stderr
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
        if through is not None:
            through.close()

"""Binding an ASGI app to Ray Serve. Serve is Ray's own extra: ``pip install "ray[serve]"``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ray import serve
from ray.serve import Application

__all__ = ["Application", "off_the_loop", "serve_asgi"]

T = TypeVar("T")


def serve_asgi(build: Callable[[], object], options: Mapping[str, Any]) -> Application:
    """A Serve application around the ASGI app that `build` makes in each replica. `options` are the deployment's."""
    ingress: Any = serve.ingress(build)()
    application: Application = serve.deployment(**options)(ingress).bind()
    return application


def off_the_loop(make: Callable[[], T]) -> T:
    """`make()` on a thread: a replica is built on an event loop, where no blocking call of Ray is allowed."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()

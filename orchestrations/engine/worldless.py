"""The event loop that orchestrators do not have: whatever of asyncio's loop reaches out of the execution, refused.

A base class, so that the deterministic loop itself only has what it does have.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable
from typing import Any, NoReturn

from durable_ray.orchestrations.values.failures import NotDeterministic


class WorldlessLoop(asyncio.AbstractEventLoop):
    """Answers what asyncio and libraries ask of any loop; every other method raises `NotDeterministic`."""

    def is_running(self) -> bool:
        """Whether this is the loop that runs in this thread now."""
        return events._get_running_loop() is self

    def set_debug(self, enabled: bool) -> None:
        """Ignored: asyncio's debug mode changes what code observes."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """As `call_exception_handler`."""
        self.call_exception_handler(context)

    def get_exception_handler(self) -> None:
        """None: there is only the default one."""

    def get_task_factory(self) -> None:
        """None: there is only the default one."""

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: an abandoned generator is closed where it is dropped."""


def _no_such_method(name: str) -> Callable[..., NoReturn]:
    def refused(self: object, *args: object, **kwargs: object) -> NoReturn:
        raise NotDeterministic(
            f"an orchestrator must do the same on every replay, so its event loop has no {name}(): I/O, "
            "threads, processes and signals belong into an activity. Do this in an activity and call it with "
            "ctx.call_activity"
        )

    refused.__name__ = name
    return refused


for _name, _member in vars(asyncio.AbstractEventLoop).items():
    if callable(_member) and not _name.startswith("_") and _name not in vars(WorldlessLoop):
        setattr(WorldlessLoop, _name, _no_such_method(_name))

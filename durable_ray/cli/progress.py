"""A progress bar on standard error for work of many steps; none where that is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from durable_ray.cli.session import CommandSession


@contextmanager
def bar(session: CommandSession, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Call what this gives with the number of steps that were done."""
    if not session.lively or total < 2:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=session.err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)

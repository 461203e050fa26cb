"""What went wrong, as a value that survives its process; and the exceptions that orchestrator code sees."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from types import FrameType

from msgspec.structs import replace

from durable_ray.orchestrations.values.showing import html_of
from durable_ray.orchestrations.values.values import Value

#: A traceback longer than this is cut in the middle: the two ends are what a reader needs.
MAX_TRACEBACK_CHARS = 16_000
MAX_MESSAGE_CHARS = 8_000
#: How much of what led to a failure is recorded: errors in all, and those of them with their tracebacks.
MAX_REASONS, _MAX_TRACES = 100, 16
#: Failures that stand for another one, which is their cause.
_WRAPPED = ("durable_ray.ActivityFailed", "durable_ray.SubOrchestrationFailed")
_FRAME = re.compile(r'^  (File "[^"\n]*", line \d+, in [^\n]*)(?:\n    ([^\n]*))?', re.MULTILINE)


class FailureDetails(Value, frozen=True, omit_defaults=True):
    """An error as recorded in history: type, message, traceback text and the errors that led to it.

    `cause` is what caused it: its cause or context, or what an activity or sub-orchestration failed with. `members` are the
    errors of a group; and what was being handled when a task failed whose `cause` is why that failed.

    `bases` are the qualified names of the error's class and all its bases, so that a failure can be recognised by type
    in a process that cannot import the class.
    """

    error_type: str
    message: str
    stack_trace: str = ""
    bases: tuple[str, ...] = ()
    cause: FailureDetails | None = None
    non_retryable: bool = False
    members: tuple[FailureDetails, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> FailureDetails:
        """Describe `error` with all that led to it; never raises, whatever its ``__str__`` does."""
        return _Describing().describe(error)

    def walk(self) -> Iterator[FailureDetails]:
        """This failure, then all that led to it: causes, members, and what led to those."""
        todo = [self]
        while todo:
            at = todo.pop()
            yield at
            todo.extend(reversed(at.members))
            if at.cause is not None:
                todo.append(at.cause)

    def chain(self) -> Iterator[FailureDetails]:
        """This failure, then what caused it, then what caused that."""
        at: FailureDetails | None = self
        while at is not None:
            yield at
            at = at.cause

    def is_caused_by(self, error: type[BaseException] | str, *, chain: bool = True) -> bool:
        """Whether this failure (or, with `chain`, one that led to it) is an `error` or a subclass of it.

        Args:
            error: an exception class, its qualified name (``"builtins.ValueError"``) or its bare name.
            chain: look through the causes and members too, and through what failed in a sub-orchestration.

        Example:
            >>> FailureDetails.of(KeyError("x")).is_caused_by(LookupError)
            True
        """
        wanted = error if isinstance(error, str) else _qualified(error)
        links = self.walk() if chain else iter((self,))
        return any(wanted == name or wanted == name.rpartition(".")[2] for link in links for name in link.names())

    @property
    def is_final(self) -> bool:
        """Whether it, or anything that led to it, is marked as not retryable."""
        return any(link.non_retryable for link in self.walk())

    def names(self) -> tuple[str, ...]:
        """All names by which this failure's class is known."""
        return self.bases or (self.error_type,)

    @property
    def origin(self) -> str:
        """The user's line that raised it: 'File "flow.py", line 3, in pay: raise ValueError(n)'; "" if it is not known.

        Of an activity or sub-orchestration that failed, the line there. A line of an installed package is not the user's.
        """
        for link in self.chain():
            if link.error_type not in _WRAPPED and (found := _FRAME.findall(link.stack_trace)):
                own = [each for each in found if "-packages" not in each[0] and "/lib/python" not in each[0]]
                where, text = (own or found)[-1]
                return f"{where}: {text.strip()}" if text else where
        return ""

    def __str__(self) -> str:
        return f"{self.error_type.removeprefix('builtins.')}: {self.message}"

    def _repr_html_(self) -> str | None:
        return html_of(self)


class OrchestrationError(Exception):
    """Base of the errors that the engine raises into orchestrator code."""


class TaskFailed(OrchestrationError):
    """An awaited activity or sub-orchestration failed for good.

    Catch it by kind with :meth:`is_caused_by`; `details` has everything that history keeps.

    Example:
        >>> try:
        ...     raise TaskFailed("Activity 'pay' (#1) failed: ValueError: no", FailureDetails.of(ValueError("no")))
        ... except TaskFailed as error:
        ...     error.is_caused_by(ValueError)
        True
    """

    def __init__(self, message: str, details: FailureDetails, task_id: int = 0) -> None:
        super().__init__(message)
        self.details = details
        self.task_id = task_id

    def __reduce__(self) -> tuple[type[TaskFailed], tuple[str, FailureDetails, int]]:
        return type(self), (str(self), self.details, self.task_id)

    def is_caused_by(self, error: type[BaseException] | str) -> bool:
        """Whether the failure, or any of its causes, is an `error` (class or name) or a subclass of it."""
        return self.details.is_caused_by(error)


class ActivityFailed(TaskFailed):
    """An activity failed after its last attempt."""


class SubOrchestrationFailed(TaskFailed):
    """A sub-orchestration failed, was terminated, or could not be started."""


class NonRetryable(Exception):
    """Raise this (or a subclass, or set `non_retryable = True` on any error) to end an activity's retries at once."""


class NonDeterminismError(OrchestrationError):
    """Replay mismatch: the code does not do what history recorded; the message names event, versions and usual causes."""


class NotDeterministic(OrchestrationError):
    """Orchestrator code asked its event loop for something that replay cannot repeat (I/O, threads, executors)."""


class TaskCanceled(OrchestrationError):
    """The result of a task that was cancelled was asked for."""


class Evicted(BaseException):
    """The coroutine is being evicted and will be rebuilt by replay.

    A `BaseException`, so that ``except Exception`` in user code cannot swallow it. Raised and caught in one place only:
    `replay.Execution.close`.
    """


def reasons(error: BaseException, *, hidden: bool = False) -> Iterator[BaseException]:
    """What led straight to `error`: its cause or context, and, of a group, its members.

    This is the one step of every walk over exceptions. `hidden`: also the context that `raise ... from` hides.
    """
    if error.__cause__ is not None:
        yield error.__cause__
    context = error.__context__ if hidden or not error.__suppress_context__ else None
    if context is not None and context is not error.__cause__:
        yield context
    if isinstance(error, BaseExceptionGroup):
        yield from error.exceptions


class _Describing:
    """Makes one tree of `FailureDetails`; an error that led to several others is in it once."""

    def __init__(self) -> None:
        self._left = MAX_REASONS
        self._traces = _MAX_TRACES
        self._seen: set[int] = set()

    def describe(self, error: BaseException) -> FailureDetails:
        self._seen.add(id(error))
        self._left -= 1
        self._traces -= 1
        trace = _cut(_trace_of(error), MAX_TRACEBACK_CHARS) if self._traces >= 0 else ""
        members = getattr(error, "exceptions", ()) if isinstance(error, BaseExceptionGroup) else ()
        others = [reason for reason in reasons(error) if not any(reason is member for member in members)]
        cause = self._grafted(error.details) if isinstance(error, TaskFailed) else self._next(others)
        found = [each for each in (self._next([member]) for member in (*members, *others)) if each is not None]
        text = _text_of(error)
        if members:
            text = f"{text}: {'; '.join(map(str, found))}"
        return FailureDetails(
            error_type=_qualified(type(error)),
            message=_cut(text, MAX_MESSAGE_CHARS),
            stack_trace=trace,
            bases=tuple(_qualified(base) for base in type(error).__mro__ if base is not object),
            cause=cause,
            non_retryable=isinstance(error, NonRetryable) or _says_so(error),
            members=tuple(found),
        )

    def _next(self, errors: list[BaseException]) -> FailureDetails | None:
        """The first of `errors` that is not in the tree yet, if there is room."""
        for error in errors:
            if id(error) not in self._seen and self._left > 0:
                return self.describe(error)
        return None

    def _grafted(self, details: FailureDetails) -> FailureDetails | None:
        """What a task failed with, as much as there is room for."""
        size = sum(1 for _ in details.walk())
        if size <= self._left:
            self._left -= size
            return details
        return self._pruned(details)

    def _pruned(self, details: FailureDetails) -> FailureDetails | None:
        if self._left <= 0:
            return None
        self._left -= 1
        cause = None if details.cause is None else self._pruned(details.cause)
        kept = [self._pruned(member) for member in details.members]
        return replace(details, cause=cause, members=tuple(each for each in kept if each is not None))


def _qualified(kind: type[BaseException]) -> str:
    """The name under which an error's type is recorded. That of our own does not say in which module it lives today."""
    if kind.__module__.startswith("durable_ray."):
        return f"durable_ray.{kind.__qualname__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _says_so(error: BaseException) -> bool:
    try:
        return bool(getattr(error, "non_retryable", False))
    except BaseException:  # whatever user code does there, to describe it must not fail
        return False


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:
        return f"<{type(error).__name__}.__str__ raised {type(broken).__name__}>"


def _trace_of(error: BaseException) -> str:
    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        theirs = [not _is_ours(frame) for frame, _ in traceback.walk_tb(error.__traceback__)]
        if any(theirs):
            told.stack[:] = [line for line, shown in zip(told.stack, theirs, strict=True) if shown]
        return "".join(told.format(chain=False))
    except BaseException:
        return ""


def _is_ours(frame: FrameType) -> bool:
    """Whether it is of this package: what calls user code, and what that called. The reader looks for his own lines."""
    return str(frame.f_globals.get("__name__", "")).startswith("durable_ray.")


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - limit} characters left out ...\n{text[-half:]}"

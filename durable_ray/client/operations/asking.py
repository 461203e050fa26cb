"""Asking about instances: one, all that match, page by page, how many, and what happened in one."""

from __future__ import annotations

import numbers
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Unpack

from msgspec.structs import replace

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.instances.histories import restore
from durable_ray.actors.instances.history_view import merged_history
from durable_ray.actors.instances.status import OrchestrationStatus, status_of
from durable_ray.actors.instances.waits import waits_of
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import InstanceQuery, Page, Payloads
from durable_ray.client.operations.base import ClientCore, H
from durable_ray.client.operations.filters import Filters, query_of
from durable_ray.client.steps import Awaiting, Steps, operation
from durable_ray.notebook.lists import HistoryList, StatusList, frame_of
from durable_ray.notebook.statuses import statuses_html

#: Instances fetched by one call when all are wanted.
_PAGE = 500


@dataclass(frozen=True)
class InstancePage:
    """Some instances and, if there are more, the token by which `query_instances` goes on after them."""

    instances: tuple[OrchestrationStatus, ...]
    continuation_token: str | None

    def __repr__(self) -> str:
        more = ", and there are more" if self.continuation_token else ""
        return f"{StatusList(self.instances)!r}{more}"

    def _repr_html_(self) -> str:
        return statuses_html(self.instances, "there are more" if self.continuation_token else "")

    def to_pandas(self) -> Any:
        """See `StatusList.to_pandas`."""
        return frame_of(self.instances)


class QueryOperations(ClientCore[H]):
    """Everything that only reads."""

    @operation
    def get_status(
        self,
        instance_id: str,
        *,
        show_history: bool = False,
        show_history_output: bool = False,
        show_input: bool = True,
    ) -> Steps[OrchestrationStatus | None]:
        """One instance, with all that it waits for; or None if it does not exist.

        Args:
            show_history: with the events of its current execution (`get_history` has them as the HTTP API shows them).
            show_history_output: with the results in those events.
            show_input: with its input.

        Raises:
            DamagedHistory: the history was asked for and is not what the instance's row says.
        """
        facts = yield from self._router.registry(Registry.waiting, instance_id, payloads_of(show_input), show_history)
        if facts is None:
            return None
        history = restore(facts.loaded)[0] if show_history else None
        return status_of(
            facts.loaded.row,
            history,
            show_input=show_input,
            show_history_output=show_history_output,
            waiting_for=waits_of(facts),
        )

    @operation
    def get_history(
        self, instance_id: str, *, show_output: bool = False, show_input: bool = True
    ) -> Steps[HistoryList | None]:
        """What happened in an instance's current execution, as Durable Functions shows it; None if it does not exist.

        What was asked for is merged into its completion: one entry for each activity, sub-orchestration, timer and
        event, in PascalCase, times as text.

        Args:
            show_output: with the results of activities, sub-orchestrations and of the orchestration itself.
            show_input: with inputs.

        Raises:
            DamagedHistory: what is stored is not what the instance's row says.
        """
        found = yield from self._router.registry(Registry.row, instance_id, True)
        if found is None:
            return None
        entries = merged_history(
            restore(found)[0], PYTHON_PAYLOADS.decode, show_output=show_output, show_input=show_input
        )
        return HistoryList(entries)

    @operation
    def query_instances(
        self,
        *,
        page_size: int = 100,
        continuation_token: str | None = None,
        show_input: bool = True,
        **filters: Unpack[Filters],
    ) -> Steps[InstancePage]:
        """A page of instances by created time. For the filters see `Filters`.

        Args:
            page_size: at most so many, at least 1; fewer where they are large (4 MB of payloads make a page).
            continuation_token: of the page before; right only with the same filters. What comes and goes meanwhile
                neither hides nor repeats others.

        Raises:
            InvalidToken: the token is none, or belongs to other filters.
            TypeError, ValueError: a page size that is no whole number, or less than 1.

        Example:
            >>> page = client.query_instances(runtime_status="Running", page_size=10)  # doctest: +SKIP
        """
        if continuation_token is not None and not isinstance(continuation_token, str):
            raise TypeError(f"continuation_token is the text that a page gave, not {continuation_token!r}")
        query, size = _query(filters, show_input), _at_least(1, "page_size", page_size)
        page = yield from self._router.registry(Registry.query, query, size, continuation_token)
        return InstancePage(tuple(status_of(row, show_input=show_input) for row in page.rows), page.token)

    @operation
    def list_instances(
        self,
        *,
        show_input: bool = True,
        limit: int | None = None,
        cancel: threading.Event | None = None,
        **filters: Unpack[Filters],
    ) -> Steps[StatusList]:
        """All instances that match, by created time, fetched page by page. For the filters see `Filters`.

        They show themselves as a table, and `to_pandas()` makes a DataFrame of them.

        Args:
            limit: at most so many; None: all.
            cancel: set it from elsewhere, and no further page is fetched (with `AsyncClient`: cancel the task).

        Raises:
            concurrent.futures.CancelledError: `cancel` was set.
        """
        query = _query(filters, show_input)
        if limit is not None:
            _at_least(0, "limit", limit)
        found = StatusList()
        token: str | None = None
        while limit is None or len(found) < limit:
            if cancel is not None and cancel.is_set():
                raise CancelledError(f"the query was cancelled after {len(found)} instances")
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = yield from self._router.registry(Registry.query, query, size, token)
            found += [status_of(row, show_input=show_input) for row in page.rows]
            token = page.token
            if token is None:
                break
        return found

    def iterate_instances(
        self, *, page_size: int = 100, show_input: bool = True, **filters: Unpack[Filters]
    ) -> Instances:
        """The instances that match, for a `for` loop (`async for` with `AsyncClient`): one page is in memory at a time.

        A loop that is left fetches nothing more.

        Example:
            >>> for status in client.iterate_instances(name="nightly"): ...  # doctest: +SKIP
        """
        return Instances(self, _query(filters, show_input), _at_least(1, "page_size", page_size), show_input)

    @operation
    def count(self, **filters: Unpack[Filters]) -> Steps[int]:
        """How many instances match; at once, however many there are, if only statuses and names are asked for."""
        return (yield from self._router.registry(Registry.count, query_of(filters)))

    @operation
    def counts(self) -> Steps[Mapping[tuple[str, str], int]]:
        """(orchestrator's name, runtime status) -> how many instances. From counters: costs nothing at any size."""
        return (yield from self._router.registry(Registry.counts))


def payloads_of(show_input: bool) -> Payloads:
    """Which payloads have to be read: an input that is not shown stays in the store."""
    return "all" if show_input else "output"


def _query(filters: Filters, show_input: bool) -> InstanceQuery:
    return replace(query_of(filters), payloads=payloads_of(show_input))


def _at_least(least: int, what: str, number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, numbers.Integral):
        raise TypeError(f"{what} is a whole number, not {number!r}")
    if number < least:
        raise ValueError(f"{what} is at least {least}, not {number}")
    return int(number)


class Instances:
    """Instances that match a filter, fetched while they are iterated. May be iterated several times."""

    def __init__(self, client: Any, query: InstanceQuery, page_size: int, show_input: bool) -> None:
        self._client = client
        self._query = query
        self._page_size = page_size
        self._show_input = show_input

    def _page(self, token: str | None) -> Steps[Page]:
        page: Page = yield from self._client._router.registry(Registry.query, self._query, self._page_size, token)
        return page

    def __iter__(self) -> Iterator[OrchestrationStatus]:
        if isinstance(self._client, Awaiting):
            raise TypeError("an AsyncClient's instances are iterated with `async for`")
        return self._fetched()

    def _fetched(self) -> Iterator[OrchestrationStatus]:
        token: str | None = None
        while True:
            page = self._client._driver.run(self._page(token))
            for row in page.rows:
                yield status_of(row, show_input=self._show_input)
            token = page.token
            if token is None:
                return

    def __aiter__(self) -> AsyncIterator[OrchestrationStatus]:
        if not isinstance(self._client, Awaiting):
            raise TypeError("a Client's instances are iterated with `for`; use AsyncClient for `async for`")
        return self._awaited()

    async def _awaited(self) -> AsyncIterator[OrchestrationStatus]:
        token: str | None = None
        while True:
            page = await self._client._driver.run(self._page(token))
            for row in page.rows:
                yield status_of(row, show_input=self._show_input)
            token = page.token
            if token is None:
                return

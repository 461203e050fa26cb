"""The numbers of the whole hub, for whoever asks: what all hosts have counted, and what the registry and the store know.

A host's counters begin at 0 with its process. Here they are added up to totals of the hub: of each answer only what is new
since the last one of the same process, so that a host that is restarted, moved or passivated takes nothing away, and there are
as many series with a thousand hosts as with one. The totals begin at 0 with the registry's process, which Prometheus takes for
the reset that it is: of a process that is older than the registry, the first answer only sets where to go on from.

Hosts are asked when somebody asks, all at once, and have a time-out: one that is frozen is counted as unreachable, and its
numbers come with a later answer. What a process counted after its last answer is lost with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping

from durable_ray.actors.clock import monotonic
from durable_ray.actors.instances.placement import is_host
from durable_ray.actors.registry.admission import Hosts
from durable_ray.actors.store.measures import Histogram, Measured, Measures, Series
from durable_ray.actors.store.records import StoreLoad

log = logging.getLogger("durable_ray.registry")

#: Seconds in which a host answers, unless it is counted as unreachable.
HOST_SECONDS = 2.0
#: Processes of which the last answer is kept.
_REMEMBERED = 10_000
#: Processes of which is known that they have ended: an answer of theirs may still be under way.
_ENDED = 100
#: Where the first label of a metric is the name of an orchestrator or activity.
_NAMED = frozenset({"starts", "completions", "activity_attempts"})
_WORKER = "worker-"


class HubMeasures:
    """Totals of a hub, and the state that they are made of."""

    def __init__(self, own: Measures, hosts: Hosts) -> None:
        """`own`: what the registry's process counts itself."""
        self._own = own
        self._hosts = hosts
        self._totals = Measures(own.snapshot.began)
        self._last: OrderedDict[str, Measured] = OrderedDict()
        self._ended: deque[str] = deque(maxlen=_ENDED)
        #: (when, the newest message then): how long the oldest has waited at least.
        self._seen: deque[tuple[float, int]] = deque(maxlen=10_000)

    @property
    def totals(self) -> Measured:
        """What was counted in the whole hub since this registry began."""
        return self._totals.snapshot

    async def gather(self, load: StoreLoad, counts: Mapping[tuple[str, str], int]) -> Measured:
        """Ask all hosts, and put it together with what the store says."""
        names = await self._hosts.names()
        hosts = [name for name in names if is_host(name)]
        workers = sum(name.startswith(_WORKER) for name in names)
        answers = await asyncio.gather(*(self._ask(host) for host in hosts))
        gauges: dict[Series, float] = defaultdict(float)
        for answer in (self._own.snapshot, *answers):
            if answer is not None:
                self.take(answer)
                for series, value in answer.gauges.items():
                    gauges[series] += value
        missing = sum(answer is None for answer in answers)
        gauges |= {("hosts",): len(hosts) - missing, ("hosts_unreachable",): missing, ("workers",): workers}
        for (name, status), n in counts.items():
            gauges["instances", self._totals.name(name), status] += n
        self._add_load(load, gauges)
        totals = self._totals.snapshot
        return Measured(totals.process, totals.began, totals.counters, totals.histograms, dict(gauges))

    def take_last(self, answer: Measured) -> None:
        """Add what is new in the last answer of a process, which ends: nothing of it is kept."""
        self.take(answer)
        self._last.pop(answer.process, None)
        self._ended.append(answer.process)

    def take(self, answer: Measured) -> None:
        """Add what is new in a process's answer."""
        if answer.process in self._ended:
            return
        last = self._last.pop(answer.process, None)
        # Kept as it is now: in this process the answer is the very thing that goes on counting.
        self._last[answer.process] = Measured(
            answer.process,
            answer.began,
            dict(answer.counters),
            {series: Histogram(one.bounds, list(one.counts), one.total) for series, one in answer.histograms.items()},
        )
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        if last is None:
            if answer.began < self._totals.snapshot.began:
                return
            last = Measured(answer.process, answer.began)
        for series, value in answer.counters.items():
            if (new := value - last.counters.get(series, 0)) > 0:
                self._totals.count(*self._capped(series), by=new)
        for series, histogram in answer.histograms.items():
            total, before = self._totals.histogram(*series), last.histograms.get(series)
            counted = before.counts if before else [0] * len(histogram.counts)
            total.counts[:] = [
                n + now - old for n, now, old in zip(total.counts, histogram.counts, counted, strict=True)
            ]
            total.total += histogram.total - (before.total if before else 0.0)

    def _capped(self, series: Series) -> Series:
        if series[0] not in _NAMED:
            return series
        return (series[0], self._totals.name(series[1]), *series[2:])

    async def _ask(self, host: str) -> Measured | None:
        try:
            return await asyncio.wait_for(self._hosts.measured(host), HOST_SECONDS)
        except Exception as error:
            log.info("%s does not tell its numbers: %r", host, error)
            return None

    def _add_load(self, load: StoreLoad, gauges: dict[Series, float]) -> None:
        name = self._totals.name
        gauges["store_bytes",] = load.size
        gauges["mailbox_messages",] = load.messages
        gauges["mailbox_age_seconds",] = self._oldest(load)
        for (activity, granted), n in load.permits.items():
            gauges["permits_taken" if granted else "permits_awaited", name(activity)] += n
        for orchestrator, n in load.queued.items():
            gauges["instances_queued", name(orchestrator)] += n

    def _oldest(self, load: StoreLoad) -> float:
        now = monotonic()
        if load.first is None or load.last is None:
            self._seen.clear()
            return 0.0
        while self._seen and self._seen[0][1] < load.first:
            self._seen.popleft()
        self._seen.append((now, load.last))
        return now - self._seen[0][0]

"""`/metrics`: the hub's numbers in Prometheus' text format, for a key that may read.

The gateway keeps no number: a scrape asks the registry, which asks the hosts. Scrapes that come within a second share an
answer, so that many Prometheuses cost the hub as much as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from durable_ray.actors.clock import monotonic
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.measures import METRICS, Histogram, Measured
from durable_ray.actors.store.measures import Metric as Described
from durable_ray.client.raw_hub import RawHub

#: What every metric's name begins with.
PREFIX = "durable_ray_"
#: Seconds in which the registry answers; Prometheus gives up after 10.
_WITHIN = 8.0
#: Seconds for which an answer holds.
_HOLDS = 1.0


class Scrapes:
    """The answers to scrapes of one gateway."""

    def __init__(self, raw_hub: RawHub) -> None:
        self._raw_hub = raw_hub
        self._asking: asyncio.Task[Measured] | None = None
        self._asked = 0.0

    async def metrics(self, _: Request) -> Response:
        """All numbers; 503 if the registry does not answer, for a scrape without the hub's numbers is none."""
        if self._asking is None or (self._asking.done() and monotonic() - self._asked >= _HOLDS):
            self._asking = asyncio.ensure_future(self._ask())
        try:
            snapshot = await asyncio.shield(self._asking)
        except Exception:
            return PlainTextResponse("the hub's registry does not answer\n", 503)
        return Response(exposition(snapshot), media_type=CONTENT_TYPE_LATEST)

    async def _ask(self) -> Measured:
        try:
            return await asyncio.wait_for(self._raw_hub.ask(Registry.measured), _WITHIN)
        finally:
            self._asked = monotonic()


def exposition(snapshot: Measured) -> bytes:
    """A snapshot in Prometheus' text format. Whatever a name holds is escaped.

    Example:
        >>> exposition(Measured("p", 0, {("turns",): 2})).splitlines()[2]
        b'durable_ray_turns_total 2.0'
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(snapshot))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, snapshot: Measured) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        by_name: dict[str, list[tuple[tuple[str, ...], float | Histogram]]] = {}
        snapshot = self._snapshot
        for values in (snapshot.counters, snapshot.gauges, snapshot.histograms):
            for (name, *labels), value in values.items():
                by_name.setdefault(name, []).append((tuple(labels), value))
        for name, described in METRICS.items():
            # Those without labels are there before they have counted anything, so that a rate has a 0 to begin from.
            empty: float | Histogram = Histogram.of(described.bounds) if described.kind == "histogram" else 0.0
            found = by_name.get(name) or ([] if described.labels else [((), empty)])
            yield _family(name, described, found)


def _family(name: str, described: Described, found: list[tuple[tuple[str, ...], float | Histogram]]) -> Metric:
    if described.kind == "histogram":
        histograms = HistogramMetricFamily(PREFIX + name, described.says, labels=described.labels)
        for labels, value in found:
            assert isinstance(value, Histogram)
            histograms.add_metric(labels, list(_cumulative(value)), value.total)
        return histograms
    make = CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily
    family = make(PREFIX + name, described.says, labels=described.labels)
    for labels, value in found:
        assert not isinstance(value, Histogram)
        family.add_metric([_text(label) for label in labels], value)
    return family


def _cumulative(histogram: Histogram) -> Iterator[tuple[str, float]]:
    counted = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        counted += count
        yield ("+Inf" if bound == float("inf") else repr(float(bound))), counted


def _text(label: str) -> str:
    """A label that can be written as UTF-8, whatever it holds."""
    return label.encode("utf-8", "backslashreplace").decode()

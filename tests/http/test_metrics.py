"""The numbers of a hub as Prometheus reads them: right, only for a key, and there also when a host is not."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import durable_ray as dr
from durable_ray.actors.registry import measuring
from durable_ray.actors.registry.measuring import HubMeasures
from durable_ray.actors.store.measures import METRICS, MOST_NAMES, OTHER, Measured, Measures
from durable_ray.http.app import create_app
from durable_ray.http.monitoring import metrics
from durable_ray.http.monitoring.metrics import PREFIX, exposition
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world
from tests.sources import ROOT

Samples = dict[tuple[str, ...], float]


def samples(text: str) -> Samples:
    """(name without prefix, values of the labels in their order) -> value, as Prometheus' own parser reads them."""
    return {
        (sample.name.removeprefix(PREFIX), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(autouse=True)
def _every_scrape_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_HOLDS", 0.0)


async def scrape(http: httpx.AsyncClient) -> Samples:
    answer = await http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return samples(answer.text)


async def test_what_happened_is_what_is_counted(hub: TestHub, http: httpx.AsyncClient) -> None:
    before = await scrape(http)
    assert before["turns_total",] == 0
    client = hub.async_client
    for n in range(3):
        await (await client.start(world.hello, f"n{n}"))
    with pytest.raises(dr.OrchestrationFailed):
        await (await client.start(world.fragile, "/nowhere/at/all"))
    waiting = await client.start_new(world.approval, instance_id="waits")
    ended = await client.start_new(world.approval, instance_id="ends")
    await ended.terminate("enough")
    await asyncio.to_thread(hub.settle)
    now = await scrape(http)
    assert now["starts_total", "http.hello"] == 3
    assert now["starts_total", "http.approval"] == 2
    assert now["completions_total", "http.hello", "Completed"] == 3
    assert now["completions_total", "http.fragile", "Failed"] == 1
    assert now["completions_total", "http.approval", "Terminated"] == 1
    assert now["instances", "http.approval", "Running"] == 1
    assert now["activity_attempts_total", "http.greet", "completed", "local"] == 3
    assert now["activity_attempts_total", "http.fragile_step", "failed", "local"] == 1
    assert now["activity_seconds_count", "local"] == 4
    assert now["turns_total",] == now["turn_seconds_count",] >= 9
    assert now["commit_seconds_count",] == now["commit_size_count",] > 0
    assert now["commit_size_sum",] >= now["turns_total",]
    assert now["store_bytes",] > 0
    assert now["hosts",] >= 1
    assert now["hosts_unreachable",] == 0
    assert waiting.instance_id == "waits"


async def test_one_that_ends_before_its_first_turn_is_counted_as_ended(hub: TestHub, http: httpx.AsyncClient) -> None:
    due = hub.now.replace(year=2040)
    later = await hub.async_client.start_new(world.approval, placement="dedicated", start_at=due)  # it has no process
    await later.terminate("enough")
    now = await scrape(http)
    assert now["completions_total", "http.approval", "Terminated"] == 1
    assert now["instances", "http.approval", "Terminated"] == 1


@dr.activity(name="metrics.endless", local=True)
async def endless(value: None) -> None:
    await asyncio.Event().wait()


@dr.orchestrator(name="metrics.unfinished")
async def unfinished(ctx: dr.OrchestrationContext) -> None:
    await ctx.call_activity(endless)


async def test_counters_go_on_over_a_crash_of_all_hosts(hub: TestHub, http: httpx.AsyncClient) -> None:
    client = hub.async_client
    await (await client.start(world.hello))
    handle = await client.start_new(unfinished)
    await handle.wait_for_start()
    first = await scrape(http)
    await asyncio.to_thread(hub.crash)
    assert (await scrape(http))["starts_total", "http.hello"] == 1
    await (await client.start(world.hello))
    last = await scrape(http)
    assert last["starts_total", "http.hello"] == 2
    assert last["recoveries_total",] > first["recoveries_total",]
    falling = [
        series
        for series in first
        if series[0].endswith(("_total", "_count", "_bucket")) and last[series] < first[series]
    ]
    assert falling == []


async def test_a_frozen_host_is_counted_and_breaks_no_scrape(
    hub: TestHub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await hub.async_client.start(world.hello))

    async def measured(*_: Any) -> Measured:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(measuring, "HOST_SECONDS", 0.2)
    with monkeypatch.context() as frozen:
        frozen.setattr(type(hub.hub.registry.hosts), "measured", measured)
        now = await scrape(http)
    assert now["hosts",] == 0
    assert now["hosts_unreachable",] >= 1
    assert now["instances", "http.hello", "Completed"] == 1
    assert (await scrape(http))["starts_total", "http.hello"] == 1


async def test_hostile_names_are_escaped_and_many_share_a_label(hub: TestHub) -> None:
    hostile = ['"} 1\nforged_total 7', 'a\\b"c', "\ud800", "…" * 50, "# HELP x"]
    measures = Measures(0)
    for name in hostile:
        measures.count("starts", measures.name(name))
    text = exposition(measures.snapshot).decode()
    found = samples(text)
    assert ("forged_total",) not in found
    assert sum(series[0] == "starts_total" for series in found) == len(hostile)
    for number in range(10 * MOST_NAMES):
        measures.count("starts", measures.name(f"o{number}"))
    found = samples(exposition(measures.snapshot).decode())
    assert sum(series[0] == "starts_total" for series in found) == MOST_NAMES + 1
    assert found["starts_total", OTHER] == 10 * MOST_NAMES + len(hostile) - MOST_NAMES


def test_of_a_process_older_than_the_registry_only_what_is_new_counts() -> None:
    hub = HubMeasures(Measures(100), hosts=None)  # type: ignore[arg-type]  # none is asked here
    old, new = Measures(50), Measures(150)
    for host in (old, new):
        host.count("starts", "x", by=10)
        host.observe("turn_seconds", 0.002)
        hub.take(host.snapshot)
    assert hub.totals.counters == {("starts", "x"): 10}
    for host in (old, new):
        host.count("starts", "x")
        host.observe("turn_seconds", 0.002)
        hub.take(host.snapshot)
        hub.take(host.snapshot)
    assert hub.totals.counters == {("starts", "x"): 12}
    assert sum(hub.totals.histograms["turn_seconds",].counts) == 3
    assert hub.totals.histograms["turn_seconds",].total == pytest.approx(0.006)


async def test_a_key_is_wanted_and_one_of_its_own_opens_nothing_else(hub: TestHub) -> None:
    only = "m" * 32
    app = create_app(hub.async_client, GatewaySettings(key="f" * 32, read_only_key="r" * 32, metrics_key=only))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=world.URL)
    assert (await http.get("/metrics")).status_code == 401
    for key in (only, "r" * 32, "f" * 32):
        assert (await http.get("/metrics", headers={"authorization": f"Bearer {key}"})).status_code == 200
    bearer = {"authorization": f"Bearer {only}"}
    for path in ("/api/v1/instances", f"{world.HOOKS}/instances", "/api/v1/hub", "/metrics/", "/"):
        assert (await http.get(path, headers=bearer)).status_code == 403, path
    assert (await http.post("/metrics", headers=bearer)).status_code == 403
    with pytest.raises(ValueError, match="metrics_key is one of the other keys"):
        GatewaySettings(read_only_key=only, metrics_key=only)


async def test_no_registry_no_numbers(hub: TestHub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measured(_: Any) -> Measured:
        raise ValueError("postgresql://me:s3cret@db/hub")

    monkeypatch.setattr(type(hub.hub.registry), "measured", measured)
    answer = await http.get("/metrics")
    assert (answer.status_code, answer.text) == (503, "the hub's registry does not answer\n")


async def test_the_oldest_message_ages_until_it_is_taken(hub: TestHub, http: httpx.AsyncClient) -> None:
    assert (await scrape(http))["mailbox_messages",] == 0
    later = await hub.async_client.start_new(world.approval, start_at=hub.now.replace(year=2040))
    await later.raise_event("Approval", 1)
    assert (await scrape(http))["mailbox_messages",] == 1
    await asyncio.sleep(0.05)
    assert (await scrape(http))["mailbox_age_seconds",] >= 0.05
    await asyncio.to_thread(hub.advance, 11 * 365 * 86400.0)
    now = await scrape(http)
    assert (now["mailbox_messages",], now["mailbox_age_seconds",]) == (0, 0)


async def test_promtool_finds_no_fault(http: httpx.AsyncClient, hub: TestHub) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: it is in Debian's package `prometheus`")
    await (await hub.async_client.start(world.hello))
    text = (await http.get("/metrics")).content
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_page_has_every_metric_as_it_is() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(durable_ray_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", page, re.M)
    assert rows == [
        (
            PREFIX + name + ("_total" if one.kind == "counter" else ""),
            one.kind,
            ", ".join(f"`{label}`" for label in one.labels),
            one.says,
        )
        for name, one in METRICS.items()
    ]

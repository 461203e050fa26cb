"""Values show themselves as HTML and as text: escaped, of bounded size, without secrets, also where the hub is gone."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.messages import Hello
from durable_ray.notebook.failures import users_frames
from durable_ray.notebook.lists import PandasMissing, StatusList
from durable_ray.notebook.timeline import MAX_BARS, grouped, spans_of
from durable_ray.testing import TestHub

EVIL = "<script>alert(1)</script>"
VOID = {"br", "rect"}


class _Strict(HTMLParser):
    """Fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(value: Any) -> str:
    """The HTML of a value, which is well-formed, has no script in it, and fits a cell."""
    made: str = value._repr_html_()
    parser = _Strict()
    parser.feed(made)
    assert parser.open == []
    assert "script" not in parser.seen
    assert len(made) < 60_000
    return made


@dr.activity
def divide_one(by: int) -> float:
    """Divide <one>."""
    return 1 / by


@dr.orchestrator
async def notebook_halves(ctx: dr.OrchestrationContext, text: str) -> float:
    return await ctx.call_activity(divide_one, 2)


@dr.orchestrator(version="2")
async def notebook_journey(ctx: dr.OrchestrationContext, text: str) -> float:
    ctx.set_custom_status(text)
    await ctx.create_timer(timedelta(hours=2))
    await ctx.call_sub_orchestrator(notebook_halves, text)
    await ctx.wait_for_external_event("Go")
    return await ctx.call_activity(divide_one, 0)


@dr.orchestrator
async def notebook_fan_out(ctx: dr.OrchestrationContext, count: int) -> int:
    return len(await ctx.task_all([ctx.call_activity(divide_one, n + 1) for n in range(count)]))


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub(auto_advance=False) as hub:
        yield hub


def test_a_handle_shows_what_its_instance_waits_for_and_how_it_failed(hub: TestHub) -> None:
    handle = hub.client.start_new(notebook_journey, EVIL * 1000, instance_id="a<b>")
    hub.settle()
    shown = checked(handle)
    assert "Running" in shown
    assert "a&lt;b&gt;" in shown
    assert "timer, due 2030-01-01 02:00:00Z" in shown
    assert "waits for" in shown

    hub.advance(timedelta(hours=3))
    later = checked(handle)
    assert "sub-orchestrations" in later
    assert "event &#x27;Go&#x27;" in later
    handle.raise_event("Go")
    hub.settle()
    failed = checked(handle)
    assert "Failed" in failed
    assert "ZeroDivisionError" in failed
    assert "in divide_one" in failed
    assert failed.index("in divide_one") < failed.index("traceback")
    assert "<svg" in failed
    assert len(repr(handle.get_status())) < 3000


async def test_an_awaitable_handle_shows_itself_within_a_running_loop(hub: TestHub) -> None:
    handle = await hub.async_client.start_new(notebook_halves, "x", instance_id="one")
    await handle.wait_for_completion(10)
    assert "Completed" in checked(handle)


def test_a_handle_of_nothing_and_one_of_a_hub_that_is_gone_say_so(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = hub.client.get_handle("nobody")
    assert "no instance with ID" in checked(handle)

    def gone(steps: object) -> object:
        raise dr.HubUnavailable("nobody answers")

    monkeypatch.setattr(hub.client._driver, "run", gone)
    assert "nobody answers" in checked(handle)
    assert "nobody answers" in checked(hub.client)


def test_lists_read_as_tables(hub: TestHub) -> None:
    for number in range(60):
        hub.client.start_new(notebook_halves, EVIL, instance_id=f"n-{number:02}")
    hub.settle()
    found = hub.client.list_instances()
    assert found == list(found)
    assert isinstance(found, list)
    assert "60 instances, 50 shown" in checked(found)
    lines = repr(found).splitlines()
    assert lines[0].split() == ["instance", "orchestrator", "status", "created", "took"]
    assert lines[-2:] == ["… and 40 more", "60 instances"]
    assert repr(StatusList()) == "[]"
    page = hub.client.query_instances(page_size=2)
    assert "there are more" in checked(page)
    assert "and there are more" in repr(page)


def test_lists_become_data_frames(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    hub.client.start_new(notebook_halves, "x", instance_id="one", tags={"team": "blue"}).wait_for_completion(10)
    for frame in (hub.client.list_instances().to_pandas(), hub.client.query_instances().to_pandas()):
        assert frame.runtime_status.tolist() == ["Completed"]
        assert frame.tags.tolist() == [{"team": "blue"}]
        assert str(frame.created_time.dt.tz) == "UTC"
    assert list(StatusList().to_pandas().columns)[:2] == ["name", "instance_id"]

    real = builtins.__import__

    def without_pandas(name: str, *args: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(PandasMissing, match="pip install pandas"):
        hub.client.list_instances().to_pandas()


def test_a_history_reads_as_a_timeline_of_bounded_size(hub: TestHub) -> None:
    handle = hub.client.start_new(notebook_fan_out, 500)
    assert handle.wait_for_completion(20) == 500
    history = handle.get_history()
    assert history is not None
    assert "divide_one ×500" in checked(history)
    assert "… and 482 more" in repr(history)
    assert len(grouped(spans_of(history))) <= MAX_BARS
    assert "divide_one ×500" in checked(handle.get_status(show_history=True))


def test_definitions_and_failures_show_themselves() -> None:
    @dr.activity(num_cpus=2, runtime_env={"env_vars": {"KEY": "s3cret"}})
    def secretive(n: int) -> int:
        return n

    shown = checked(secretive)
    assert "num_cpus=2" in shown
    assert "s3cret" not in shown
    assert "Divide &lt;one&gt;." in checked(divide_one)
    journey_shown = checked(notebook_journey)
    assert "version 2" in journey_shown
    assert "text: &#x27;str&#x27;" in journey_shown
    assert "divide_one" in checked(divide_one.reference())
    assert "KeyError" in checked(dr.FailureDetails.of(KeyError(EVIL)))


def test_clients_and_hubs_say_where_they_are_without_passwords(hub: TestHub) -> None:
    hub.client._hello = Hello("registry", "testing", 1, 1, 1, "postgresql://me:s3cret@db.example/hub")
    for shown in (checked(hub.client), repr(hub.client), checked(hub)):
        assert "s3cret" not in shown
        assert "db.example" in shown
    assert "testing" in repr(hub.async_client)
    assert dr.__version__ in hub.client._repr_html_()


def test_the_users_frames_come_first() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/x/site-packages/durable_ray/worker.py", line 9, in run\n    call()\n'
        '  File "job.py", line 3, in pay\n    raise ValueError("no")\n    ^^^^^^\n'
        '  File "/x/site-packages/numpy/core.py", line 1, in inner\nValueError: no'
    )
    assert [str(frame) for frame in users_frames(trace)] == ['job.py:3 in pay: raise ValueError("no")']
    assert users_frames("") == []
    assert users_frames('  File "/x/site-packages/a.py", line 1, in f')[0].file.endswith("a.py")

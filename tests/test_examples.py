"""The examples do what they say: each orchestration on virtual time, each `main` as it stands."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.orchestrations.authoring import decorators
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.history import events as ev
from durable_ray.testing import TestHub

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))

Load = Callable[[str], ModuleType]


@pytest.fixture
def own_catalog(monkeypatch: pytest.MonkeyPatch) -> DefinitionCatalog:
    """The examples' definitions, kept apart from those of other tests that have the same names."""
    own = DefinitionCatalog()
    monkeypatch.setattr(decorators, "catalog", own)
    return own


@pytest.fixture
def load(own_catalog: DefinitionCatalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports an example by its name, as its folder being the script's would let it."""
    monkeypatch.syspath_prepend(EXAMPLES)
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def hub(own_catalog: DefinitionCatalog) -> Iterator[TestHub]:
    with TestHub(definitions=own_catalog) as hub:
        yield hub


@pytest.fixture
def patient_hub(own_catalog: DefinitionCatalog) -> Iterator[TestHub]:
    """Time moves only when it is told to."""
    with TestHub(definitions=own_catalog, auto_advance=False) as hub:
        yield hub


SAID = {
    "hello": "['Hello Tokyo!', 'Hello Seattle!', 'Hello London!']",
    "fan_out": "pi is about 3.1",
    "approval": "chair: bought by Ada\norder-desk: nobody answered, it goes to the manager\ndesk: escalated",
    "monitor": "1000 bytes have arrived\nthe other one: TimeoutError",
    "counter": "the total is 55",
    "azure_style": "{'sum': 30, 'approved': True} {'sum': 55, 'approved': False}",
    "saga": "booked: weekend-1, weekend-2\nrefused: LookupError: no submarine is to be had\nleft of it: []",
    "aggregator": "12 readings are written",
    "document_pipeline": "{'English': 2, 'German': 1, 'Spanish': 1}",
    "search": "after 4 rounds the loss is 0.",
    "nightly_report": ": 42 EUR",
    "etl": "2 rows are loaded\n2 rows are loaded\n[('Cairo', 21.0), ('Oslo', -3.0)]",
    "folder_tree": "11111 bytes in 7 folders\nchildren of the root: 2",
}


@pytest.mark.parametrize("name", SAID)
def test_each_example_says_what_it_found(
    name: str, load: Load, own_catalog: DefinitionCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    # Real time: their events race with their timeouts, and virtual time would let the timeouts win.
    with TestHub(definitions=own_catalog, start=None) as hub:
        load(name).main(hub.client)
    said = capsys.readouterr().out
    for line in SAID[name].splitlines():  # what different instances say comes in no particular order
        assert line in said


def test_every_example_is_held_here() -> None:
    assert sorted([*SAID, "demo", "file_report", "tour_marimo"]) == NAMES  # the last: tests/notebook/test_tour.py


def test_fan_out_tries_again_what_slipped(load: Load, hub: TestHub) -> None:
    handle = hub.client.start_new(load("fan_out").estimate_pi, 20_000)
    assert handle.wait_for_completion(60) == pytest.approx(math.pi, abs=0.1)
    history = handle.get_status(show_history=True).history
    assert [e.failure.message for e in history if isinstance(e, ev.AttemptFailed)] == ["this one slipped"]


def test_approval_buys_small_things_without_asking(load: Load, hub: TestHub) -> None:
    example = load("approval")
    handle = hub.client.start_new(example.purchase, example.Order("pencil", 2.5))
    assert handle.wait_for_completion(5) == "bought"


@pytest.mark.parametrize(("approved", "outcome"), [(True, "bought by Ada"), (False, "refused by Ada")])
def test_approval_waits_for_an_answer(load: Load, patient_hub: TestHub, approved: bool, outcome: str) -> None:
    example = load("approval")
    handle = patient_hub.client.start_new(example.purchase, example.Order("chair", 300.0))
    patient_hub.advance(timedelta(days=2, hours=23))
    assert handle.get_status().custom_status == "waiting for approval"
    handle.raise_event("Approval", {"approved": approved, "by": "Ada"})
    assert handle.wait_for_completion(5) == outcome


def test_approval_escalates_after_three_days(load: Load, hub: TestHub) -> None:
    example = load("approval")
    handle = hub.client.start_new(example.purchase, example.Order("chair", 300.0))
    assert handle.wait_for_completion(5) == "escalated"
    assert hub.now - handle.get_status().created_time >= timedelta(days=3)


def test_monitor_waits_until_the_file_has_stopped_growing(load: Load, patient_hub: TestHub, tmp_path: Path) -> None:
    example, path = load("monitor"), tmp_path / "upload.bin"
    handle = patient_hub.client.start_new(example.await_upload, example.Upload(str(path)))
    for size in (10, 20):
        patient_hub.advance(timedelta(seconds=60))
        path.write_bytes(b"x" * size)
    patient_hub.advance(timedelta(seconds=60))
    assert handle.get_status().custom_status == {"bytes": 20}
    assert not handle.get_status().runtime_status.finished
    patient_hub.advance(timedelta(seconds=60))
    assert handle.wait_for_completion(5) == 20


def test_monitor_gives_up_at_its_deadline(load: Load, hub: TestHub, tmp_path: Path) -> None:
    example = load("monitor")
    handle = hub.client.start_new(example.await_upload, example.Upload(str(tmp_path / "never")))
    with pytest.raises(dr.OrchestrationFailed) as failed:
        handle.wait_for_completion(10)
    assert failed.value.is_caused_by(TimeoutError)
    status = handle.get_status()
    assert status.completed_time - status.started_time == timedelta(hours=1)


def test_counter_goes_on_over_executions_and_a_crash(load: Load, hub: TestHub) -> None:
    example = load("counter")
    handle = hub.client.start_new(example.counter, example.State(), instance_id="counter")
    first = handle.get_status().execution_id
    for amount in (1, 2, 3, 4):
        handle.raise_event("Add", amount)
    hub.crash()
    for amount in (5, None):
        handle.raise_event("Add", amount)
    assert handle.wait_for_completion(10) == 15
    assert handle.get_status().execution_id != first


def test_a_batch_is_full_or_has_waited_long_enough(load: Load, patient_hub: TestHub, tmp_path: Path) -> None:
    example = load("aggregator")
    handle = patient_hub.client.start_new(example.collect, example.Sink(str(tmp_path)), instance_id="readings")
    for number in range(7):
        handle.raise_event("Reading", example.Reading("s", float(number)))
    patient_hub.settle()
    assert handle.get_status().custom_status == {"written": 5}
    patient_hub.advance(timedelta(seconds=61))
    assert handle.get_status().custom_status == {"written": 7}
    batches = [json.loads(file.read_text()) for file in sorted(tmp_path.glob("batch-*"))]
    assert [[value for _, value in batch] for batch in batches] == [[0, 1, 2, 3, 4], [5, 6]]


def test_a_trip_that_is_refused_leaves_no_booking(load: Load, hub: TestHub, tmp_path: Path) -> None:
    example = load("saga")
    handle = hub.client.start_new(example.travel, example.Trip(str(tmp_path), ["flight", "hotel", "submarine"]))
    with pytest.raises(dr.OrchestrationFailed) as failed:
        handle.wait_for_completion(10)
    assert failed.value.is_caused_by(LookupError)
    assert not list(tmp_path.iterdir())
    done = [e.name for e in handle.get_status(show_history=True).history if isinstance(e, ev.ActivityScheduled)]
    assert done == ["book", "book", "book", "cancel", "cancel"]


def test_a_search_that_is_killed_goes_on_with_the_same_trials(load: Load, patient_hub: TestHub) -> None:
    example = load("search")
    handle = patient_hub.client.start_new(example.halving, example.Search(steps=4))
    patient_hub.crash()
    best = handle.wait_for_completion(10)
    history = handle.get_status(show_history=True).history
    assert best.rounds == 4
    assert sum(isinstance(e, ev.ActivityCompleted) for e in history) == 8 + 4 + 2 + 1


def test_file_report_counts_what_is_there(load: Load, hub: TestHub, tmp_path: Path) -> None:
    example = load("file_report")
    # Words across the ends of chunks, no newline at the end, nothing at all, bytes that are no text.
    texts = {"a.txt": b"one two\nthree " * 10, "b.py": b"x" * 40, "empty": b"", "sub/c.bin": bytes(range(256))}
    example.CHUNK = 16
    report, data = run_report(example, hub.client, tmp_path, texts)
    assert data["totals"]["files"] == report.files == 4
    for file in data["files"]:
        text = texts[file["path"]]
        assert file["sha256"] == hashlib.sha256(text).hexdigest()
        assert (file["bytes"], file["lines"], file["words"]) == (len(text), text.count(b"\n"), len(text.split()))
    assert data["by_extension"][".txt"]["words"] == 30
    assert "| b.py | 40 |" in Path(report.text).read_text()


def test_file_report_of_nothing(load: Load, hub: TestHub, tmp_path: Path) -> None:
    report, data = run_report(load("file_report"), hub.client, tmp_path, {})
    assert (report.files, data["files"]) == (0, [])


@pytest.mark.parametrize("repeated", [False, True])
def test_the_demo_sees_a_file_that_was_done_again(
    load: Load, hub: TestHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], repeated: bool
) -> None:
    demo, example = load("demo"), load("file_report")
    texts = {f"{number}.txt": b"some text" for number in range(5)}
    report, _ = run_report(example, hub.client, tmp_path, texts, instance_id=demo.ID)
    if repeated:
        with (tmp_path / "results" / "executions.log").open("a") as file:
            file.write("1\t1.txt\n")
    seen = demo.Seen("refused", [1, 2], datetime.now(UTC), frozenset({0, 1}))
    kept, figures = demo.check(hub.client, tmp_path / "files", tmp_path / "results", seen, report)
    assert kept is not repeated
    assert capsys.readouterr().out.count("BROKEN") == repeated
    assert "5 files" in figures


def test_the_demo_sees_a_start_that_was_not_refused(load: Load, hub: TestHub, tmp_path: Path) -> None:
    demo = load("demo")
    report, _ = run_report(load("file_report"), hub.client, tmp_path, {"a": b"x"}, instance_id=demo.ID)
    seen = demo.Seen("", [1, 2], datetime.now(UTC), frozenset({0}))
    kept, _ = demo.check(hub.client, tmp_path / "files", tmp_path / "results", seen, report)
    assert not kept


def run_report(
    example: Any, client: dr.Client, folder: Path, texts: dict[str, bytes], instance_id: str | None = None
) -> tuple[Any, dict[str, Any]]:
    files, results = folder / "files", folder / "results"
    for path in (files, results):
        path.mkdir()
    for name, text in texts.items():
        (files / name).parent.mkdir(exist_ok=True)
        (files / name).write_bytes(text)
    handle = client.start_new(example.file_report, example.Job(str(files), str(results)), instance_id=instance_id)
    report = handle.wait_for_completion(30)
    return report, json.loads(Path(report.data).read_text())

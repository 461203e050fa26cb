"""`python examples/demo.py [DIR]`: a durable job on a Ray of its own, whose process is killed half-way.

The job (`file_report.py`) measures every file of DIR, by default of the running interpreter's standard library. While
it runs, a second start of the same ID is refused and the process it lives in is ended with SIGKILL. What durable_ray
promises is then checked, not claimed: each line of the last table is a comparison, and one that fails makes the exit
code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from file_report import Job, Report, file_report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import durable_ray as dr
from durable_ray.orchestrations.history import events as ev

ID, HUB = "file-report", "demo"
#: Seconds for all of the job. It takes about ten; a machine that is busy with other things gets more.
PATIENCE = 240.0

console = Console(highlight=False)


@dataclass
class Seen:
    """What the demo saw while the job ran, to be held against what the store says at the end."""

    refusal: str = ""
    pids: list[int] = field(default_factory=list)
    killed_at: datetime | None = None
    #: Numbers of the batches whose completion was in history when the process was dead.
    finished_before: frozenset[int] = frozenset()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", nargs="?", default=sysconfig.get_path("stdlib"), help="whose files to measure")
    parser.add_argument(
        "--results", help="where a new folder for report and store is made (default: the system's temporary directory)"
    )
    asked = parser.parse_args(arguments)
    directory = Path(asked.directory).expanduser().resolve()
    if not directory.is_dir():
        parser.error(f"{directory} is not a directory")
    began = time.monotonic()
    results = Path(tempfile.mkdtemp(prefix="durable-ray-demo-", dir=asked.results)).resolve()
    console.print(f"[bold]durable_ray demo[/]: {directory}")
    with console.status("starting a local Ray"):
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        client = dr.Client(hub=HUB, store=f"sqlite:///{results / 'store.db'}")
        seen = Seen()
        report = run(client, Job(str(directory), str(results), pace=0.1), seen)
        show(client, seen, report)
        kept, figures = check(client, directory, results, seen, report)
    finally:
        ray.shutdown()
    console.print(f"store and report stay in {results}")
    if not kept:
        print("demo FAILED: a promise was broken, see above")
        return 1
    print(f"demo passed: {figures}, {time.monotonic() - began:.1f} s in all")
    return 0


# --- while it runs --------------------------------------------------------------------------------


def run(client: dr.Client, job: Job, seen: Seen) -> Report:
    """Start the job, try to start it again, watch it, kill its process half-way, and wait for the end."""
    handle = client.start_new(file_report, job, instance_id=ID)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("files measured", total=None)
        try:
            client.start_new(file_report, job, instance_id=ID)
        except dr.InstanceAlreadyExists as refusal:
            seen.refusal = str(refusal)
            progress.console.print(
                f"a second start is refused: [yellow]InstanceAlreadyExists: {refusal}[/]", soft_wrap=True
            )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            status = handle.get_status(show_input=False)
            assert status is not None
            done = status.custom_status or {"files": 0, "of": None}
            progress.update(bar, completed=done["files"], total=done["of"])
            if status.runtime_status.finished:
                break
            if seen.killed_at is None and done["of"] and done["files"] * 2 >= done["of"]:
                kill(handle, seen)
                progress.console.print(
                    f"[red]kill -9 {seen.pids[0]}[/], the instance's process, at {done['files']} of {done['of']} files"
                )
            time.sleep(0.02)
    report: Report = handle.wait_for_completion(timeout=10)
    # The instance has finished; its actor stays for a minute to answer questions, and is found by the instance's name.
    seen.pids.append(pid())
    return report


def pid() -> int:
    """The process in which the instance lives: its ID is the name of a Ray actor."""
    return int(ray.get(ray.get_actor(ID, namespace=HUB).pid.remote(), timeout=60))


def kill(handle: dr.OrchestrationHandle, seen: Seen) -> None:
    """SIGKILL the instance's process, then read what it had made durable. The registry answers while it is dead."""
    seen.pids.append(pid())
    seen.killed_at = datetime.now(UTC)
    os.kill(seen.pids[0], signal.SIGKILL)
    status = handle.get_status(show_history=True, show_input=False)
    assert status is not None
    assert status.history is not None
    batches = batch_numbers(status.history)
    completed = {event.task_id for event in status.history if isinstance(event, ev.ActivityCompleted)}
    seen.finished_before = frozenset(number for task_id, number in batches.items() if task_id in completed)


def batch_numbers(history: Iterable[ev.Event]) -> dict[int, int]:
    """Task ID -> batch number, from what history says was scheduled."""
    return {
        event.task_id: json.loads(event.input)["number"]
        for event in history
        if isinstance(event, ev.ActivityScheduled) and event.name == "measure" and event.input
    }


# --- when it is done ------------------------------------------------------------------------------


def show(client: dr.Client, seen: Seen, report: Report) -> None:
    """Print the status, the timeline that history tells, and the report's place."""
    status = client.get_status(ID, show_history=True, show_input=False)
    assert status is not None
    table = Table("status", "", show_edge=False, title_justify="left")
    table.add_row("instance", f"{status.instance_id} ({status.name}, {status.placement})")
    table.add_row("runtime status", str(status.runtime_status))
    table.add_row("created, ended", f"{status.created_time:%H:%M:%S.%f} .. {status.last_updated_time:%H:%M:%S.%f}")
    table.add_row("custom status", str(status.custom_status))
    table.add_row("processes", " -> ".join(str(pid) for pid in seen.pids))
    table.add_row("output", f"{report.files:,} files, {report.bytes:,} bytes, {report.lines:,} lines")
    console.print(table, "")
    times = Table("seconds", "timeline", show_edge=False)
    for at, what in timeline(status, seen):
        times.add_row(f"{(at - status.created_time).total_seconds():7.2f}", what)
    console.print(times, "")
    console.print(f"report: {report.text}\n        {report.data}", soft_wrap=True)


def timeline(status: dr.OrchestrationStatus, seen: Seen) -> list[tuple[datetime, str]]:
    """What happened when: history's own times, and the kill, which history knows nothing of."""
    history = status.history or ()
    batches = batch_numbers(history)
    rows = [(status.created_time, "start accepted")]
    if seen.killed_at is not None:
        rows.append((seen.killed_at, f"kill -9 of process {seen.pids[0]}"))
    at, done, gone_on = status.created_time, 0, seen.killed_at is None
    for event in history:
        match event:
            case ev.TurnStarted():
                at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=event.at)
                if seen.killed_at is not None and at > seen.killed_at and not gone_on:
                    rows.append((at, f"first result in process {seen.pids[-1]}"))
                    gone_on = True
            case ev.ExecutionStarted():
                rows.append((at, f"first turn, in process {seen.pids[0]}"))
            case ev.ActivityScheduled() if event.task_id == min(batches, default=None):
                rows.append((at, f"files listed, {len(batches)} batches scheduled as Ray tasks"))
            case ev.ActivityCompleted() if event.task_id in batches:
                done += 1
                if done * 4 % len(batches) < 4:
                    rows.append((at, f"{done} of {len(batches)} batches measured"))
            case ev.ExecutionCompleted():
                rows.append((at, "report written, orchestration completed"))
    return sorted(rows, key=lambda row: row[0])


def check(client: dr.Client, directory: Path, results: Path, seen: Seen, report: Report) -> tuple[bool, str]:
    """Hold what was promised against what happened: (whether all of it was kept, the figures)."""
    lines = (results / "executions.log").read_text(errors="surrogateescape").splitlines()
    executions = Counter(line.partition("\t")[2] for line in lines)
    batch_of = {path: int(number) for number, _, path in (line.partition("\t") for line in lines)}
    before = [path for path, number in batch_of.items() if number in seen.finished_before]
    again = sorted(path for path, count in executions.items() if count > 1)
    found = json.loads(Path(report.data).read_text(encoding="utf-8"))
    wrong = [file["path"] for file in found["files"] if file["sha256"] != sha256(directory / file["path"])]
    reported = len(found["files"]) + len(found["unreadable"])
    status = client.get_status(ID)
    promises = [
        ("a second start of the same ID was refused", bool(seen.refusal), seen.refusal),
        ("the process was killed while the job ran", seen.killed_at is not None, f"{len(before)} files were finished"),
        ("the job went on in another process", len(set(seen.pids)) == 2, " -> ".join(map(str, seen.pids))),
        (
            "it completed",
            status is not None and status.runtime_status == "Completed",
            str(status and status.runtime_status),
        ),
        ("every file is in the report", reported == len(executions) > 0, f"{reported} of {len(executions)}"),
        ("every SHA-256 is right", not wrong, f"{len(found['files']) - len(wrong)} compared"),
        (
            "no finished file was done again",
            not any(executions[path] > 1 for path in before),
            f"{len(before)} files, {sum(executions[path] for path in before)} executions",
        ),
    ]
    table = Table("", "promise", "seen", show_edge=False)
    for promise, kept, shown in promises:
        table.add_row("[green]kept[/]" if kept else "[bold red]BROKEN[/]", promise, shown)
    console.print("", table, "")
    if seen.killed_at is None:
        console.print("the job was over before it could be killed: give the demo a directory with more files")
    figures = (
        f"{report.files:,} files, 1 start refused, 1 kill -9, {len(before):,} files finished before it and 0 of "
        f"them done again, {len(again):,} in flight done twice"
    )
    return all(kept for _, kept, _ in promises), figures


def sha256(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())

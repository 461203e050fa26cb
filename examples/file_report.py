"""A job over the files of a directory: list them, measure them in parallel as Ray tasks, write a report.

What an ordinary Ray script does with `ray.get([measure.remote(batch) for batch in batches])`, made durable: every
result is in history before anything follows from it. `demo.py` runs this job and kills its process half-way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import durable_ray as dr

#: Not the directory's own: installed packages, and what the interpreter makes of its sources.
SKIPPED = frozenset({"site-packages", "dist-packages", "__pycache__"})
CHUNK = 1 << 20


@dataclass(frozen=True)
class Job:
    """What to do. `pace`: least seconds that a batch takes, or a small directory is done before anybody looks."""

    directory: str
    results: str
    batches: int = 80
    pace: float = 0.0

    @property
    def journal(self) -> Path:
        """One line for each file each time work on it begins: what the demo counts executions by."""
        return Path(self.results) / "executions.log"


@dataclass(frozen=True)
class Batch:
    """Some of the files, by their paths within the job's directory."""

    job: Job
    number: int
    files: list[str]


@dataclass(frozen=True)
class FileStats:
    """What was found in one file."""

    path: str
    bytes: int
    lines: int
    words: int
    compressed: int
    sha256: str


@dataclass(frozen=True)
class Measured:
    """What was found in a batch."""

    files: list[FileStats]
    unreadable: list[str]


@dataclass(frozen=True)
class Findings:
    """What the report is made of."""

    job: Job
    measured: list[Measured]


@dataclass(frozen=True)
class Report:
    """Where the report is, and its totals."""

    text: str
    data: str
    files: int
    bytes: int
    lines: int
    words: int


@dr.orchestrator
async def file_report(ctx: dr.OrchestrationContext, job: Job) -> Report:
    """Plain asyncio. The custom status is what a progress bar needs."""
    batches = await ctx.call_activity(list_files, job)
    total = sum(len(batch.files) for batch in batches)
    done = 0

    async def one(batch: Batch) -> Measured:
        nonlocal done
        found: Measured = await ctx.call_activity(measure, batch)
        done += len(batch.files)
        ctx.set_custom_status({"files": done, "of": total, "batches": len(batches)})
        return found

    measured = await asyncio.gather(*(one(batch) for batch in batches))
    return await ctx.call_activity(write_report, Findings(job, measured))  # type: ignore[no-any-return]


@dr.activity(local=True)
def list_files(job: Job) -> list[Batch]:
    """All regular files, dealt out in batches. Small and I/O-bound, so a thread of the host does it."""
    found = sorted(_regular_files(Path(job.directory)))
    count = min(job.batches, len(found))
    return [Batch(job, number, found[number::count]) for number in range(count)]


@dr.activity(num_cpus=1)
def measure(batch: Batch) -> Measured:
    """Read every file of the batch. It declares a resource, so each call is a Ray task, placed by Ray on any node."""
    until = time.monotonic() + batch.job.pace
    files, unreadable = [], []
    for path in batch.files:
        _note(batch.job.journal, f"{batch.number}\t{path}\n")
        try:
            files.append(_measured(Path(batch.job.directory), path))
        except OSError as error:
            unreadable.append(f"{path}: {error.strerror}")
    time.sleep(max(until - time.monotonic(), 0.0))
    return Measured(files, unreadable)


@dr.activity(local=True)
def write_report(findings: Findings) -> Report:
    """Write `report.md` and `report.json`. May run twice, so it writes beside them and renames."""
    files = sorted((f for measured in findings.measured for f in measured.files), key=lambda f: f.path)
    unreadable = sorted(path for measured in findings.measured for path in measured.unreadable)
    folder = Path(findings.job.results)
    data = {
        "directory": findings.job.directory,
        "totals": _totals(files),
        "by_extension": _by_extension(files),
        "unreadable": unreadable,
        "files": [asdict(file) for file in files],
    }
    _replace(folder / "report.json", json.dumps(data, indent=1))
    _replace(folder / "report.md", _markdown(findings.job.directory, files, unreadable))
    totals = _totals(files)
    text, json_ = str(folder / "report.md"), str(folder / "report.json")
    return Report(text, json_, len(files), totals["bytes"], totals["lines"], totals["words"])


# --- plain functions ------------------------------------------------------------------------------


def _regular_files(root: Path) -> Iterator[str]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED]
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(root))


def _note(journal: Path, line: str) -> None:
    # One write to a file opened for appending: lines of several processes do not mix.
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode(errors="surrogateescape"))
    finally:
        os.close(descriptor)


def _measured(root: Path, path: str) -> FileStats:
    digest, packer = hashlib.sha256(), zlib.compressobj()
    size = lines = words = compressed = 0
    within_word = False
    with (root / path).open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            compressed += len(packer.compress(chunk))
            size += len(chunk)
            lines += chunk.count(b"\n")
            # A word cut in two by the end of a chunk is one word.
            words += len(chunk.split()) - (within_word and not chunk[:1].isspace())
            within_word = not chunk[-1:].isspace()
    return FileStats(path, size, lines, words, compressed + len(packer.flush()), digest.hexdigest())


def _totals(files: Iterable[FileStats]) -> dict[str, int]:
    totals = dict.fromkeys(("files", "bytes", "lines", "words", "compressed"), 0)
    for file in files:
        totals["files"] += 1
        for key in ("bytes", "lines", "words", "compressed"):
            totals[key] += getattr(file, key)
    return totals


def _by_extension(files: Iterable[FileStats]) -> dict[str, dict[str, int]]:
    groups = defaultdict(list)
    for file in files:
        groups[Path(file.path).suffix or "(none)"].append(file)
    totals = {extension: _totals(group) for extension, group in groups.items()}
    return dict(sorted(totals.items(), key=lambda item: -item[1]["bytes"]))


def _markdown(directory: str, files: list[FileStats], unreadable: list[str]) -> str:
    totals = _totals(files)
    lines = [
        f"# {directory}",
        "",
        f"{totals['files']:,} files, {totals['bytes']:,} bytes ({totals['compressed']:,} compressed), "
        f"{totals['lines']:,} lines, {totals['words']:,} words.",
        "",
        "| extension | files | bytes | lines | words |",
        "|---|---:|---:|---:|---:|",
    ]
    for extension, of in list(_by_extension(files).items())[:15]:
        lines.append(f"| {extension} | {of['files']:,} | {of['bytes']:,} | {of['lines']:,} | {of['words']:,} |")
    lines += ["", "| largest files | bytes | sha256 |", "|---|---:|---|"]
    for file in sorted(files, key=lambda f: -f.bytes)[:10]:
        lines.append(f"| {file.path} | {file.bytes:,} | `{file.sha256}` |")
    lines += ["", *(f"- unreadable: {path}" for path in unreadable)]
    return "\n".join(lines).rstrip() + "\n"


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(path.suffix + ".new")
    beside.write_text(text, encoding="utf-8", errors="backslashreplace")
    beside.replace(path)

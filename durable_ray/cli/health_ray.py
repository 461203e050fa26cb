"""The checks of `doctor` for a machine and its cluster. They start and change nothing: no Ray, no hub, no store."""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from durable_ray.actors.cluster.older_ray import ray_has_tokens
from durable_ray.actors.cluster.stopping import is_running
from durable_ray.actors.errors import HubUnavailable
from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.databases.sqlite_copies import PAGE, RESTORED, beside, holds, mark_of, refuse_copies
from durable_ray.actors.store.databases.sqlite_file import driver, network_filesystem
from durable_ray.actors.store.urls import default_store, for_a_hub, shown_url
from durable_ray.cli.health import CheckResult
from durable_ray.cli.hub.local_ray import noted, token_file
from durable_ray.cli.hub.over_ray import HERE, ray_address
from durable_ray.cli.hub.quiet import join_quietly
from durable_ray.config import ClientSettings, config_file

_LITTLE_SPACE = 1 << 30
_LARGE_WAL = 256 << 20


def machine(settings: ClientSettings) -> Iterator[CheckResult]:
    """Versions, settings, token."""
    yield CheckResult(
        "ok", "durable-ray", f"{_release('durable-ray')}, Python {platform.python_version()}, Ray {_release('ray')}"
    )
    yield _sqlite()
    named = {n: v for n in ("address", "hub", "url") if (v := getattr(settings, n)) is not None}
    file = config_file()
    detail = ", ".join(f"{name}={shown_url(value)}" for name, value in named.items())
    yield CheckResult("ok", "settings", detail + (f" ({file})" if file.exists() else ""))
    yield from _token(settings)


def _release(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed, run from its sources)"


def _sqlite() -> CheckResult:
    try:
        module = driver()
    except StoreUnusable as error:
        return CheckResult("problem", "SQLite", str(error), "pip install pysqlite3, or use a PostgreSQL store")
    return CheckResult("ok", "SQLite", f"{module.sqlite_version} ({module.__name__.partition('.')[0]})")


def _token(settings: ClientSettings) -> Iterator[CheckResult]:
    if not ray_has_tokens():
        detail = f"Ray {_release('ray')} has none: whoever reaches its ports may run code"
        yield CheckResult(
            "warning", "Ray's token", detail, "pip install 'ray>=2.52', or let nobody else reach its ports"
        )
        return
    if os.environ.get("RAY_AUTH_TOKEN"):
        yield CheckResult("ok", "Ray's token", "RAY_AUTH_TOKEN")
        return
    path = token_file()
    if not path.exists():
        detail = "there is none: whoever reaches Ray's ports may run code"
        yield CheckResult(
            "warning",
            "Ray's token",
            detail,
            "ray get-auth-token --generate, then start Ray again (durable-ray up does both)",
        )
        return
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode not in (None, "token"):
        yield CheckResult("warning", "Ray's token", f"{path} is not used: RAY_AUTH_MODE={mode}", "unset RAY_AUTH_MODE")
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield CheckResult("warning", "Ray's token", f"others may read {path}", f"chmod 600 {path}")
    else:
        yield CheckResult("ok", "Ray's token", str(path))


def cluster(settings: ClientSettings) -> Iterator[CheckResult]:
    """Ray, and whether the hub runs on it. The last finding is no problem exactly if the hub can be asked."""
    head = noted()
    address = ray_address(settings)
    try:
        join_quietly(address)
    except HubUnavailable as error:
        if settings.address:
            yield CheckResult("problem", "Ray", str(error), "is the address right, does the token fit?")
        else:
            yield CheckResult("problem", "Ray", "none is running on this machine", "durable-ray up")
        return
    started = f", started by `up` as process {head.pid}" if head and not settings.address else ""
    yield CheckResult("ok", "Ray", f"reached {address if address != HERE else 'on this machine'}{started}")
    if not is_running(settings.hub):
        yield CheckResult("problem", "hub", f"{settings.hub!r} is not running on this Ray", "durable-ray up")


def store(url: str | None, hub: str) -> Iterator[CheckResult]:
    """The hub's store, as far as it can be seen from this machine."""
    try:
        url = for_a_hub(url or default_store(hub))
    except StoreUnusable as error:
        yield CheckResult("problem", "store", str(error), "--store, or DURABLE_RAY_STORE, names another")
        return
    if not url.startswith("sqlite:///"):
        yield CheckResult("ok", "store", shown_url(url))
        return
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        yield CheckResult("ok", "store", f"{path} is not on this machine, or not made yet")
        return
    try:
        refuse_copies(path)
    except StoreUnusable as error:
        yield CheckResult("problem", "store", str(error), f"durable-ray restore, or another store ({PAGE})")
        return
    wal = beside(path, "-wal")
    wal_size = wal.stat().st_size if wal.exists() else 0
    detail = f"{path}, {_size(path.stat().st_size)} and {_size(wal_size)} of log"
    free = shutil.disk_usage(path.parent).free
    kind = _network(path)
    if kind:
        yield CheckResult(
            "problem",
            "store",
            f"{detail}, on a network filesystem ({kind})",
            "move it to a local disk, or use PostgreSQL",
        )
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield CheckResult(
            "problem", "store", f"others may read {path}: who writes to it can run code", f"chmod 600 {path}"
        )
    elif free < _LITTLE_SPACE:
        yield CheckResult(
            "problem", "store", f"{detail}; only {_size(free)} are free on its disk", "durable-ray purge, or make room"
        )
    elif wal_size > _LARGE_WAL:
        yield CheckResult(
            "warning", "store", detail, "some process reads for very long: look for an open sqlite3 or backup"
        )
    elif mark_of(path) == RESTORED and not holds(wal):
        yield CheckResult(
            "warning",
            "store",
            f"{detail}; restored from a backup, and not opened by a hub since",
            f"stop the hub that the backup was made of, wherever it runs: both would do the same work ({PAGE})",
        )
    else:
        yield CheckResult("ok", "store", f"{detail}, {_size(free)} free")


def _network(path: Path) -> str | None:
    mounts = Path("/proc/self/mountinfo")
    return network_filesystem(path.parent.resolve(), mounts.read_text(encoding="utf-8")) if mounts.exists() else None


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.0f} TiB"

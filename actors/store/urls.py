"""Which database a store's URL means. Nothing heavy is imported: clients look at a URL at their door and open no database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.secrecy import shown_url


def is_sqlite(url: str) -> bool:
    """Whether this is a store in a file (or in memory).

    Example:
        >>> is_sqlite("sqlite:///hub.db"), is_sqlite("postgresql://db.example/hub")
        (True, False)
    """
    return url.partition(":")[0].partition("+")[0] == "sqlite"


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite store, absolute; None for one in memory.

    Raises StoreUnusable if the URL names no file; the message says how it would.

    Example:
        >>> sqlite_path("sqlite:////var/lib/durable_ray/hub.db"), sqlite_path("sqlite://")
        (PosixPath('/var/lib/durable_ray/hub.db'), None)
    """
    _, separator, rest = url.partition("://")
    path = unquote(rest.partition("?")[0])
    if path.removeprefix("/") in {"", ":memory:"} and separator:
        return None
    if not path.startswith("/"):
        raise StoreUnusable(
            f"{shown_url(url)!r} names no file; write sqlite:///relative/path, or sqlite:////absolute/path"
        )
    try:
        return Path(path[1:]).expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise StoreUnusable(
            f"{shown_url(url)!r} cannot be resolved ({error}); write sqlite:////absolute/path"
        ) from error


def for_a_hub(url: str) -> str:
    """A URL as every process of a hub understands it, whatever its working directory.

    Raises StoreUnusable for a store that only one process can see.

    Example:
        >>> for_a_hub("sqlite:////var/lib/hub.db?x=1"), for_a_hub("postgresql://db.example/hub")
        ('sqlite:////var/lib/hub.db', 'postgresql://db.example/hub')
    """
    if not is_sqlite(url):
        return url
    path = sqlite_path(url)
    if path is None:
        raise StoreUnusable(
            f"{shown_url(url)!r} is in the memory of one process, and a hub has several; name a file (sqlite:///path), or test "
            "with durable_ray.testing.TestHub, which needs none"
        )
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")

"""URLs of stores: which database one means, and how one is shown in messages, logs and listings (without secrets).

A URL of a store may contain a password (of its user, or as a parameter), a URL of a gateway a key. Code that shows one, puts it
into an error or compares two of them uses `shown_url`. Between processes secrets travel by environment or by pipe, never by
arguments, which every user of the machine can read. Nothing heavy is imported: clients check a URL and open no database.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from durable_ray.actors.store.contract import StoreUnusable

#: After `scheme://user:` everything up to the last "@": a password may hold any character, written as it should be or not.
_PASSWORD = re.compile(r"(?<=://)([^/?#@:\s]*):.*@", re.DOTALL)
#: In a text that only resembles a URL nothing shows where the password begins.
_NO_URL = re.compile(r"^(?!.*://).*@", re.DOTALL)
#: Parameters of libpq, of our gateway and of what else may stand behind a question mark, and all that follows: an unescaped
#: "&" may be the secret's own. To hide too much does no harm.
_PARAMETER = re.compile(
    r"((?:^|[?&;\s])[\w%.-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|code|sig|credentials?)=).*",
    re.IGNORECASE | re.DOTALL,
)


def state_folder() -> Path:
    """Where this user's hubs and notes about running processes are kept on this machine."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "durable_ray"


def default_store(hub: str) -> str:
    """The default store of a hub: a SQLite file in the user's state folder."""
    return f"sqlite:///{state_folder() / hub}.db"


def shown_url(url: str) -> str:
    """A URL without passwords, keys and tokens.

    Example:
        >>> shown_url("postgresql://me:s3cret@db.example/hub?sslmode=require&password=s3cret")
        'postgresql://me:***@db.example/hub?sslmode=require&password=***'
    """
    return _PARAMETER.sub(r"\1***", _NO_URL.sub("***@", _PASSWORD.sub(r"\1:***@", url)))


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

"""The gateway's keys: made at the first start, kept where only their owner reads them, compared in constant time.

Digests are compared, so that neither the place of the first differing character nor the length of a key can be learnt
from how long a refusal takes. The secrets themselves are kept only because management URLs carry one.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from durable_ray.actors.store.urls import state_folder


class Access(enum.IntEnum):
    """What the bearer of a key may do."""

    NONE = 0
    #: The numbers at `/metrics`, which hold no payload and no instance ID.
    METRICS = 1
    READ = 2
    FULL = 3


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `from_ray`: it is the cluster's own token, which is honoured but never written into an URL."""

    name: str
    access: Access
    secret: str
    from_ray: bool = False

    def __repr__(self) -> str:
        return f"<Key {self.name!r} {self.access.name.lower()}>"


#: The key of a caller that is admitted without one (`GatewaySettings.open_rpc`).
OPEN_RPC = Key("open-rpc", Access.FULL, "")
#: The key of a probe of health, which brings none.
PROBE = Key("probe", Access.READ, "")


class Keyring:
    """The keys a gateway honours.

    Example:
        >>> ring = Keyring([Key("default", Access.FULL, "s3cret")])
        >>> ring.access("s3cret").name, ring.access("guess").name
        ('FULL', 'NONE')
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = [(hashlib.sha256(key.secret.encode()).digest(), key) for key in keys if key.secret]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._keys)}>"

    def find(self, presented: str) -> Key | None:
        """The key that was presented. Compares with all of them, whichever fits."""
        digest = hashlib.sha256(presented.encode(errors="surrogateescape")).digest()
        found: Key | None = None
        for known, key in self._keys:
            if hmac.compare_digest(known, digest):
                found = key
        return found

    def access(self, presented: str | None) -> Access:
        """What the bearer of `presented` may do."""
        key = self.find(presented) if presented else None
        return key.access if key else Access.NONE

    def all(self) -> list[Key]:
        """All keys, in order."""
        return [key for _, key in self._keys]

    def first(self, access: Access) -> Key | None:
        """The first of the gateway's own keys with this access."""
        return next((key for _, key in self._keys if key.access is access and not key.from_ray), None)

    def and_also(self, *keys: Key | None) -> Keyring:
        """A keyring with these keys too."""
        return Keyring([*(key for _, key in self._keys), *(key for key in keys if key is not None)])


def new_keyring() -> Keyring:
    """A full and a read-only key, kept nowhere."""
    return Keyring(_new_keys())


def given_keyring(full: str | None, read_only: str | None) -> Keyring:
    """The keys that the gateway's settings name."""
    return Keyring([Key("default", Access.FULL, full or ""), Key("read-only", Access.READ, read_only or "")])


def kept_keyring(path: Path) -> Keyring:
    """The keys kept at `path` (JSON, mode 0600); two are made and kept there if there is no such file.

    Raises:
        PermissionError: others may read the file; the message has the remedy.
        ValueError: the file is none of ours.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = [{"name": k.name, "access": k.access.name.lower(), "key": k.secret} for k in _new_keys()]
    # Written aside and linked: of two gateways that start at once the first wins, and half a file is never read.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"keys": keys}, file, indent=2)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read(path)


def keys_path(hub: str, store: str) -> Path | None:
    """Where the keys of a hub are kept: beside a SQLite file, else in the user's state directory; None in memory."""
    if store.startswith("sqlite"):
        file = store.partition("///")[2].partition("?")[0]
        return Path(f"{file}.keys.json") if file else None
    return state_folder() / f"{hub}.keys.json"


def ray_key() -> Key | None:
    """The cluster's own token as a key, if the cluster has one."""
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    if not token:
        path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
        try:
            token = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
    return Key("ray", Access.FULL, token.strip(), from_ray=True) if token.strip() else None


def _new_keys() -> list[Key]:
    return [
        Key("default", Access.FULL, secrets.token_urlsafe(32)),
        Key("read-only", Access.READ, secrets.token_urlsafe(32)),
    ]


def _read(path: Path) -> Keyring:
    mode = path.stat().st_mode
    if os.name == "posix" and mode & 0o077:
        raise PermissionError(f"others may read the keys in {path}: chmod 600 it, or delete it to get new ones")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["keys"]
        keys = [Key(str(k["name"]), Access[str(k["access"]).upper()], str(k["key"])) for k in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no file of keys ({error!r}): mend it, or delete it to get new ones") from error
    return Keyring(keys)

"""Continuation tokens: where a walk goes on, and of which query it is. Opaque to clients, checked when they come
back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from msgspec.structs import asdict

from durable_ray.actors.store.contract import InvalidToken
from durable_ray.actors.store.records import InstanceQuery


def _fingerprint(query: InstanceQuery) -> str:
    said = asdict(query) | {"payloads": "", "statuses": sorted(set(query.statuses)), "names": sorted(set(query.names))}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def make_token(created_at: int, instance_id: str, query: InstanceQuery) -> str:
    """The token that continues `query` after this instance."""
    said = json.dumps([created_at, instance_id, _fingerprint(query)], separators=(",", ":"))
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def read_token(token: str, query: InstanceQuery) -> tuple[int, str]:
    """Where `query` goes on: (created_at, instance_id) of the last one given out. Raises InvalidToken."""
    try:
        said = json.loads(base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)))
        created_at, instance_id, fingerprint = said
        if type(created_at) is not int or type(instance_id) is not str or abs(created_at) >= 1 << 63:
            raise ValueError("not what a token says")
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidToken("this is no continuation token; leave it out to begin with the first page") from error
    if fingerprint != _fingerprint(query):
        raise InvalidToken(
            "this continuation token belongs to another query; repeat the query it came from, or begin anew"
        )
    return created_at, instance_id

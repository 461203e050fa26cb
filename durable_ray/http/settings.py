"""What can be set for the gateway: arguments, then `DURABLE_RAY_HTTP_*`, then defaults safe on a shared machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from durable_ray.orchestrations.values.payloads import MAX_PAYLOAD_BYTES

#: A secret that callers show. Stripped, because files of secrets end with a line break.
Secret = Annotated[str, StringConstraints(strip_whitespace=True, min_length=16, pattern=r"^[!-~]+$")]


class GatewaySettings(BaseSettings):
    """Settings of the HTTP gateway.

    Example:
        >>> GatewaySettings(port=8080).port
        8080
    """

    # What was given is not shown in errors: it may be a key.
    model_config = SettingsConfigDict(
        env_prefix="DURABLE_RAY_HTTP_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    #: Address to bind. Beyond loopback only with a key.
    host: str = "127.0.0.1"
    port: int = Field(default=7071, ge=0, le=65535)
    #: Where the keys are kept; None: beside the hub's store (or in the user's state directory).
    keys_file: Path | None = None
    #: Keys from the environment instead of a file, as containers get their secrets: with full access, and read-only.
    key: Secret | None = Field(default=None, repr=False)
    read_only_key: Secret | None = Field(default=None, repr=False)
    #: A key that opens `/metrics` and nothing else, for Prometheus; the other keys open it, too.
    metrics_key: Secret | None = Field(default=None, repr=False)
    #: Names under which the gateway may be called, besides IP addresses, `localhost` and this machine's own name.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    #: Origins whose pages may call the gateway, besides its own: `https://ops.example`.
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    #: Let loopback callers use the RPC base (`/durabletask/`) without a key, as Azure's local host does.
    open_rpc: bool = False
    #: Largest request body in bytes.
    max_body_bytes: PositiveInt = MAX_PAYLOAD_BYTES
    #: Longest time in seconds that one request may wait for an instance.
    max_wait: PositiveFloat = 600.0
    #: Instances that a list without `top` reads at a time: it answers all that match, as a stream.
    page_size: PositiveInt = 100
    #: Seconds between two polls for changes while a stream is open; without streams there is no polling.
    stream_interval: PositiveFloat = 0.5
    #: Seconds after which an idle stream sends a heartbeat.
    stream_heartbeat: PositiveFloat = 15.0
    #: Streams that one key may follow at once.
    max_streams: PositiveInt = 100
    #: Requests of one key that may wait for an instance at once.
    max_waits: PositiveInt = 1000
    #: Connections at once. A new one takes the place of the one that has been silent for longest; where none is silent it is
    #: answered 503.
    max_connections: PositiveInt = 4096
    #: Seconds within which a connection must have sent the header of a request.
    header_timeout: PositiveFloat = 10.0
    #: Seconds without a byte of a body, or of an answer that is taken, after which a connection is closed.
    transfer_timeout: PositiveFloat = 30.0
    #: Seconds a request may still run after the gateway was asked to stop.
    grace: NonNegativeFloat = 10.0

    @field_validator("allowed_origins")
    @classmethod
    def _normalized(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """Origins as browsers send them: in lower case, without a path and without the port that goes without saying."""
        return tuple(_origin(origin) for origin in origins)

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> Self:
        """Where the keys come from is said once, and each key means one access."""
        if self.keys_file is not None and (self.key or self.read_only_key):
            raise ValueError("the keys come from keys_file, or from key and read_only_key: leave one of them out")
        if self.metrics_key is not None and self.metrics_key in (self.key, self.read_only_key):
            raise ValueError("metrics_key is one of the other keys: Prometheus would have the access of that one")
        if self.key is not None and self.key == self.read_only_key:
            raise ValueError(
                "key and read_only_key are the same: callers of the one would have the access of the other"
            )
        return self

    @field_validator("allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _from_commas(cls, value: object) -> object:
        """Lists from the environment are separated by commas."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _origin(origin: str) -> str:
    parts = urlsplit(origin.strip())
    path_is_root = parts.path in ("", "/") and not parts.query and not parts.fragment
    try:
        port = parts.port
    except ValueError:
        port = -1
    if (
        parts.scheme not in _PORTS
        or not parts.hostname
        or not path_is_root
        or parts.username
        or port == -1
        or "*" in origin
    ):
        raise ValueError(
            f"{origin!r} is no origin: write https://ops.example or http://localhost:3000, each by name (there is no *)"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


_PORTS = {"http": 80, "https": 443}

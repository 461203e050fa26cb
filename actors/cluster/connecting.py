"""Connecting to a hub: join or start Ray, get or create the registry, check that both sides run the same release.

Order: the cluster this process is in, the address given (argument or environment), the one running on this machine, a new
local Ray. A store has one owner: a registry whose store is owned by another cluster raises HubInUse, with its address.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.util import get_node_ip_address

from durable_ray.actors import errors
from durable_ray.actors.api import ActorApi
from durable_ray.actors.cluster.addresses import is_same_cluster
from durable_ray.actors.cluster.handles import REGISTRY, Gone, Unavailable, find, remote, system_namespace, translated
from durable_ray.actors.cluster.older_ray import ray_has_tokens, session_name
from durable_ray.actors.cluster.ray_actors.actor_classes import classes, registry_class
from durable_ray.actors.cluster.ray_hub import HubInfo
from durable_ray.actors.cluster.registry_apart import make_registry_apart
from durable_ray.actors.messages import PROTOCOL, Hello
from durable_ray.actors.store.hub_config import HubConfig
from durable_ray.actors.store.urls import default_store, for_a_hub, shown_url

log = logging.getLogger("durable_ray")

_HELLO_SECONDS = 90.0
_PROBE_SECONDS = 10.0


class HubLink:
    """A connection to one hub over Ray."""

    def __init__(self, info: HubInfo, hello: Hello, started_ray: bool) -> None:
        self.info = info
        self.hello = hello
        #: Whether this process started the cluster, which then ends with it.
        self.started_ray = started_ray

    @property
    def address(self) -> str:
        """Of the Ray cluster."""
        return str(ray.get_runtime_context().gcs_address)

    def find(self, target: str) -> Any:
        """The handle of the registry or of a host. Raises Gone."""
        return find(self.info.hub, target)

    def get(self, ref: Any, seconds: float) -> Any:
        """The result of a call."""
        return ray.get(ref, timeout=seconds)

    def here(self, ref: Any) -> bool:
        """Whether the result of a call is available."""
        return bool(ray.wait([ref], timeout=0)[0])

    def recreate_registry(self) -> None:
        """Create the registry if it is gone (not merely restarting). The next call raises what keeps it from opening."""
        try:
            find(self.info.hub, REGISTRY)
        except Gone:
            try:
                _make(self.info, known=True)
            except Exception as error:
                log.warning("the registry is gone and cannot be created now: %s", error)  # the caller retries

    def runtime_env(self) -> dict[str, Any]:
        """The runtime environment of this job."""
        return dict(ray.get_runtime_context().runtime_env or {})


def connect(address: str | None, hub: str, store: str | None, settings: HubConfig) -> HubLink:
    """Connect to the hub; it is started if it does not run.

    Raises:
        HubInUse: another cluster owns the store.
        StoreUnusable: it cannot be used; the message says why.
        HubUnavailable: the cluster cannot be reached; the message names likely causes.
        ProtocolMismatch: the hub runs another release.
    """
    started = join_ray(address)
    asked = for_a_hub(store) if store else None
    info = HubInfo(hub, asked or for_a_hub(default_store(hub)), settings)
    hello = ensure_registry(info)
    if hello.protocol != PROTOCOL:
        raise errors.ProtocolMismatch(
            f"the hub {hub!r} speaks protocol {hello.protocol}, this client {PROTOCOL}: install the same release of "
            "durable-ray in both, then `durable-ray down` and `durable-ray up` (instances go on where they stopped)"
        )
    # Without secrets on both sides: a password that was changed since is the same store.
    if asked is not None and shown_url(hello.store) != shown_url(asked):
        raise errors.DurableRayError(
            f"the hub {hub!r} is running on the store {shown_url(hello.store)}, not on {shown_url(asked)}; leave store= "
            "out, or name another hub="
        )
    return HubLink(HubInfo(hub, hello.store, settings), hello, started)


def join_ray(address: str | None) -> bool:
    """Join a cluster, or start one; whether it was started.

    Raises HubUnavailable if the one at `address` cannot be reached, or this process is in another.
    """
    if ray.is_initialized():
        if address:
            _assert_same_cluster(address)
        return False
    quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address:
        _assert_listening(address)
        _use_token()
        try:
            ray.init(address=address, **quiet)
        except ConnectionError as error:
            raise errors.HubUnavailable(_unreachable(address)) from error
        return False
    try:
        ray.init(address="auto", **quiet)
        return False
    except ConnectionError:
        if sys.stderr.isatty():
            print("durable_ray: no Ray runs here; starting one for this process takes 10 to 15 s", file=sys.stderr)
        ray.init(include_dashboard=False, **quiet)
        log.warning(
            "durable_ray started a local Ray for this process: instances pause when it ends, and go on at the next "
            "Client on this store. For a cluster that stays: `durable-ray up` (or `ray start --head`)."
        )
        return True


def _assert_same_cluster(address: str) -> None:
    joined = ray.get_runtime_context().gcs_address
    if not is_same_cluster(address, joined, get_node_ip_address()):
        raise errors.HubUnavailable(
            f"this process is in the Ray cluster at {joined}, so it cannot reach a hub in the one at {address}. Leave "
            "address= (and DURABLE_RAY_ADDRESS) out to use the cluster it is in; or call ray.shutdown() first, or use "
            "another process"
        )


def _assert_listening(address: str) -> None:
    """Raises HubUnavailable where nothing listens: Ray would try for minutes, with warnings of its native code."""
    host, colon, port = address.rpartition(":")
    if not colon or "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise errors.HubUnavailable(
            f"nothing listens at {address} ({error}). Is that the address of the cluster (`ray status --address "
            f"{address}` on its head)? `durable-ray up` starts one on this machine"
        ) from error


def _use_token() -> None:
    """Set Ray's token mode if there is a token: given an address, Ray does not search for one, and fails without a reason."""
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not ray_has_tokens():
        return
    if "RAY_AUTH_MODE" not in os.environ and (token or (Path.home() / ".ray" / "auth_token").exists()):
        os.environ["RAY_AUTH_MODE"] = "token"
        # Ray read its settings when it was imported; without this it would connect as if there were no token.
        ray._raylet.Config.initialize("")


def _unreachable(address: str) -> str:
    mode = os.environ.get("RAY_AUTH_MODE", "not set")
    return (
        f"no Ray cluster answered at {address}. Is it running there (`ray status --address {address}`)? Does the token fit "
        f"(RAY_AUTH_MODE is {mode}; the token comes from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token)?"
    )


def ensure_registry(info: HubInfo) -> Hello:
    """The registry's `hello`; it is created if there is none."""
    try:
        return _hello(find(info.hub, REGISTRY))
    except Gone:
        pass
    _make(info)
    try:
        return _hello(find(info.hub, REGISTRY))
    except Gone as gone:
        raise errors.HubUnavailable(f"the registry could not be started: {gone}") from gone


def _make(info: HubInfo, known: bool = False) -> None:
    """Create the registry. `known`: the hub was open in this cluster before."""
    if ray.get_runtime_context().runtime_env:
        make_registry_apart(info, known)
    else:
        make_registry(info, known)


def make_registry(info: HubInfo, known: bool = False) -> None:
    """Create the registry's actor, as this job."""
    context = ray.get_runtime_context()
    registry_class().options(
        name=REGISTRY,
        namespace=system_namespace(info.hub),
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        num_cpus=0,
        resources=info.pin,
    ).remote(info, classes(), context.gcs_address, session_name(), known)


def make_known_registry(info: HubInfo) -> None:
    """Create the registry of a hub that was open before; returns once it has a process, which may still be opening."""
    make_registry(info, known=True)
    ray.get(remote(find(info.hub, REGISTRY), ActorApi.pid), timeout=_HELLO_SECONDS)


def _hello(handle: Any) -> Hello:
    try:
        hello: Hello = ray.get(remote(handle, ActorApi.hello), timeout=_HELLO_SECONDS)
        return hello
    except GetTimeoutError as error:
        raise errors.HubUnavailable(
            f"the registry did not answer within {_HELLO_SECONDS:.0f} s. With SQLite it runs on the head node: is that up, "
            "and is durable-ray installed there?"
        ) from error
    except Exception as error:
        meaning = translated(error)
        if isinstance(meaning, Unavailable):
            raise errors.HubUnavailable(str(meaning)) from error
        raise meaning from None

"""Serving the gateway: one uvicorn on one socket, in the foreground or inside an actor, which announces its address.

uvicorn's own access log is off: it writes whole URLs, and a URL may carry a key. `security` writes one that does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import signal
import socket
from collections.abc import Callable

import uvicorn

from durable_ray.actors.errors import DurableRayError
from durable_ray.actors.instances import instance_log
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.wire.management_urls import GatewayAddress
from durable_ray.client.client import AsyncClient
from durable_ray.http.app import create_app, keyring_of
from durable_ray.http.connections import Connections
from durable_ray.http.keys import Access, Keyring
from durable_ray.http.security import is_loopback
from durable_ray.http.settings import GatewaySettings

log = logging.getLogger("durable_ray.http")

#: Seconds between two announcements of the gateway's address to the registry, which keeps it in memory only.
_ANNOUNCE = 15.0
_BACKLOG = 2048
_FILES = 65_536


class _Server(uvicorn.Server):
    """Leaves signals to the process: uvicorn would raise them again, before our shutdown is complete."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


class Gateway:
    """A hub's gateway, listening. Belongs to the event loop on which it is started."""

    def __init__(self, client: AsyncClient, settings: GatewaySettings, keyring: Keyring | None = None) -> None:
        self._client = client
        self._settings = settings
        self.keyring = keyring_of(client, settings) if keyring is None else keyring
        self.url = ""
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._announcing: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Bind and listen; answers the base URL.

        Raises:
            DurableRayError: the address cannot be bound, or is not this machine's own and there is no key.
        """
        instance_log.show()
        bound = bind(self._settings, self.keyring)
        self.url = url_of(bound, self._settings.host)
        app = create_app(self._client, self._settings, self.keyring)
        config = uvicorn.Config(
            app,
            http=Connections(self._settings),  # type: ignore[arg-type]
            access_log=False,
            log_config=None,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            ws="none",
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(self._settings.grace)),
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.005)
        self._announcing = asyncio.create_task(self._announce())
        return self.url

    async def wait(self) -> None:
        """Until it is stopped, by `stop` or by a signal."""
        try:
            if self._serving is not None:
                await self._serving
        finally:
            await self._withdraw()

    def ask_to_stop(self) -> None:
        """Make `wait` return soon; asked a second time, at once."""
        if self._server is not None:
            self._server.force_exit = self._server.should_exit
            self._server.should_exit = True

    async def stop(self) -> None:
        """Let requests under way end (at most for the grace time), then stop listening."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
        await self._withdraw()

    async def _announce(self) -> None:
        while True:
            try:
                await self._set_address(self._address())
            except Exception:
                log.warning("the gateway's address could not be registered; it is tried again", exc_info=True)
            await asyncio.sleep(_ANNOUNCE)

    async def _withdraw(self) -> None:
        announcing, self._announcing = self._announcing, None
        if announcing is not None:
            announcing.cancel()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._set_address(None), 2)

    async def _set_address(self, address: GatewayAddress | None) -> None:
        await self._client._driver.run(self._client._router.registry_within(_ANNOUNCE, Registry.set_gateway, address))

    def _address(self) -> GatewayAddress:
        key = self.keyring.first(Access.FULL)
        return GatewayAddress(self.url, key.secret if key else "", self._client.hub)


def serve(
    client: AsyncClient, settings: GatewaySettings | None = None, ready: Callable[[Gateway], None] | None = None
) -> None:
    """Serve the gateway in the foreground, until SIGINT or SIGTERM.

    Args:
        ready: called once it listens.

    Raises:
        DurableRayError: the address cannot be bound, or is not this machine's own and there is no key.

    Example:
        >>> serve(AsyncClient(), GatewaySettings(port=8080))  # doctest: +SKIP
    """

    async def run() -> None:
        gateway = Gateway(client, settings or GatewaySettings())
        await gateway.start()
        loop = asyncio.get_running_loop()
        for by in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(by, gateway.ask_to_stop)
        if ready is not None:
            ready(gateway)
        await gateway.wait()

    allow_many_connections()
    asyncio.run(run())


def allow_many_connections() -> None:
    """Raise this process's limit of open files to what it may be: each waiting client holds a socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bind(settings: GatewaySettings, keyring: Keyring) -> socket.socket:
    """The listening socket.

    Raises:
        DurableRayError: as `Gateway.start`.
    """
    host, port = settings.host, settings.port
    if not keyring and not is_loopback(host):
        raise DurableRayError(f"the gateway has no key, so it listens on loopback only, not on {host}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio turns off Nagle's delay only where the protocol is named; without that each answer takes 40 ms longer.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise DurableRayError(f"there is no address {host!r} to listen on ({error})") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by each connection: one whose other end is gone is noticed.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise DurableRayError(
                f"port {port} of {host} is in use, perhaps by another gateway: choose another port, or 0 for any"
            ) from error
        raise DurableRayError(f"cannot listen on {host}:{port}: {error}") from error
    bound.setblocking(False)
    return bound


def url_of(bound: socket.socket, host: str) -> str:
    """The URL under which a socket is reached; a wildcard address is named after this machine."""
    port = bound.getsockname()[1]
    name = socket.gethostname() if host in ("", "0.0.0.0", "::") else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

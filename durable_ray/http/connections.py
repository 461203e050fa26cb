"""Connections that cost little however many there are: deadlines for reading and writing, and a limit.

uvicorn closes a connection that is idle after an answer. It waits for ever for a first request, for the rest of a header or a
body, and for a client that takes nothing of its answer; all of that needs no key.

- A header has to be whole `header_timeout` seconds after the connection, or after the header's first byte.
- A body (and an answer, on the client's side) may not stand still for `transfer_timeout` seconds; and a body has to come at
  `_SLOWEST` at least, or a byte now and then would hold a connection for hours.
- Beyond `max_connections` a new connection takes the place of the one that has been without a request for longest. Where all
  are at work it is answered 503.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from durable_ray.http.answers import problem, written
from durable_ray.http.settings import GatewaySettings

#: Bytes a second below which a body is too slow.
_SLOWEST = 4096
#: File descriptors for everything else.
_OTHER_FILES = 128
#: Connections beyond the limit that are answered 503; those beyond these are closed without an answer.
_REFUSED_AT_ONCE = 64


class Connections:
    """Those of a gateway: how many there may be, and which of them have no request under way, longest first."""

    def __init__(self, settings: GatewaySettings) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = settings.max_connections
        self.most = most if soft == resource.RLIM_INFINITY else max(1, min(most, soft - _OTHER_FILES))
        self.header_timeout = settings.header_timeout
        self.transfer_timeout = settings.transfer_timeout
        self.idle: dict[ClientConnection, None] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> asyncio.Protocol:
        """A new connection: what uvicorn takes as its protocol."""
        return ClientConnection(self, *args, **kwargs)


class ClientConnection(H11Protocol):
    """uvicorn's, with deadlines."""

    def __init__(self, all_of_them: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all = all_of_them
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        #: What is waited for: "header", "body", or "" for nothing.
        self._awaited = ""
        self._body_began = 0.0
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One more; perhaps one too many."""
        super().connection_made(transport)
        if len(self.connections) > self._all.most:
            oldest = next(iter(self._all.idle), None)
            if oldest is not None:
                oldest.drop()
            elif len(self.connections) > self._all.most + _REFUSED_AT_ONCE:
                transport.abort()
                return
            else:
                self.app = self._too_many
        self._all.idle[self] = None
        self._await("header")

    def connection_lost(self, exc: Exception | None) -> None:
        """One less."""
        self._await("")
        self._all.idle.pop(self, None)
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a header or of a body."""
        self._body_bytes += len(data)
        super().data_received(data)
        self._set_deadline()

    def on_response_complete(self) -> None:
        """An answer is out; what follows may be here already."""
        super().on_response_complete()
        self._set_deadline()

    def pause_writing(self) -> None:
        """The client takes nothing for the moment."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self._all.transfer_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """It takes something again."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def drop(self) -> None:
        """Close a connection without a request, for another one's sake."""
        self._all.idle.pop(self, None)
        self.connections.discard(self)
        self.transport.abort()

    @property
    def _request(self) -> RequestResponseCycle | None:
        """The latest request; uvicorn's types leave out that there may be none yet."""
        return self.cycle

    @property
    def _at_work(self) -> bool:
        request = self._request
        return request is not None and not request.response_complete

    def _set_deadline(self) -> None:
        """Set the deadline for what is awaited now."""
        theirs = self.conn.their_state
        if theirs is h11.IDLE and not self._at_work:
            self._all.idle.setdefault(self, None)
        else:
            self._all.idle.pop(self, None)
        if theirs is h11.SEND_BODY:
            self._await("body")
        elif theirs is h11.IDLE and (self._request is None or self.conn.trailing_data[0]):
            self._await("header")
        else:
            self._await("")

    def _await(self, what: str) -> None:
        if what == self._awaited and what != "body":
            return
        if what != self._awaited and what == "body":
            self._body_began, self._body_bytes = self.loop.time(), 0
        self._awaited = what
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if what == "header":
            self._deadline = self.loop.call_later(self._all.header_timeout, self._late)
        elif what == "body":
            stands_still = self.loop.time() + self._all.transfer_timeout
            too_slow = self._body_began + self._all.transfer_timeout + self._body_bytes / _SLOWEST
            self._deadline = self.loop.call_at(min(stands_still, too_slow), self._late)

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._awaited == "body" and self.flow.read_paused:
            # It is we who do not read.
            self._body_began, self._body_bytes = self.loop.time(), 0
            self._await("body")
            return
        began_request = self._awaited == "body" or bool(self.conn.trailing_data[0])
        if began_request and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer_408(self._awaited)
        if self._at_work:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _answer_408(self, what: str) -> None:
        detail = f"the {what} of the request did not come in time"
        body = {"type": "about:blank", "title": "Request Timeout", "status": 408, "detail": detail, "Message": detail}
        content = written(body)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
        ]
        response = h11.Response(status_code=408, headers=headers, reason=b"Request Timeout")
        for event in (response, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    async def _too_many(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"this gateway serves {self._all.most} connections at once, and all of them are at work: try again"
        headers = {"Retry-After": "5", "Connection": "close"}
        await problem(503, "Too many connections", detail, headers)(scope, receive, send)

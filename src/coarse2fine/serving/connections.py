"""Limits on connections, and on the time that a client may take; uvicorn itself has neither."""

import asyncio
import socket
import sys
from dataclasses import dataclass
from typing import Any

import h11
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from coarse2fine.config import ServeConfig
from coarse2fine.errors import ConfigError
from coarse2fine.serving.errors import error_response
from coarse2fine.serving.uploads import CLOSE_CONNECTION, discard_body

HEADER_TIMEOUT_S = 10.0

_REJECTION_TIMEOUT_S = 1.0
"""Timeout of the headers on a connection beyond the limit."""

_OWN_DESCRIPTORS = 64
"""Descriptors for everything but connections: a worker of ``serve`` has about 20 files and pipes open."""

_WANTED_DESCRIPTORS = 8192

_MIN_CONNECTIONS = 16
_MAX_DISCARDED_BYTES = 1 << 25

_SEND_BUFFER_BYTES = 1 << 17
"""Unread bytes of a response that the system keeps; without a limit, Linux keeps up to 4 MB for each connection."""


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of one process.

    Attributes:
        connections: Connections that are served at the same time. The next ``backlog`` connections get status 503, and
            those beyond them are closed at once.
        backlog: Connections that the event loop accepts in one step.
        response_s: Time in seconds in which a client must have read a response.
    """

    connections: int
    backlog: int
    response_s: float


def limit_connections(config: ServeConfig, descriptors: int | None = None) -> ConnectionLimits:
    """Choose limits that leave the process enough file descriptors.

    Without free descriptors, the event loop can accept no connection, and logs thousands of lines per second about it.
    Before it has closed a connection beyond the limit, it may accept three times ``backlog`` further ones.
    ``backlog`` is also the length of the queue in the system; if it is full, clients wait for a second or longer.

    Args:
        config: ``connections`` is the number that the user wants; with few descriptors the limit is lower.
        descriptors: Limit of the process on open files; None: raise it as far as the system allows.

    Raises:
        ConfigError: The process may open too few files.
    """
    descriptors = descriptors or _raise_descriptor_limit()
    backlog = max(4, min(512, descriptors // 16))
    connections = min(config.connections, descriptors - _OWN_DESCRIPTORS - 4 * backlog)
    if connections < min(config.connections, _MIN_CONNECTIONS):
        raise ConfigError(
            f"The server needs a limit of at least 128 open files, but the limit of this process is {descriptors}; "
            "raise it with 'ulimit -n 1024'."
        )
    return ConnectionLimits(connections, backlog, config.response_seconds)


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP protocol with limits on connections and time.

    - The headers of each request must arrive within `HEADER_TIMEOUT_S`. This timeout starts with the connection, and
      again with the first byte after a response.
    - A response must be read within the time in the limits. This timeout starts when the buffers of the system are
      full, and ends when they have taken the rest of the response.
    - Connections beyond the limit get status 503 or are closed.

    Args:
        limits: The limits.
        arguments: Arguments of uvicorn.
    """

    def __init__(self, *, limits: ConnectionLimits, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits, self._header_timeout_s = limits, HEADER_TIMEOUT_S
        self._header_timer: asyncio.TimerHandle | None = None
        self._response_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first request, or reject the connection."""
        super().connection_made(transport)
        excess = len(self.connections) - self._limits.connections
        if excess > self._limits.backlog:
            transport.abort()
            return
        if excess > 0:
            self.app, self._header_timeout_s = _reject, min(_REJECTION_TIMEOUT_S, HEADER_TIMEOUT_S)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        transport.set_write_buffer_limits(high=0)  # so that pause_writing is called as soon as anything is unread
        self._start_header_timer()

    def data_received(self, data: bytes) -> None:
        """Stop the timeout if a request is complete; start it if the next request has begun."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_header_timer()
        elif self._header_timer is None:
            self._start_header_timer()

    def send_400_response(self, msg: str) -> None:
        """Respond to a malformed request, such as one with malformed chunks, if its response has not started.

        uvicorn would also let the application respond, and raise an error if a response has started.
        """
        if self.cycle is not None:
            self.cycle.disconnected = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """Start the timeout of the response: the client does not read it as fast as it is written."""
        super().pause_writing()
        if self._response_timer is None:
            self._response_timer = self.loop.call_later(self._limits.response_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timeout of the response."""
        self._stop_response_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timeouts."""
        self._stop_header_timer()
        self._stop_response_timer()
        super().connection_lost(exc)

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(self._header_timeout_s, self.transport.abort)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_response_timer(self) -> None:
        if self._response_timer is not None:
            self._response_timer.cancel()
            self._response_timer = None


async def _reject(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to a request on a connection beyond the limit."""
    await discard_body(Request(scope, receive), _MAX_DISCARDED_BYTES)
    headers = {"Retry-After": "1"} | CLOSE_CONNECTION
    await error_response(503, "Too many connections; try again in a second.", headers)(scope, receive, send)


def _raise_descriptor_limit() -> int:
    """Raise the limit of this process on open files to `_WANTED_DESCRIPTORS`, if the system allows it; return it."""
    if sys.platform == "win32":
        return _WANTED_DESCRIPTORS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [_WANTED_DESCRIPTORS if limit == resource.RLIM_INFINITY else limit for limit in (soft, hard)]
    raised = max(limits[0], min(_WANTED_DESCRIPTORS, limits[1]))
    if raised > limits[0]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest
import uvicorn

from coarse2fine.config import ServeConfig
from coarse2fine.errors import ConfigError
from coarse2fine.serving import connections, uploads
from coarse2fine.serving.connections import ConnectionLimits, LimitedProtocol, limit_connections

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 50_000_000


@pytest.mark.parametrize(
    "wanted, descriptors, connections, backlog",
    [(1000, 256, 128, 16), (1000, 1024, 704, 64), (1000, 1 << 20, 1000, 512), (5, 128, 5, 8), (1000, 128, 32, 8)],
)
def test_limit_connections__leaves_descriptors_for_files(wanted, descriptors, connections, backlog):
    limits = limit_connections(ServeConfig(connections=wanted), descriptors)
    assert (limits.connections, limits.backlog) == (connections, backlog)


def test_limit_connections__too_few_descriptors():
    with pytest.raises(ConfigError, match="at least 128 open files, but the limit of this process is 96"):
        limit_connections(ServeConfig(), 96)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_limit_connections__raises_the_limit_of_the_process_as_far_as_allowed():
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        limits = limit_connections(ServeConfig(connections=10_000))
        raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert raised == min(8192, before[1])
    assert limits == limit_connections(ServeConfig(connections=10_000), raised)


class RecordedProtocol(LimitedProtocol):
    """Keeps the protocol of the last connection, and reports when its timer starts."""

    last: "RecordedProtocol"
    timer_started = threading.Event()

    def _start_header_timer(self) -> None:
        super()._start_header_timer()
        RecordedProtocol.last = self
        self.timer_started.set()


@contextmanager
def running(response_s: float = 600, connections: int = 100, backlog: int = 100):
    """Run uvicorn with the protocol in a thread; yield its port."""

    async def app(scope, receive, send):
        body = bytes(LARGE) if scope["path"] == "/large" else b"ok"
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    http = partial(RecordedProtocol, limits=ConnectionLimits(connections, backlog, response_s))
    config = uvicorn.Config(app, port=0, http=http, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server.server_state
    finally:
        server.should_exit = True
        thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connect(port: int, timeout: float = 60) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    content = bytearray()
    with suppress(ConnectionResetError):
        while chunk := client.recv(1 << 16):
            content += chunk
    return bytes(content)


@pytest.mark.parametrize("path, status", [(b"/", 400), (b"/", 200), (b"/large", 200)])
def test_malformed_chunks__close_the_connection_without_a_traceback(path, status, caplog):
    """The response has not started, is complete, or is being sent."""
    head, chunk = b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path, b"zz\r\n"
    with running() as (port, state), connect(port) as client:
        logging.getLogger("uvicorn.error").addHandler(caplog.handler)
        if status == 400:
            client.sendall(head + chunk)
            response = read_all(client)
        else:
            client.sendall(head)
            response = client.recv(1000)
            client.sendall(chunk)
            response += read_all(client)
        wait_until(lambda: not state.connections and not state.tasks)
        logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
    assert response.startswith(b"HTTP/1.1 %d" % status) and response.count(b"HTTP/1.1 ") == 1
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("read_bytes", [0, 1000])
def test_response_timeout__closes_a_connection_that_reads_nothing_or_little(read_bytes):
    with running(response_s=0.3) as (port, state), connect(port) as client:
        began = time.monotonic()
        client.sendall(REQUEST.replace(b"/ ", b"/large "))
        wait_until(lambda: len(state.connections) == 1)
        while state.connections:
            assert time.monotonic() - began < 60
            if read_bytes:
                assert client.recv(read_bytes)
            time.sleep(0.01)
        assert time.monotonic() - began >= 0.3


def test_response_timeout__does_not_affect_a_client_that_reads():
    with running(response_s=30) as (port, _), connect(port) as client:
        for _ in range(2):
            client.sendall(REQUEST.replace(b"/ ", b"/large "))
            count = 0
            while count < LARGE:
                chunk = client.recv(1 << 20)
                assert chunk
                count += len(chunk)
        wait_until(lambda: RecordedProtocol.last._response_timer is None)


def test_connections__beyond_the_limit_get_503_or_are_closed(monkeypatch):
    monkeypatch.setattr(uploads, "_DRAIN_SECONDS", 0.01)
    with running(connections=2, backlog=1) as (port, state), ExitStack() as opened:
        for _ in range(2):
            opened.enter_context(connect(port))
        wait_until(lambda: len(state.connections) == 2)
        with connect(port) as third:
            wait_until(lambda: len(state.connections) == 3)
            with connect(port) as fourth:
                assert read_all(fourth) == b""
            third.sendall(REQUEST)
            head, _, body = read_all(third).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in head.lower()
        assert json.loads(body) == {"error": "Too many connections; try again in a second."}
        wait_until(lambda: len(state.connections) == 2)
        opened.close()
        wait_until(lambda: not state.connections)
        with connect(port) as client:
            client.sendall(REQUEST)
            assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_header_timeout__closes_a_connection_without_a_complete_head(start, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", 0.2)
    began = time.monotonic()
    with running() as (port, _), connect(port, timeout=0.02) as client:
        client.sendall(start)
        is_open = True
        while is_open:
            assert time.monotonic() - began < 60
            try:
                is_open = client.recv(100) != b""
            except TimeoutError:
                client.sendall(b"x" if start else b"")  # single bytes do not extend the timeout
            except (ConnectionResetError, BrokenPipeError):
                is_open = False
    assert time.monotonic() - began >= 0.2


def test_header_timeout__each_request_of_a_connection_has_its_own(monkeypatch):
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", 600)
    with running() as (port, _), connect(port) as client:
        for number in range(3):
            RecordedProtocol.timer_started.clear()
            client.sendall(REQUEST[:8])
            assert number == 0 or RecordedProtocol.timer_started.wait(60)  # the first one starts with the connection
            client.sendall(REQUEST[8:])
            response = b""
            while not response.endswith(b"\r\n\r\nok"):
                response += client.recv(1000)
            assert RecordedProtocol.last._header_timer is None  # an idle connection is not closed

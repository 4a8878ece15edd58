import http.client
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from coarse2fine.cli import main
from coarse2fine.serving import timeouts
from coarse2fine.serving.timeouts import HeaderTimeoutProtocol

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def encode_png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG")
    return content.getvalue()


@contextmanager
def served(model, *options):
    """Run the service in a process of its own; yield its URL and the process."""
    port = free_port()
    command = [sys.executable, "-m", "coarse2fine", "serve", model, "--port", port, "--threads", 1, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True, env=environment)
    try:
        deadline = time.monotonic() + 90
        while True:
            assert process.poll() is None and time.monotonic() < deadline
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def stop(process: subprocess.Popen) -> str:
    process.send_signal(signal.SIGTERM)
    _, output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def test_serve__segments_rejects_and_stops(small_onnx, small_segmenter, clouds):
    options = ("--upload-seconds", "3", "--max-mb", "0.5")
    with served(small_onnx, *options) as (url, process), httpx.Client(base_url=url, timeout=60) as client:
        for image in clouds[:2]:
            response = client.post("/segment", content=encode_png(image))
            mask = np.asarray(Image.open(io.BytesIO(response.content)))
            assert (mask == small_segmenter.predict(image)).all()
        with ThreadPoolExecutor(8) as pool:
            photos = [encode_png(clouds[0])] * 16
            responses = list(pool.map(lambda photo: httpx.post(f"{url}/segment", content=photo, timeout=60), photos))
        assert {response.status_code for response in responses} == {200} and len(
            {one.content for one in responses}
        ) == 1

        assert send_text(url, complete=False) == 408
        assert send_text(url, complete=True) == 415
        assert 500_000 < send_endlessly(url) < 20_000_000
        assert client.get("/health").json()["status"] == "ok"
        assert 'route="/segment",status="408"} 1.0' in client.get("/metrics").text
        assert stop(process) == ""


def open_upload(url: str) -> http.client.HTTPConnection:
    """Start an upload in chunks."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/segment")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    return connection


def send_text(url: str, complete: bool) -> int:
    """Upload a text in chunks, with or without the end of the body; return the status."""
    connection = open_upload(url)
    connection.send(b"4\r\ntext\r\n")
    if complete:
        connection.send(b"0\r\n\r\n")
    return connection.getresponse().status


def send_endlessly(url: str) -> int:
    """Send until the server closes the connection; return the number of bytes sent."""
    connection, sent = open_upload(url), 0
    connection.sock.settimeout(3)
    with suppress(OSError):
        while sent < 100_000_000:
            connection.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536
    return sent


def test_serve__finishes_open_requests_after_sigterm(small_onnx, clouds):
    """One photo waits for a second one to fill its batch; the second upload ends after the signal."""
    photo = encode_png(clouds[0])
    options = ("--device", "cpu", "--wait-ms", "600000", "--batch", "2")
    with served(small_onnx, *options) as (url, process), ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, f"{url}/segment", content=photo, timeout=60)
        second = start_upload(url, len(photo))
        wait_until(lambda: "coarse2fine_photos_in_progress 1.0" in httpx.get(f"{url}/metrics").text)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_listening(url))
        second.sendall(photo)
        assert second.recv(100).startswith(b"HTTP/1.1 200")
        assert first.result().status_code == 200
        stop(process)


def start_upload(url: str, size: int) -> socket.socket:
    """Send the headers of a request, and wait until the server asks for the body."""
    client = socket.create_connection(address_of(url), timeout=60)
    client.sendall(b"POST /segment HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % size)
    assert client.recv(100).startswith(b"HTTP/1.1 100")
    return client


def address_of(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


def is_listening(url: str) -> bool:
    try:
        socket.create_connection(address_of(url), timeout=60).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="the test finds worker processes in /proc, which only Linux has"
)
def test_serve__several_workers_share_metrics_and_restart(small_onnx, clouds):
    with served(small_onnx, "--workers", "2") as (url, process):
        for _ in range(6):  # one connection each, so that any worker may accept it
            assert httpx.post(f"{url}/segment", content=encode_png(clouds[0]), timeout=60).status_code == 200
        metrics = httpx.get(f"{url}/metrics").text
        assert re.search(r'coarse2fine_requests_total\{route="/segment",status="200"\} 6.0', metrics)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [int(pid) for pid in children if "spawn_main" in command_of(int(pid))]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(4):
            assert httpx.get(f"{url}/health", timeout=60).status_code == 200
        stop(process)


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


class RecordedProtocol(HeaderTimeoutProtocol):
    """Keeps the protocol of the last connection, and reports when its timer starts."""

    last: "RecordedProtocol"
    timer_started = threading.Event()

    def _start_timer(self) -> None:
        super()._start_timer()
        RecordedProtocol.last = self
        self.timer_started.set()


@pytest.fixture(scope="module")
def header_timeout_port():
    """uvicorn with the protocol, in a thread."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, http=RecordedProtocol, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield port
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_header_timeout__closes_a_connection_without_a_complete_head(header_timeout_port, start, monkeypatch):
    monkeypatch.setattr(timeouts, "HEADER_TIMEOUT_S", 0.2)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", header_timeout_port), timeout=0.02) as client:
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


def test_header_timeout__each_request_of_a_connection_has_its_own(header_timeout_port, monkeypatch):
    monkeypatch.setattr(timeouts, "HEADER_TIMEOUT_S", 600)
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", header_timeout_port), timeout=60) as client:
        for number in range(3):
            RecordedProtocol.timer_started.clear()
            client.sendall(request[:8])
            assert number == 0 or RecordedProtocol.timer_started.wait(60)  # the first one starts with the connection
            client.sendall(request[8:])
            response = b""
            while not response.endswith(b"\r\n\r\nok"):
                response += client.recv(1000)
            assert RecordedProtocol.last._timer is None  # an idle connection is not closed


def test_serve__a_port_in_use(small_run, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            main(["serve", str(small_run), "--port", str(port)])
    assert caught.value.code == 2
    assert f"Port {port} of 127.0.0.1 is not available" in capsys.readouterr().err


def test_serve__without_its_extra_prints_what_is_missing(small_run, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("coarse2fine.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(SystemExit) as caught:
        main(["serve", str(small_run)])
    assert caught.value.code == 2
    assert "serve needs fastapi" in capsys.readouterr().err

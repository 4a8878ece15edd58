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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from coarse2fine.cli import main
from coarse2fine.serving import timeouts as patience
from coarse2fine.serving.timeouts import PatientProtocol


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG")
    return content.getvalue()


@contextmanager
def served(model, *options):
    """A service in a process of its own; yields its address and the process."""
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
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    return told


def test_serve__answers_refuses_and_stops(small_onnx, small_segmenter, clouds):
    options = ("--upload-seconds", "1", "--max-mb", "0.5")
    with served(small_onnx, *options) as (url, process), httpx.Client(base_url=url, timeout=60) as client:
        for image in clouds[:2]:
            answer = client.post("/segment", content=as_png(image))
            mask = np.asarray(Image.open(io.BytesIO(answer.content)))
            assert (mask == small_segmenter.predict(image)).all()
        with ThreadPoolExecutor(8) as pool:
            photos = [as_png(clouds[0])] * 16
            answers = list(pool.map(lambda photo: httpx.post(f"{url}/segment", content=photo, timeout=60), photos))
        assert {answer.status_code for answer in answers} == {200} and len({one.content for one in answers}) == 1

        assert send_slowly(url, seconds=5) == 408
        assert send_slowly(url, seconds=0.2) == 415
        assert 500_000 < send_endlessly(url) < 20_000_000
        assert client.get("/health").json()["status"] == "ok"
        assert 'route="/segment",status="408"} 1.0' in client.get("/metrics").text
        assert stop(process) == ""


def open_upload(url: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/segment")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    return connection


def send_slowly(url: str, seconds: float) -> int:
    connection = open_upload(url)
    connection.send(b"4\r\nslow\r\n")
    time.sleep(seconds)
    with suppress(OSError):
        connection.send(b"0\r\n\r\n")
    return connection.getresponse().status


def send_endlessly(url: str) -> int:
    """Send until the other side has had enough; the bytes that it took."""
    connection, sent = open_upload(url), 0
    connection.sock.settimeout(3)
    with suppress(OSError):
        while sent < 100_000_000:
            connection.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536
    return sent


def test_serve__told_to_stop_it_finishes_what_it_has(small_run, clouds):
    with served(small_run, "--device", "cpu", "--wait-ms", "2000", "--batch", "2") as (url, process):
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(httpx.post, f"{url}/segment", content=as_png(clouds[0]), timeout=60)
            while "coarse2fine_photos_in_hand 1.0" not in httpx.get(f"{url}/metrics").text:
                assert not answer.done()
            stop(process)
            assert answer.result().status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers by Linux's /proc")
def test_serve__several_workers_count_together_and_come_back(small_onnx, clouds):
    with served(small_onnx, "--workers", "2") as (url, process):
        for _ in range(6):  # each on a connection of its own, so that any worker may take it
            assert httpx.post(f"{url}/segment", content=as_png(clouds[0]), timeout=60).status_code == 200
        shown = httpx.get(f"{url}/metrics").text
        assert re.search(r'coarse2fine_requests_total\{route="/segment",status="200"\} 6.0', shown)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [int(pid) for pid in children if "spawn_main" in command_of(int(pid))]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(4):
            assert httpx.get(f"{url}/health", timeout=60).status_code == 200
        stop(process)


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


@pytest.fixture
def patient_server(monkeypatch):
    """uvicorn with short patience, in a thread."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.4)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, http=PatientProtocol, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_patient_protocol__closes_who_sends_no_request(patient_server, start):
    with socket.create_connection(("127.0.0.1", patient_server), timeout=0.05) as client:
        began = time.monotonic()
        client.sendall(start)
        is_open = True
        while is_open and time.monotonic() - began < 5:
            try:
                is_open = client.recv(100) != b""
            except TimeoutError:
                client.sendall(b"x" if start else b"")  # one byte at a time does not help
            except ConnectionResetError:
                is_open = False
        assert not is_open and time.monotonic() - began > 0.2


def test_patient_protocol__requests_on_one_connection_each_have_their_time(patient_server):
    with httpx.Client(base_url=f"http://127.0.0.1:{patient_server}") as client:
        for _ in range(4):
            assert client.get("/").text == "ok"
            time.sleep(0.2)


def test_serve__a_port_that_is_taken(small_onnx, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            main(["serve", str(small_onnx), "--port", str(port)])
    assert caught.value.code == 2
    assert f"Port {port} of 127.0.0.1 must be free" in capsys.readouterr().err


def test_serve__without_the_extra(small_onnx, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("coarse2fine.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(SystemExit) as caught:
        main(["serve", str(small_onnx)])
    assert caught.value.code == 2
    assert "serve needs fastapi" in capsys.readouterr().err

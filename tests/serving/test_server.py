import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from coarse2fine.cli import main
from coarse2fine.serving import connections

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
def served(model, *options, open_files: int | None = None):
    """Run the service in a process of its own, with a limit on open files; yield its URL and the process."""
    port = free_port()
    command = [sys.executable, "-m", "coarse2fine", "serve", model, "--port", port, "--threads", 1, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    shell = ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh"] if open_files is not None else []
    process = subprocess.Popen([*shell, *map(str, command)], stderr=subprocess.PIPE, text=True, env=environment)
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
        assert run_health_check(url) == 0
        assert stop(process) == ""
        assert run_health_check(url) == 1


def read_health_check() -> list[str]:
    """Return the command of the health check in the Dockerfile."""
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text(encoding="utf-8")
    return json.loads(re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", dockerfile, re.MULTILINE)[1])


def run_health_check(url: str) -> int:
    command = [part.replace("http://127.0.0.1:8000", url) for part in read_health_check()]
    return subprocess.run([sys.executable, *command[1:]], stderr=subprocess.DEVNULL, check=False).returncode


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
        workers = list_workers(process)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(4):
            assert httpx.get(f"{url}/health", timeout=60).status_code == 200
        stop(process)


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="the test finds worker processes in /proc, which only Linux has"
)
def test_serve__killed_workers_leave_no_gauge_and_a_removed_model_ends_the_service(small_onnx, clouds, tmp_path):
    model = tmp_path / "model.onnx"
    shutil.copy(small_onnx, model)
    options = ("--workers", "2", "--device", "cpu", "--wait-ms", "600000", "--batch", "2")
    with served(model, *options) as (url, process), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.post, f"{url}/segment", content=encode_png(clouds[0]), timeout=60)
        wait_until(lambda: "coarse2fine_photos_in_progress 1.0" in read_metrics(url))
        workers = list_workers(process)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            waiting.result()
        wait_until(lambda: len(list_workers(process)) == 2 and not set(workers) & set(list_workers(process)))
        wait_until(lambda: "coarse2fine_photos_in_progress" in read_metrics(url))
        assert "coarse2fine_photos_in_progress 0.0" in read_metrics(url)

        model.unlink()
        os.kill(list_workers(process)[0], signal.SIGKILL)
        _, output = process.communicate(timeout=60)
        assert process.returncode == 2
        assert output.count("\n") == 1 and "A worker process could not start" in output and "model.onnx" in output


def read_metrics(url: str) -> str:
    """Return the metrics; empty if the connection went to a worker that was killed."""
    try:
        return httpx.get(f"{url}/metrics", timeout=60).text
    except httpx.TransportError:
        return ""


def list_workers(process: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if "spawn_main" in command_of(int(pid))]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on open files")
def test_serve__more_connections_than_open_files_get_503_and_no_log_lines(small_onnx, clouds):
    with served(small_onnx, open_files=128) as (url, process), ExitStack() as silent:
        for _ in range(130):
            silent.enter_context(socket.create_connection(address_of(url), timeout=60))
            time.sleep(0.01)  # a full queue of the system would delay the next connection by a second
        statuses = set[int]()
        wait_until(lambda: 503 in statuses or statuses.add(get_status(f"{url}/health")))  # once the queue is accepted
        silent.close()
        wait_until(lambda: get_status(f"{url}/health") == 200)
        assert httpx.post(f"{url}/segment", content=encode_png(clouds[0]), timeout=60).status_code == 200
        assert stop(process) == ""


def get_status(url: str) -> int:
    """Return the status of a response; 0 if the server closed the connection."""
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0


def test_serve__a_flood_of_invalid_requests_is_logged_in_a_few_lines(small_onnx):
    upgrade = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    with served(small_onnx) as (url, process):
        for request in [b"no HTTP\r\n\r\n", upgrade] * 50:
            with socket.create_connection(address_of(url), timeout=60) as client:
                client.sendall(request)
                assert client.recv(100).startswith(b"HTTP/1.1 ")
        assert 10 <= stop(process).count("\n") <= 40


def test_serve__too_few_open_files_are_one_sentence(small_onnx, capsys, monkeypatch):
    monkeypatch.setattr(connections, "_raise_descriptor_limit", lambda: 64)
    with pytest.raises(SystemExit) as caught:
        main(["serve", str(small_onnx), "--port", str(free_port())])
    assert caught.value.code == 2 and "ulimit -n 1024" in capsys.readouterr().err


def test_serve__several_workers_need_a_folder_for_temporary_files(small_run, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SystemExit) as caught:
        main(["serve", str(small_run), "--port", str(free_port()), "--workers", "2"])
    assert caught.value.code == 2 and "--tmpfs /tmp" in capsys.readouterr().err


def test_dockerfile__runs_as_an_ordinary_user():
    lines = (Path(__file__).parents[2] / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER 1000"]


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

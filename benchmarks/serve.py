"""How many requests per second does the service handle, does its memory grow, and does it survive bad uploads?

    python benchmarks/serve.py --model RUN_OR_ONNX --photos val/images

Starts ``coarse2fine serve`` in a process of its own on loopback and sends photos from threads of this process. Both
share the cores of the machine, so the measured speed is a lower bound. ``p50_ms`` and ``p99_ms`` are percentiles of
the time from the start of a request to the last byte of its response. ``memory_mb`` is the resident memory of the
service by number of requests. Bad uploads are truncated, claim a huge size, have a wrong file type, are oversized, or
slow. Each must get a 4xx response or a closed connection, and the response to a good photo must be the same before
and after.

``attack`` measures 64 clients that send photos while 300 others request more than they read and 128 others send their
photo byte by byte; all of these connect again as soon as they are closed. ``lost`` counts requests of the 64 clients
without any response. They try again after a status 503, as its header asks for; the latency includes that. ``alone``
measures the same 64 clients without the others, and ``attack_without_limits`` the same attack on a service with limits
on uploads, connections and times that are too high to have an effect. ``--attack-only`` measures only these three.
"""

import argparse
import itertools
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from common import keep

from coarse2fine.data import list_photos

CLIENTS = (1, 8, 32)
UPLOAD_SECONDS = 2
ATTACK_WARM_UP_SECONDS = 10  # until the buffers of the slow readers are full
SLOW_READERS, SLOW_SENDERS, HONEST_CLIENTS = 300, 128, 64
WITHOUT_LIMITS = ("uploads=100000", "connections=100000", "response-seconds=100000", "upload-seconds=100000")
"""Options of serve. The limits of the system on open files still hold: set them with ``ulimit -n``."""


def main() -> None:
    """Measure speed, memory and bad uploads; print one line for each, then one line of JSON."""
    options = read_options()
    photos = [path.read_bytes() for path in list_photos([options.photos])[: options.sample]]
    results: dict[str, Any] = {"model": options.model.suffix.removeprefix(".") or "run", "workers": options.workers}
    if not options.attack_only:
        with served(options) as (url, process):
            results |= measure_service(options, url, process.pid, photos)
    for name, others, limits in (("alone", 0, ()), ("attack", 1, ()), ("attack_without_limits", 1, WITHOUT_LIMITS)):
        with served(options, limits) as (url, _):
            warm_up(url, photos)
            counts = (others * SLOW_READERS, others * SLOW_SENDERS)
            results[name] = print_figures(name, measure_attack(url, photos, options.attack_seconds, *counts))
    keep(options.name, results)


def warm_up(url: str, photos: list[bytes]) -> None:
    """Send a few photos."""
    for photo in photos[:8]:
        post_photo(url, photo)


def measure_service(options: argparse.Namespace, url: str, pid: int, photos: list[bytes]) -> dict[str, Any]:
    """Measure speed, memory and bad uploads."""
    results: dict[str, Any] = {}
    warm_up(url, photos)
    for clients in CLIENTS:
        results[f"clients_{clients}"] = print_figures(clients, measure(url, photos, clients, options.requests))
    results["memory_mb"] = print_figures("memory", measure_memory(url, photos, pid, options.long))
    results["bad_uploads"] = print_figures("bad", send_bad_uploads(url, photos[0], options.bad))
    results["metrics"] = print_figures("batches", count_batches(url))
    return results


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="run folder, or exported network")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos to send")
    parser.add_argument("--sample", type=int, default=50, help="number of different photos")
    parser.add_argument("--requests", type=int, default=500, help="requests for each number of clients")
    parser.add_argument("--long", type=int, default=10_000, help="requests while the memory is measured")
    parser.add_argument("--bad", type=int, default=200, help="number of bad uploads")
    parser.add_argument("--attack-only", action="store_true", help="measure only the attack and its comparisons")
    parser.add_argument("--attack-seconds", type=float, default=30, help="duration of the attack")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--options", nargs="*", default=[], help="further options of serve, without dashes: queue=9")
    parser.add_argument("--name", default="serve", help="name of the result")
    return parser.parse_args()


def print_figures(name: object, figures: dict[str, Any]) -> dict[str, Any]:
    """Print figures and return them."""
    print(f"{name!s:8}", *(f"{key} {value}" for key, value in figures.items()), sep="  ", flush=True)
    return figures


@contextmanager
def served(options: argparse.Namespace, further: Sequence[str] = ()) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the service with the options and further ones in a process; yield its URL and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "coarse2fine", "serve", str(options.model), "--port", str(port), "--quiet"]
    command += ["--workers", str(options.workers)]
    command += [f"--{option}" for option in (f"upload-seconds={UPLOAD_SECONDS}", *options.options, *further)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        while not is_up(url):
            if process.poll() is not None:
                sys.exit("the service did not start")
            time.sleep(0.2)
        yield url, process
    finally:
        process.terminate()
        print("stopped with status", process.wait(60))


def is_up(url: str) -> bool:
    """Return whether the service is healthy."""
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


def post_photo(url: str, photo: bytes) -> httpx.Response:
    """Send one photo on a new connection."""
    return httpx.post(f"{url}/segment", content=photo, timeout=120)


def measure(url: str, photos: list[bytes], clients: int, requests: int) -> dict[str, Any]:
    """Measure requests per second and latency; each client sends its next photo after the response."""
    numbers = itertools.count()

    def work(_client: int) -> tuple[list[float], Counter[int]]:
        latencies_ms, statuses = [], Counter[int]()
        with httpx.Client(timeout=120) as client:
            while (number := next(numbers)) < requests:
                start = time.perf_counter()
                statuses[client.post(f"{url}/segment", content=photos[number % len(photos)]).status_code] += 1
                latencies_ms.append(1e3 * (time.perf_counter() - start))
        return latencies_ms, statuses

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        parts = list(pool.map(work, range(clients)))
    seconds = time.perf_counter() - start
    latencies = np.concatenate([latencies_ms for latencies_ms, _ in parts if latencies_ms])
    return {
        "requests_per_s": round(requests / seconds, 1),
        "p50_ms": round(float(np.percentile(latencies, 50)), 1),
        "p99_ms": round(float(np.percentile(latencies, 99)), 1),
        "statuses": dict(sum((statuses for _, statuses in parts), Counter())),
    }


def measure_memory(url: str, photos: list[bytes], pid: int, requests: int) -> dict[str, Any]:
    """Measure the resident memory after each tenth of the requests, sent by eight clients."""
    found = {0: memory_mb(pid)}
    for step in range(1, 11):
        measure(url, photos, 8, requests // 10)
        found[step * (requests // 10)] = memory_mb(pid)
    return found


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in (pid, *children))
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def send_bad_uploads(url: str, good: bytes, count: int) -> dict[str, Any]:
    """Send bad uploads of five kinds in turn, sixteen at a time; count the outcomes of each kind."""
    before = post_photo(url, good).content
    kinds = {
        "truncated": lambda: send(url, good[: len(good) // 2]),
        "huge size": lambda: send(url, encode_png_header(50_000, 50_000)),
        "wrong type": lambda: send(url, b"%PDF-1.7" + bytes(5000)),
        "oversized": lambda: send(url, bytes(30_000_000)),
        "slow": lambda: send_slowly(url),
    }
    chosen = list(itertools.islice(itertools.cycle(kinds), count))
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda kind: kinds[kind](), chosen))
    after = post_photo(url, good)
    table: dict[str, Any] = {
        kind: dict(Counter(outcome for one, outcome in zip(chosen, outcomes, strict=True) if one == kind))
        for kind in kinds
    }
    return table | {"same_response_after": after.status_code == 200 and after.content == before}


def send(url: str, content: bytes, client: httpx.Client | None = None) -> str:
    """Send a photo, on a new connection unless a client is given; return the status of the response, or ``closed``."""
    try:
        return str((client.post(f"{url}/segment", content=content) if client else post_photo(url, content)).status_code)
    except httpx.TransportError:
        return "closed"


def send_slowly(url: str) -> str:
    """Send a photo byte by byte for longer than the timeout; return the status, or ``closed``."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(b"POST /segment HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(3 * UPLOAD_SECONDS):
                client.sendall(b"\xff")
                time.sleep(0.5)
            response = client.recv(100)
        except OSError:
            return "closed"
    return response.split()[1].decode() if response else "closed"


def measure_attack(url: str, photos: list[bytes], seconds: float, readers: int, senders: int) -> dict[str, Any]:
    """Measure latency and lost responses of honest clients among slow readers and slow senders."""
    stop, reconnections = threading.Event(), Counter[str]()
    read = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 100
    write = b"POST /segment HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
    attackers = [
        threading.Thread(target=keep_connected, args=(url, count, kind, start, stop, reconnections))
        for count, kind, start in ((readers, "readers", read), (senders, "senders", write))
    ]
    for thread in attackers:
        thread.start()
    time.sleep(ATTACK_WARM_UP_SECONDS if readers else 0)
    end = time.perf_counter() + seconds

    def work(first: int) -> tuple[list[float], Counter[str]]:
        latencies_ms, statuses = [], Counter[str]()
        with httpx.Client(timeout=120) as client:
            for number in itertools.count(first):
                start = time.perf_counter()
                if start > end:
                    break
                status = ""
                while status in ("", "503") and time.perf_counter() < end:
                    time.sleep(1 if status else 0)
                    status = send(url, photos[number % len(photos)], client)
                    statuses[status] += 1
                latencies_ms.append(1e3 * (time.perf_counter() - start))
        return latencies_ms, statuses

    with ThreadPoolExecutor(HONEST_CLIENTS) as pool:
        parts = list(pool.map(work, range(HONEST_CLIENTS)))
    stop.set()
    for thread in attackers:
        thread.join()
    latencies = np.concatenate([latencies_ms for latencies_ms, _ in parts])
    statuses = sum((statuses for _, statuses in parts), Counter())
    return {
        "p50_ms": round(float(np.percentile(latencies, 50)), 1),
        "p99_ms": round(float(np.percentile(latencies, 99)), 1),
        "lost": statuses.pop("closed", 0),
        "statuses": dict(statuses),
        "reconnections": dict(reconnections),
        "rejected_after": send(url, photos[0]) != "200",
    }


def keep_connected(
    url: str, count: int, kind: str, start: bytes, stop: threading.Event, reconnections: Counter[str]
) -> None:
    """Hold connections that send ``start``, then read and send one byte each second; replace those that were closed."""
    host, port = url.removeprefix("http://").split(":")
    clients: list[socket.socket | None] = [None] * count
    while not stop.is_set():
        for index, held in enumerate(clients):
            client = held or socket.socket()
            if held is None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                client.settimeout(0.05)
                with suppress(OSError):
                    client.connect((host, int(port)))
                    client.send(start)
                client.setblocking(False)
                clients[index] = client
                continue
            try:
                if kind == "senders":
                    client.send(b"x")
                is_open = client.recv(1) != b""
            except BlockingIOError:
                is_open = True
            except OSError:
                is_open = False
            if not is_open:
                client.close()
                clients[index] = None
                reconnections[kind] += 1
        stop.wait(1)
    for client in clients:
        if client is not None:
            client.close()


def encode_png_header(width: int, height: int) -> bytes:
    """Return a small PNG file that has this size in its header."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1_000_000))),
        (b"IEND", b""),
    ]
    parts = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def count_batches(url: str) -> dict[str, Any]:
    """Return the mean number of photos per batch, and the milliseconds per photo in the network."""
    lines = [line.split() for line in httpx.get(f"{url}/metrics").text.splitlines() if not line.startswith("#")]
    values = {line[0]: float(line[1]) for line in lines if len(line) == 2}
    photos, batches = values["coarse2fine_batch_photos_sum"], values["coarse2fine_batch_photos_count"]
    seconds = values["coarse2fine_network_seconds_sum"]
    return {"photos_per_batch": round(photos / batches, 2), "network_ms_per_photo": round(1e3 * seconds / photos, 1)}


if __name__ == "__main__":
    main()

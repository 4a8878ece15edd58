"""How many photos a second does the service answer, does its memory grow, and does it survive bad uploads?

    python benchmarks/serve.py --model RUN_OR_ONNX --photos val/images

Starts ``coarse2fine serve`` as a process of its own on loopback and sends it real photos from threads of this one; both
share the machine's cores, so figures are a lower bound. ``p50_ms`` and ``p99_ms`` are of one request, from its sending
to its last byte. ``memory_mb`` is the resident memory of the service, read along the way. Bad uploads are truncated,
bombs, of wrong types, oversized, and slow; each must be answered with 4xx or closed, and the answer to a good photo be
the same before and after.
"""

import argparse
import itertools
import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from common import keep

from coarse2fine.data import list_photos

CLIENTS = (1, 8, 32)
UPLOAD_SECONDS = 2


def main() -> None:
    """Measure speed, memory and manners; print a line for each, then one line of JSON."""
    options = read_options()
    photos = [path.read_bytes() for path in list_photos([options.photos])[: options.sample]]
    results: dict[str, Any] = {"model": options.model.suffix.removeprefix(".") or "run", "workers": options.workers}
    with served(options) as (url, process):
        for path in photos[:8]:
            ask(url, path)
        for clients in CLIENTS:
            results[f"clients_{clients}"] = show(clients, measure(url, photos, clients, options.requests))
        results["memory_mb"] = show("memory", watch_memory(url, photos, process.pid, options.long))
        results["bad_uploads"] = show("bad", misbehave(url, photos[0], options.bad))
        results["metrics"] = show("batches", count_batches(url))
    keep(options.name, results)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="run folder, or exported network")
    parser.add_argument("--photos", type=Path, required=True, help="photos to send")
    parser.add_argument("--sample", type=int, default=50, help="different photos")
    parser.add_argument("--requests", type=int, default=500, help="for each number of clients")
    parser.add_argument("--long", type=int, default=10_000, help="requests over which memory is watched")
    parser.add_argument("--bad", type=int, default=200, help="bad uploads")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--options", nargs="*", default=[], help="further ones of serve, without their dashes: queue=9")
    parser.add_argument("--name", default="serve", help="of the result")
    return parser.parse_args()


def show(name: object, figures: dict[str, Any]) -> dict[str, Any]:
    """Print figures; give them back."""
    print(f"{name!s:8}", *(f"{key} {value}" for key, value in figures.items()), sep="  ", flush=True)
    return figures


@contextmanager
def served(options: argparse.Namespace) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service; its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "coarse2fine", "serve", str(options.model), "--port", str(port), "--quiet"]
    command += ["--workers", str(options.workers), "--upload-seconds", str(UPLOAD_SECONDS)]
    command += [f"--{option}" for option in options.options]
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
    """Whether the service answers."""
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


def ask(url: str, photo: bytes) -> httpx.Response:
    """Send one photo on a connection of its own."""
    return httpx.post(f"{url}/segment", content=photo, timeout=120)


def measure(url: str, photos: list[bytes], clients: int, requests: int) -> dict[str, Any]:
    """Requests a second and latency with so many clients, each of which sends its next photo after its answer."""
    numbers = itertools.count()

    def work(_client: int) -> tuple[list[float], Counter[int]]:
        spent, statuses = [], Counter[int]()
        with httpx.Client(timeout=120) as client:
            while (number := next(numbers)) < requests:
                began = time.perf_counter()
                statuses[client.post(f"{url}/segment", content=photos[number % len(photos)]).status_code] += 1
                spent.append(1e3 * (time.perf_counter() - began))
        return spent, statuses

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        parts = list(pool.map(work, range(clients)))
    seconds = time.perf_counter() - began
    latencies = np.concatenate([spent for spent, _ in parts if spent])
    return {
        "requests_per_s": round(requests / seconds, 1),
        "p50_ms": round(float(np.percentile(latencies, 50)), 1),
        "p99_ms": round(float(np.percentile(latencies, 99)), 1),
        "statuses": dict(sum((statuses for _, statuses in parts), Counter())),
    }


def watch_memory(url: str, photos: list[bytes], pid: int, requests: int) -> dict[str, Any]:
    """Resident memory in ten steps of many requests from eight clients."""
    found = {0: memory_mb(pid)}
    for step in range(1, 11):
        measure(url, photos, 8, requests // 10)
        found[step * (requests // 10)] = memory_mb(pid)
    return found


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in (pid, *children))
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def misbehave(url: str, good: bytes, count: int) -> dict[str, Any]:
    """Send bad uploads of five kinds in turn, sixteen at a time; count what became of each kind."""
    before = ask(url, good).content
    kinds = {
        "truncated": lambda: send(url, good[: len(good) // 2]),
        "bomb": lambda: send(url, claim_size(50_000, 50_000)),
        "wrong type": lambda: send(url, b"%PDF-1.7" + bytes(5000)),
        "oversized": lambda: send(url, bytes(30_000_000)),
        "slow": lambda: send_slowly(url),
    }
    chosen = list(itertools.islice(itertools.cycle(kinds), count))
    with ThreadPoolExecutor(16) as pool:
        ends = list(pool.map(lambda kind: kinds[kind](), chosen))
    well = ask(url, good)
    table: dict[str, Any] = {
        kind: dict(Counter(end for one, end in zip(chosen, ends, strict=True) if one == kind)) for kind in kinds
    }
    return table | {"still_well": well.status_code == 200 and well.content == before}


def send(url: str, content: bytes) -> str:
    """Status of the answer, or closed."""
    try:
        return str(ask(url, content).status_code)
    except httpx.TransportError:
        return "closed"


def send_slowly(url: str) -> str:
    """Send a photo byte by byte, for longer than is allowed."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(b"POST /segment HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(3 * UPLOAD_SECONDS):
                client.sendall(b"\xff")
                time.sleep(0.5)
            answer = client.recv(100)
        except OSError:
            return "closed"
    return answer.split()[1].decode() if answer else "closed"


def claim_size(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1_000_000))),
        (b"IEND", b""),
    ]
    parts = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def count_batches(url: str) -> dict[str, Any]:
    """Mean photos in a batch, and seconds in the network."""
    lines = [line.split() for line in httpx.get(f"{url}/metrics").text.splitlines() if not line.startswith("#")]
    values = {line[0]: float(line[1]) for line in lines if len(line) == 2}
    photos, batches = values["coarse2fine_batch_photos_sum"], values["coarse2fine_batch_photos_count"]
    seconds = values["coarse2fine_network_seconds_sum"]
    return {"photos_per_batch": round(photos / batches, 2), "network_ms_per_photo": round(1e3 * seconds / photos, 1)}


if __name__ == "__main__":
    main()

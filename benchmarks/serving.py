"""How fast is the scoring service? Next to an empty FastAPI endpoint in the same kind of server.

Both servers run on one core and are asked in turns, then each under load alone; the client runs on
another core where there is one. It is a raw keep-alive connection, so that it does not dominate
what it measures.

    python -m benchmarks.serving --lake lake
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from traveltide_assets.prediction.early import EARLY, MOST_SESSIONS, SEEN

LEVELS = (1, 4, 16, 64)
_EMPTY = """
import sys, uvicorn
from fastapi import FastAPI, Request, Response
app = FastAPI()
@app.post("/perk")
async def empty(): return {}
@app.get("/ready")
async def ready(): return {}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_config=None, server_header=False)
"""
_SERVICE = "import sys; from traveltide_assets.cli import main; main(sys.argv[1:])"


@contextmanager
def server(port: int, *command: str, **environment: str) -> Iterator[int]:
    """A server process on one core; yields its process id once it is ready."""
    cores = sorted(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [sys.executable, "-c", *command],
        env=os.environ | environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[-1]}),
    )
    try:
        for _ in range(600):
            try:
                status, _ = asyncio.run(ask(port, request("GET", "/ready")))
            except OSError:
                status = 0
            if status == 200:
                break
            time.sleep(0.2)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    return f"{head}content-type: application/json\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


async def ask(port: int, message: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    found = await answer(reader)
    writer.close()
    return found


async def load(port: int, message: bytes, clients: int, seconds: float) -> tuple[list[float], int]:
    """Latencies in seconds of what some clients asked one after the other, and the failures."""
    latencies: list[float] = []
    failures = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < end:
            writer.write(message)
            status, _ = await answer(reader)
            latencies.append(time.perf_counter() - start)
            failures += status != 200
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies, failures


def summary(latencies: list[float], seconds: float) -> dict[str, float]:
    return {
        "p50_us": round(1e6 * statistics.median(latencies)),
        "p99_us": round(1e6 * statistics.quantiles(latencies, n=100)[98]),
        "per_s": round(len(latencies) / seconds),
    }


def levels(port: int, message: bytes, seconds: float) -> list[dict[str, float]]:
    asyncio.run(load(port, message, 4, 1.0))
    found = []
    for clients in LEVELS:
        latencies, failures = asyncio.run(load(port, message, clients, seconds))
        found.append({"clients": clients, **summary(latencies, seconds), "failures": failures})
    return found


async def in_turns(ports: tuple[int, int], message: bytes, times: int) -> list[list[float]]:
    """Latencies of one client that asks two servers in turns: what disturbs one disturbs both."""
    found: list[list[float]] = [[], []]
    streams = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
    for _ in range(times):
        for (reader, writer), latencies in zip(streams, found, strict=True):
            start = time.perf_counter()
            writer.write(message)
            await answer(reader)
            latencies.append(time.perf_counter() - start)
    for _, writer in streams:
        writer.close()
    return found


def customers(lake: Path) -> list[dict[str, object]]:
    """Features of real rows of the lake's latest month."""
    file = sorted((lake / "gold" / "early_features").glob("month=*/*.parquet"))[-1]
    frame = pd.read_parquet(file)
    names = [feature.name for feature in EARLY]
    rows = frame.loc[frame[SEEN] <= MOST_SESSIONS, names].astype(object)
    return rows.where(rows.notna(), None).to_dict("records")


def memory_mb(pid: int, field: str = "VmRSS") -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) // 1024
    return 0


def soak(port: int, lake: Path, message: bytes, seconds: float) -> dict[str, object]:
    """Load while another model is promoted: an earlier month's is put in its place, and back."""
    months = sorted((lake / "gold" / "perk_predictor").glob("month=*"))
    target = months[-1] / "perk_predictor.parquet"
    original = target.read_bytes()

    async def promote() -> list[str]:
        versions = []
        others = [month / "perk_predictor.parquet" for month in months]
        for number in range(4):
            await asyncio.sleep(seconds / 5)
            content = others[0].read_bytes() if number % 2 == 0 else original
            partial = target.with_suffix(".new")
            partial.write_bytes(content)
            partial.replace(target)
            await asyncio.sleep(2)
            versions.append(json.loads((await ask(port, message))[1])["model_version"])
        return versions

    async def both() -> tuple[tuple[list[float], int], list[str]]:
        return await asyncio.gather(load(port, message, 16, seconds + 8), promote())

    try:
        (latencies, failures), versions = asyncio.run(both())
    finally:
        target.write_bytes(original)
    seen = summary(latencies, seconds + 8)
    return {**seen, "requests": len(latencies), "failures": failures, "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each level of load")
    parser.add_argument("--soak", type=float, default=60.0, help="seconds of the soak")
    parser.add_argument("--times", type=int, default=5_000, help="requests asked in turns")
    parser.add_argument("--port", type=int, default=8231)
    options = parser.parse_args()
    rows = customers(options.lake)
    one = request("POST", "/perk", json.dumps({"features": rows[0]}).encode())
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "lake"
        wanted = ("perk_predictor", "perk_catalogue", "perk_assignments", "segments", "campaign")
        for name in wanted:
            shutil.copytree(options.lake / "gold" / name, copy / "gold" / name)
        setup = {"TRAVELTIDE_LAKE": str(copy), "TRAVELTIDE_SERVING__POLL_SECONDS": "0.5"}
        port = options.port
        with (
            server(port, _EMPTY, str(port)),
            server(port + 1, _SERVICE, "serve", "--port", str(port + 1), **setup) as pid,
        ):
            empty, scored = asyncio.run(in_turns((port, port + 1), one, options.times))
            ratio = statistics.median(scored) / statistics.median(empty)
            print("empty, in turns:     ", summary(empty, sum(empty)))
            print("POST /perk, in turns:", summary(scored, sum(scored)))
            print(f"ratio of medians: {ratio:.2f}")
            for what, at in (("empty", port), ("POST /perk", port + 1)):
                table = pd.DataFrame(levels(at, one, options.seconds))
                print(table.assign(what=what).to_string(index=False))
            print(f"memory: {memory_mb(pid)} MB")
            many = [{"features": rows[i % len(rows)]} for i in range(10_000)]
            batch = request("POST", "/perk", json.dumps({"customers": many}).encode())
            for _ in range(3):
                start = time.perf_counter()
                status, body = asyncio.run(ask(port + 1, batch))
                took = time.perf_counter() - start
                print(f"batch of 10,000: {status}, {took:.2f} s, {len(body):,} bytes back")
            print(f"memory after batches: {memory_mb(pid)} MB, peak {memory_mb(pid, 'VmHWM')} MB")
            print("soak:", soak(port + 1, copy, one, options.soak))
            print(f"memory after soak: {memory_mb(pid)} MB")


if __name__ == "__main__":
    main()

"""Speed of the scoring service, compared with an empty FastAPI endpoint on the same server.

Prints the ratio of the two medians first: both servers share one core and get requests alternately,
so other load on the machine slows both. Then each is put under load alone. The client uses another
core if there is one, and raw keep-alive connections, which cost little themselves. The service
checks an API key, as it would in production.

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

from traveltide_assets.campaign.release_files import PREDICTOR
from traveltide_assets.lake.release import Releases
from traveltide_assets.lake.storage.folder import Folder
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
_KEY = "benchmark"
# Limit for the cost of routing and dependencies, as a multiple of an empty endpoint's median.
_LIMIT = 2.0


@contextmanager
def server(port: int, *command: str, **environment: str) -> Iterator[int]:
    """A server process on one core; yields its process id once it is ready."""
    core = max(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [sys.executable, "-c", *command],
        env=os.environ | environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
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
        else:
            raise RuntimeError("the server is not ready after two minutes")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """An HTTP request with the API key."""
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    return f"{head}content-type: application/json\r\nx-api-key: {_KEY}\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next response."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


async def ask(port: int, message: bytes) -> tuple[int, bytes]:
    """Status and body of the response to one request on its own connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    found = await answer(reader)
    writer.close()
    return found


async def load(port: int, message: bytes, clients: int, seconds: float) -> tuple[list[float], int]:
    """Latencies in seconds, and failures, of clients that each send requests one after another."""
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
    """Percentiles in microseconds, and requests per second."""
    return {
        "p50_us": round(1e6 * statistics.median(latencies)),
        "p99_us": round(1e6 * statistics.quantiles(latencies, n=100)[98]),
        "per_s": round(len(latencies) / seconds),
    }


def levels(port: int, message: bytes, seconds: float) -> list[dict[str, float]]:
    """One row per number of concurrent clients."""
    asyncio.run(load(port, message, 4, 1.0))
    found = []
    for clients in LEVELS:
        latencies, failures = asyncio.run(load(port, message, clients, seconds))
        found.append({"clients": clients, **summary(latencies, seconds), "failures": failures})
    return found


async def in_turns(ports: tuple[int, int], message: bytes, times: int) -> list[list[float]]:
    """Latencies of one client that queries two servers alternately, after a warm-up of both."""
    await _turns(ports, message, times // 5)
    return await _turns(ports, message, times)


async def _turns(ports: tuple[int, int], message: bytes, times: int) -> list[list[float]]:
    found: list[list[float]] = [[], []]
    streams = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
    for _ in range(times):
        for (reader, writer), latencies in zip(streams, found, strict=True):
            start = time.perf_counter()
            writer.write(message)
            status, _ = await answer(reader)
            latencies.append(time.perf_counter() - start)
            if status != 200:
                raise RuntimeError(f"a request was answered with {status}")
    for _, writer in streams:
        writer.close()
    return found


def compared(empty: list[float], scored: list[float]) -> str:
    """One sentence: the ratio of the medians, and whether it is within the limit."""
    ours, theirs = statistics.median(scored), statistics.median(empty)
    # On a busy machine, the fastest requests are those without any disturbance.
    fastest = statistics.quantiles(scored, n=10)[0] / statistics.quantiles(empty, n=10)[0]
    verdict = "within" if ours <= _LIMIT * theirs else "ABOVE"
    return (
        f"POST /perk takes {ours / theirs:.2f} times as long as an empty endpoint "
        f"(medians {1e6 * ours:.0f} and {1e6 * theirs:.0f} us; fastest tenth {fastest:.2f} times): "
        f"{verdict} the limit of {_LIMIT:g}"
    )


def customers(lake: Path) -> list[dict[str, object]]:
    """Features of real rows of the lake's latest month."""
    file = sorted((lake / "gold" / "early_features").glob("month=*/*.parquet"))[-1]
    frame = pd.read_parquet(file)
    names = [feature.name for feature in EARLY]
    rows = frame.loc[frame[SEEN] <= MOST_SESSIONS, names].astype(object)
    return rows.where(rows.notna(), None).to_dict("records")


def memory_mb(pid: int, field: str = "VmRSS") -> int:
    """A process's memory in MB: `VmRSS` now, `VmHWM` at its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) // 1024
    return 0


def soak(port: int, lake: Path, message: bytes, seconds: float) -> dict[str, object]:
    """Load the service while the model changes to the first month's candidate and back, twice."""
    releases = Releases(Folder(lake))
    original = releases.current()
    candidates = sorted((lake / "gold" / "perk_predictor_candidate").glob("month=*/*.parquet"))
    files = {file.name: original.read(file.name) for file in original.manifest.files}
    files[PREDICTOR] = candidates[0].read_bytes()
    facts = original.manifest
    other = releases.add(original.month, files, facts.decision, facts.customers)

    async def promote() -> list[str]:
        versions = []
        for number in range(4):
            await asyncio.sleep(seconds / 5)
            one, following = (original, other) if number % 2 == 0 else (other, original)
            releases.point(following, expected=one.id)
            await asyncio.sleep(2)
            versions.append(json.loads((await ask(port, message))[1])["model_version"])
        return versions

    async def both() -> tuple[tuple[list[float], int], list[str]]:
        return await asyncio.gather(load(port, message, 16, seconds + 8), promote())

    (latencies, failures), versions = asyncio.run(both())
    seen = summary(latencies, seconds + 8)
    return {**seen, "requests": len(latencies), "failures": failures, "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds at each level of load")
    parser.add_argument("--soak", type=float, default=60.0, help="seconds of soak; 0 to skip it")
    parser.add_argument("--times", type=int, default=5_000, help="requests to each server in turn")
    parser.add_argument("--port", type=int, default=8231)
    options = parser.parse_args()
    # The servers run on the last core.
    cores = sorted(os.sched_getaffinity(0))
    rows = customers(options.lake)
    one = request("POST", "/perk", json.dumps({"features": rows[0]}).encode())
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "lake"
        # What the service reads, and the models that `soak` promotes.
        for name in ("releases", "gold/perk_predictor_candidate"):
            shutil.copytree(options.lake / name, copy / name)
        setup = {
            "TRAVELTIDE_LAKE": str(copy),
            "TRAVELTIDE_HOME": str(Path(folder) / "home"),
            "TRAVELTIDE_API_KEY": _KEY,
            "TRAVELTIDE_SERVING__POLL_SECONDS": "0.5",
        }
        port = options.port
        with (
            server(port, _EMPTY, str(port)),
            server(port + 1, _SERVICE, "serve", "--port", str(port + 1), **setup) as pid,
        ):
            os.sched_setaffinity(0, cores[:-1] or cores)
            empty, scored = asyncio.run(in_turns((port, port + 1), one, options.times))
            print(compared(empty, scored))
            print("empty, in turns:     ", summary(empty, sum(empty)))
            print("POST /perk, in turns:", summary(scored, sum(scored)))
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
            if options.soak:
                print("soak:", soak(port + 1, copy, one, options.soak))
                print(f"memory after soak: {memory_mb(pid)} MB")


if __name__ == "__main__":
    main()

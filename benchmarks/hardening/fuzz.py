"""Requests that are wrong in every way: no answer 500, no hang, no growth.

First schemathesis with all its phases and checks on the OpenAPI document, then 100,000 requests
made from sound ones by putting hostile values, fields, paths, headers and bytes in.

    python -m benchmarks.hardening.fuzz [--requests 100000] [--examples 200] [--lake lake]
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import copy
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.hardening.scoring import Running, copied_lake, features, history, serving
from benchmarks.hardening.tally import Tally

_CLIENTS = 16
_SECONDS = 90.0
_GROWTH_MB = 60
_SEED = 11
# What the document cannot say: which dates exist, which rows cleaning accepts, and that a
# compressed body is refused. All other checks are on.
_NOT_CHECKED = "positive_data_acceptance"
_NUMBERS = (0, -1, 1e15, 1e16, 1e308, -1e308, 5e-324, 2**53, 2**64, 10**40, 10**12, 0.1)
_TEXTS = (
    "",
    " ",
    "\x00",
    "a" * 300,
    "\u202e",
    "\U0001f600",
    "'; drop table users --",
    "2023-02-30",
    "0001-01-01",
    "9999-12-31",
    "9999-12-31 23:59:59",
    "0001-01-01 00:00:00",
    "2023-07-03T18:04:00Z",
    "NaN",
    "1e999",
    "<script>alert(1)</script>",
    "../../etc/passwd",
)
_HOSTILE: tuple[Any, ...] = (
    *_NUMBERS,
    *_TEXTS,
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"": {}},
    [None] * 50,
)
_RAW = (b"NaN", b"Infinity", b"1e999", b'"\\ud800"', b"01", b"-", b"tru", b'"\\u0000"', b"1E400")
_PATHS = (
    "/customers/{}/perk",
    "/customers/{}/perk/",
    "/perk?x={}",
    "/perks/{}",
    "/{}",
    "/docs/{}",
    "//{}",
)
_PARTS = (
    "1",
    "-1",
    "0",
    str(2**63),
    str(2**70),
    "a",
    "%00",
    "%ff",
    "%2e%2e",
    "1.5",
    "٣",
    "x" * 5_000,
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
_HEADERS = (
    "content-encoding: gzip",
    "content-encoding: br, gzip",
    "content-type: text/plain",
    "content-type: multipart/form-data",
    "expect: 100-continue",
    "x-api-key: \xe9\xff",
    "authorization: Basic !!!",
    "host: evil",
    "upgrade: websocket\r\nconnection: upgrade",
    "accept: application/xml",
    "range: bytes=0-1",
    "transfer-encoding: chunked",
    "content-length: 5",
    "connection: close",
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value in parsed JSON."""
    found = [place] if place else []
    parts: Any = value.items() if isinstance(value, dict) else ()
    parts = enumerate(value) if isinstance(value, list) else parts
    for name, part in parts:
        found += _places(part, (*place, name))
    return found


def _hostile_body(rng: random.Random) -> bytes:
    """A sound question with one to three places spoilt."""
    question: Any = features(rng.randrange(100))
    kind = rng.random()
    if kind < 0.03:
        question = history(sessions=rng.choice((1, 2, 6)))
    elif kind < 0.06:
        many = [features(n) for n in range(rng.choice((0, 1, 2, 30)))]
        question = {"customers": many + ([history()] if rng.random() < 0.2 else [])}
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        place = rng.choice(_places(question))
        holder = question
        for part in place[:-1]:
            holder = holder[part]
        if rng.random() < 0.15 and isinstance(holder, dict):
            holder[str(rng.choice(_TEXTS))] = copy.deepcopy(rng.choice(_HOSTILE))
        else:
            holder[place[-1]] = copy.deepcopy(rng.choice(_HOSTILE))
    text = json.dumps(question).encode()
    way = rng.random()
    if way < 0.05:
        return text[: rng.randrange(len(text))]
    if way < 0.10:
        at = rng.randrange(len(text))
        return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
    if way < 0.15:
        return text.replace(b"1", rng.choice(_RAW), 1)
    return text


def _hostile_request(rng: random.Random) -> bytes:
    """The bytes of a request: mostly questions, some paths, some that are no HTTP."""
    way = rng.random()
    if way < 0.02:
        return rng.randbytes(rng.randrange(1, 300)) + b"\r\n\r\n"
    if way < 0.20:
        path = rng.choice(_PATHS).format(rng.choice(_PARTS))
        head = f"{rng.choice(_METHODS)} {path} HTTP/1.1\r\nhost: x\r\n"
        if rng.random() < 0.5:
            head += f"{rng.choice(_HEADERS)}\r\n"
        return f"{head}\r\n".encode("utf-8" if rng.random() < 0.5 else "latin-1", "replace")
    body = _hostile_body(rng)
    method = "POST" if way < 0.95 else rng.choice(_METHODS)
    path = "/perk" if way < 0.97 else rng.choice(("/ready", "/metrics", "/perks", "/openapi.json"))
    extra = f"{rng.choice(_HEADERS)}\r\n" if rng.random() < 0.05 else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode("latin-1") + body


async def _ask(port: int, message: bytes) -> str:
    """The status of the answer; `closed` without one, `hang` if none comes."""
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(message)
                while (line := await reader.readline()).startswith(b"HTTP/1.1 100"):
                    await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        return "hang"
    except OSError:
        return "closed"
    return line[9:12].decode("latin-1") if line.startswith(b"HTTP/") else "closed"


async def _storm(
    service: Running, number: int, note: Callable[[str, bytes], None], warm: Callable[[], None]
) -> None:
    rng = random.Random(_SEED)  # noqa: S311
    messages = (_hostile_request(rng) for _ in range(number))
    sent = 0

    async def client() -> None:
        nonlocal sent
        for message in messages:
            note(await _ask(service.port, message), message)
            sent += 1
            if sent == number // 5:
                warm()
            if sent % 10_000 == 0:
                print(f"  {sent:,} sent", file=sys.stderr, flush=True)

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))


def _fuzz(tally: Tally, service: Running, number: int) -> None:
    counted: collections.Counter[str] = collections.Counter()
    failed: list[bytes] = []
    warm: list[int] = []

    def note(status: str, message: bytes) -> None:
        counted[status] += 1
        if status in ("500", "hang"):
            failed.append(message)

    def memory() -> None:
        warm.append(service.memory_mb)
        warm.append(service.workers_mb)

    start = time.monotonic()
    asyncio.run(_storm(service, number, note, memory))
    took = time.monotonic() - start
    own, workers = service.memory_mb, service.workers_mb
    print(f"  {number:,} requests in {took:.0f} s: {dict(counted.most_common())}", flush=True)
    print(f"  MB after a fifth {warm}, at the end {[own, workers]}", flush=True)
    for message in failed[:5]:
        print(f"  failed: {message[:600]!r}", flush=True)
    tally.add(f"{number:,} requests: no 500", counted["500"] == 0, f"{counted['500']} were 500")
    tally.add(f"{number:,} requests: no hang", counted["hang"] == 0, f"{counted['hang']} hung")
    tally.add("flat memory, own", own - warm[0] <= _GROWTH_MB, f"{warm[0]} -> {own} MB")
    grown = workers - warm[1]
    tally.add("flat memory, workers", grown <= 2 * _GROWTH_MB, f"{warm[1]} -> {workers} MB")


def schemathesis(service: Running, examples: int) -> subprocess.CompletedProcess[str]:
    """All phases and checks of schemathesis, with so many examples for each operation."""
    return subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis as s; s()"),
            *("run", f"http://127.0.0.1:{service.port}/openapi.json"),
            *("--max-examples", str(examples), "--seed", str(_SEED), "--no-color"),
            *("--request-timeout", "60", "--exclude-checks", _NOT_CHECKED),
        ],
        capture_output=True,
        text=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--lake", type=Path, help="a lake with a decided month (default: a new one)"
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--examples", type=int, default=200, help="of schemathesis, per operation")
    options = parser.parse_args()
    tally = Tally("fuzzing")
    with (
        copied_lake(options.lake) as folder,
        serving(folder, header_seconds="2", timeout_seconds="20") as service,
    ):
        if options.examples:
            done = schemathesis(service, options.examples)
            print(done.stdout[-8_000:], done.stderr[-2_000:], flush=True)
            tally.add("schemathesis, all phases", done.returncode == 0, done.stdout[-1_000:])
        if options.requests:
            _fuzz(tally, service, options.requests)
        tally.add("it still answers", service.get("/ready")[0] == 200)
    tally.show()


if __name__ == "__main__":
    main()

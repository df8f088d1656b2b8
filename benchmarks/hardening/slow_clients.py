"""Clients that open connections and then say nothing, or little: the others are still answered.

1,100 of each kind against a service that may open 1,024 files. `/health` must answer within
seconds, and none of the slow connections may be held for long.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import time
from collections.abc import Callable

from benchmarks.hardening.scoring import Running, copied_lake, lake_option, serving
from benchmarks.hardening.tally import Tally

_CLIENTS = 1_100
_OPEN_FILES = 1_024
_LONGEST_ANSWER = 5.0
_LONGEST_HELD = 45.0
_HEAD = b"POST /perk HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
# What a client sends at first, and what it sends every second after that.
_KINDS: dict[str, tuple[bytes, bytes]] = {
    "idle connections": (b"", b""),
    "heads byte by byte": (b"GET /health HTTP/1.1\r\nx-slow: ", b"a"),
    "bodies byte by byte": (_HEAD + b"content-length: 30000000\r\n\r\n{", b" "),
    "chunks byte by byte": (_HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "answers that nobody reads": (b"GET /docs HTTP/1.1\r\nhost: x\r\n\r\n" * 10, b""),
    "blank lines between requests": (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n"),
}


def _opened(port: int, first: bytes) -> list[socket.socket]:
    found = []
    for _ in range(_CLIENTS):
        client = socket.socket()
        client.settimeout(0.5)
        # What is not read soon fills the buffers of the service.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        with contextlib.suppress(OSError):
            client.connect(("127.0.0.1", port))
            client.setblocking(False)
            client.send(first) if first else None
        found.append(client)
    return found


def _still_open(clients: list[socket.socket]) -> list[socket.socket]:
    """Those that the service has not closed. Nothing is read, as a slow client would not."""
    poll = select.poll()
    by_number = {client.fileno(): client for client in clients}
    for number in by_number:
        poll.register(number, select.POLLHUP | select.POLLRDHUP | select.POLLERR)
    closed = {number for number, _ in poll.poll(0)}
    return [client for number, client in by_number.items() if number not in closed]


def _longest_answer(service: Running, seconds: float, meanwhile: Callable[[], None]) -> float:
    """The longest wait for `/health`, infinite if one request had no answer."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            status, _ = service.get("/health", seconds=30)
        except OSError:
            return float("inf")
        if status != 200:
            return float("inf")
        longest = max(longest, time.monotonic() - start)
        meanwhile()
        time.sleep(1)
    return longest


def _attack(service: Running, first: bytes, later: bytes) -> tuple[float, int]:
    clients = _opened(service.port, first)

    def dribble() -> None:
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(later) if later else None

    try:
        longest = _longest_answer(service, _LONGEST_HELD, dribble)
        return longest, len(_still_open(clients))
    finally:
        for client in clients:
            client.close()


def _open_enough_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    _open_enough_files()
    tally = Tally(f"{_CLIENTS} slow clients, {_OPEN_FILES} open files")
    with (
        copied_lake(lake_option(__doc__)) as folder,
        serving(folder, open_files=_OPEN_FILES, poll_seconds="1") as service,
    ):
        for kind, (first, later) in _KINDS.items():
            longest, held = _attack(service, first, later)
            problem = f"/health took {longest:.1f} s, {held} still open after {_LONGEST_HELD:.0f} s"
            print(f"  {kind}: {problem}, {service.memory_mb} MB", flush=True)
            tally.add(kind, longest <= _LONGEST_ANSWER and held == 0, problem)
        tally.add("the lake is still looked at", b'"warning":null' in service.get("/ready")[1])
        tally.add(
            "nothing was answered with 500", b'status="500"' not in service.get("/metrics")[1]
        )
    tally.show()


if __name__ == "__main__":
    main()

"""Connections of the scoring service: slow clients are closed, others are answered meanwhile."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from traveltide_assets.serving.server import Config, Server
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.ports import free_port

LIMITS = {"header_seconds": 1, "idle_seconds": 1, "timeout_seconds": 20, "max_connections": 10}
GET = b"GET /%s HTTP/1.1\r\nhost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, after three seconds (/late), or with 40 MB (/large)."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/late":
        await asyncio.sleep(3)
    parts = 400 if scope["path"] == "/large" else 1
    length = 100_000 if parts > 1 else 2
    headers = [(b"content-length", str(parts * length).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(parts):
        more = number < parts - 1
        await send({"type": "http.response.body", "body": b"o" * length, "more_body": more})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = free_port()
    settings = Settings(serving=LIMITS)
    server = Server(Config(app, settings, port=number, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield number
    server.should_exit = True
    thread.join(60)


@contextmanager
def connected(port: int, first: bytes = b"", buffer: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as client:
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(20)
        client.connect(("127.0.0.1", port))
        client.sendall(first)
        yield client


def answered(port: int, path: bytes = b"") -> float:
    """Seconds until the answer."""
    start = time.monotonic()
    with connected(port, GET % path) as client:
        assert client.recv(1_000).startswith(b"HTTP/1.1 200")
    return time.monotonic() - start


def closed_within(client: socket.socket, seconds: float, dribble: bytes = b"") -> bool:
    end = time.monotonic() + seconds
    client.settimeout(0.2)
    while time.monotonic() < end:
        try:
            if dribble:
                client.sendall(dribble)
            if client.recv(65_536) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nx-slow: ", b"a"),
        (GET % b"", b""),
        (GET % b"", b"\r\n"),
        (GET % b"" + b"GET / HT", b""),
    ],
    ids=["nothing", "head byte by byte", "idle", "blank lines", "second head"],
)
def test_who_keeps_the_service_waiting_is_closed(port: int, first: bytes, later: bytes) -> None:
    with connected(port, first) as client:
        assert closed_within(client, 12, later)


def test_who_does_not_read_is_closed(port: int) -> None:
    with connected(port, GET % b"large", buffer=2_048) as client:
        # Longer than a client may take for each part; nothing is read meanwhile.
        time.sleep(9)
        read = 0
        with suppress(ConnectionResetError):
            while part := client.recv(1_000_000):
                read += len(part)
        # No more than what was in the buffers of the system when it was closed.
        assert read < 20_000_000


def test_who_waits_for_the_service_is_not_closed(port: int) -> None:
    assert answered(port, b"late") >= 3


def test_several_requests_at_once_are_answered_in_their_order(port: int) -> None:
    with connected(port, GET % b"late" + GET % b"") as client:
        found = b""
        while found.count(b"HTTP/1.1 200") < 2:
            part = client.recv(1_000)
            assert part
            found += part


def test_with_too_many_connections_the_longest_waiting_is_closed(port: int) -> None:
    with ExitStack() as stack:
        busy = stack.enter_context(connected(port, GET % b"late"))
        clients = [stack.enter_context(connected(port)) for _ in range(40)]
        assert answered(port) < 5
        assert closed_within(clients[0], 5)
        assert busy.recv(1_000).startswith(b"HTTP/1.1 200")


def test_a_head_that_does_not_end_is_refused(port: int) -> None:
    with connected(port, b"GET / HTTP/1.1\r\n") as client:
        refused = b""
        for number in range(2_000):
            try:
                client.sendall(b"x-%d: %s\r\n" % (number, b"a" * 100))
            except OSError:
                break
        try:
            refused = client.recv(1_000)
        except OSError:
            return
        assert refused.startswith(b"HTTP/1.1 400")

"""Runs the service so that slow clients cannot take it from the others.

uvicorn waits for ever for the head of a request, for the rest of a body that was answered already,
and for a client that does not read. Here every connection knows since when it has kept the service
waiting. It is closed when that is too long, or when there are too many connections and it has been
the longest.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import resource
import socket
import struct
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from traveltide_assets.lake.lake import Lake
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.serving.app import build_app
from traveltide_assets.settings import Settings

_log = logging.getLogger("traveltide.serving")
# Connections that the system accepts before the service sees any of them.
_BACKLOG = 100
# Files that are no connections: the lake's, the log, pipes to processes, and the backlog.
_RESERVE = 100 + _BACKLOG
_LARGEST_HEAD = 65_536
# For an answer that the client has not read when its connection is to close.
_CLOSING_SECONDS = 5.0


class Waits(enum.Enum):
    """What a connection waits for. For all but `US` it waits for the client."""

    FIRST = enum.auto()
    NEXT = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    READS = enum.auto()
    US = enum.auto()


class Config(uvicorn.Config):
    """uvicorn's settings, with ours for connections."""

    def __init__(self, app: Any, settings: Settings, **others: Any) -> None:
        super().__init__(app, http=Connection, ws="none", backlog=_BACKLOG, **others)
        self.connections = _room(settings.serving.max_connections)
        self.seconds = {
            Waits.FIRST: settings.serving.header_seconds,
            Waits.NEXT: settings.serving.idle_seconds,
            Waits.HEAD: settings.serving.header_seconds,
            # The app's own limit ends it; this is for a body whose answer was given already.
            Waits.BODY: 2 * settings.serving.timeout_seconds,
            Waits.READS: settings.serving.header_seconds,
        }


class Connection(HttpToolsProtocol):
    """A connection that knows what it waits for, and since when."""

    config: Config

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._head_bytes = 0
        self.closing_since: float | None = None
        self._wait_for(Waits.FIRST)
        if len(self.connections) > self.config.connections:
            self._make_room()

    def _wait_for(self, waits: Waits) -> None:
        self.waits, self.since = waits, time.monotonic()

    def _make_room(self) -> None:
        """Close the connection that has been waiting for its client longest, perhaps this one."""
        waiting = [c for c in self.connections if isinstance(c, Connection) and not c.busy]
        longest = min(waiting, key=lambda connection: connection.since, default=self)
        self.connections.discard(longest)
        longest.drop()

    def drop(self) -> None:
        """Close the connection without waiting for the client."""
        # Otherwise the system would keep what the client has not read, long after.
        if connected := self.transport.get_extra_info("socket"):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # What is still worked on is not written to it.
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.abort()

    @property
    def busy(self) -> bool:
        """Whether the client waits for us."""
        return self.waits is Waits.US

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.waits is Waits.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > _LARGEST_HEAD:
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._wait_for(Waits.HEAD)

    def on_headers_complete(self) -> None:
        self._wait_for(Waits.BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self.cycle.response_complete:
            self._wait_for(Waits.US)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for(Waits.READS)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.waits is Waits.READS:
            self._wait_for(Waits.US)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # With several requests at once, a later one may still be worked on.
        if self.cycle.response_complete:
            self._wait_for(Waits.NEXT)

    def close_if_late(self, now: float) -> None:
        """Close the connection if it has waited for its client too long."""
        if self.transport.is_closing():
            # What was sent is not read yet.
            self.closing_since = self.closing_since or now
            if now - self.closing_since > _CLOSING_SECONDS:
                self.drop()
        elif not self.busy and now - self.since > self.config.seconds[self.waits]:
            self.drop()


class Server(uvicorn.Server):
    """A server that closes connections which wait for their clients too long."""

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.close_if_late(now)
        return await super().on_tick(counter)


def _room(most: int) -> int:
    """The number of connections that there are files for. Raises the process's limit if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _RESERVE
    unlimited = resource.RLIM_INFINITY
    allowed = wanted if hard == unlimited else min(wanted, hard)
    if soft != unlimited and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft == unlimited or soft >= wanted:
        return most
    room = max(soft - _RESERVE, 1)
    _log.warning("only %d open files are allowed: at most %d connections", soft, room)
    return room


class CannotListen(TravelTideError):
    """The address of the service is wrong, taken or forbidden."""


def _try_to_listen(host: str, port: int) -> None:
    advice = "Choose others with --host and --port"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as tried:
            # As uvicorn does: a port whose last connections are still closing is free.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}. {advice}") from None
    except UnicodeError:
        raise CannotListen(f"cannot listen on {host}:{port}: no such host. {advice}") from None


def serve(lake: Lake, settings: Settings, host: str, port: int) -> None:
    """Serve until the process is told to stop. Requests in progress are still answered.

    Raises `CannotListen` at once, before anything is loaded.
    """
    _try_to_listen(host, port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = Config(
        build_app(lake, settings),
        settings,
        host=host,
        port=port,
        log_config=None,
        # Paths contain customer ids, so requests are counted but not logged.
        access_log=False,
        server_header=False,
        timeout_keep_alive=max(1, round(settings.serving.idle_seconds)),
        timeout_graceful_shutdown=int(settings.serving.timeout_seconds),
    )
    Server(config).run()

"""What stands before the service: limits, the key, the clock and the counters.

Plain ASGI, because it is passed by every request. Nothing here writes down who was asked about:
metrics and logs name the route's template, never the path, and no exception's message.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import traceback
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from traveltide_assets.serving.config import Config as Serving

OPEN = ("/health", "/ready", "/docs", "/openapi.json")
HEADER = "X-API-Key"
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_log = logging.getLogger("traveltide.serving")


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter(
            "traveltide_requests", "Requests answered", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "traveltide_request_seconds",
            "Time to the answer",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.customers = Counter(
            "traveltide_customers_scored", "Customers given a prediction", registry=self.registry
        )
        self.reloads = Counter(
            "traveltide_reloads", "Loads from the lake", ("outcome",), registry=self.registry
        )
        self._routes: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.model = Gauge(
            "traveltide_model", "The model in service", ("version", "month"), registry=self.registry
        )

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. Finding a counter by its labels takes longer than counting."""
        key = (method, route, status)
        if key not in self._routes:
            counter = self.requests.labels(method, route, status)
            self._routes[key] = (counter, self.seconds.labels(route))
        counter, histogram = self._routes[key]
        counter.inc()
        histogram.observe(seconds)


class _TooLarge(Exception):
    """The body is larger than allowed."""


@dataclass
class _Answer:
    """What has been sent so far; 500 until something has."""

    status: int = 500
    started: bool = False


class Guard:
    """Lets a request through to the service, or answers in its place."""

    def __init__(
        self, app: ASGIApp, limits: Serving, api_key: SecretStr | None, metrics: Metrics
    ) -> None:
        self._app = app
        self._limits = limits
        self._key = None if api_key is None else api_key.get_secret_value().encode()
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        answer = _Answer()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.started = message["status"], True
            await send(message)

        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                await self._let_through(scope, receive, noting)
        except TimeoutError:
            await _refuse(answer, noting, 504, "the answer took too long")
        except _TooLarge:
            limit = self._limits.max_body_bytes
            await _refuse(answer, noting, 413, f"the body is larger than {limit} bytes")
        except Exception as error:  # noqa: BLE001 - the last place where it can be told safely
            _log.error("%s %s failed: %s", scope["method"], _route(scope), _told(error))
            await _refuse(answer, noting, 500, "the service failed")
        finally:
            took = time.perf_counter() - start
            self._metrics.note(scope["method"], _route(scope), answer.status, took)

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._key is not None and scope["path"] not in OPEN:
            given = dict(scope["headers"]).get(HEADER.lower().encode(), b"")
            if not hmac.compare_digest(given, self._key):
                await _refuse(_Answer(), send, 401, f"{HEADER} is missing or wrong")
                return
        if scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body = await self._whole_body(receive)
        read = False

        async def replay() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _whole_body(self, receive: Receive) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self._limits.max_body_bytes:
                raise _TooLarge
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)


def _route(scope: Scope) -> str:
    """The template of the route, such as /customers/{user_id}/perk."""
    return getattr(scope.get("route"), "path", "none")


def _told(error: Exception) -> str:
    """Type and place of an error; its message might quote the request."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {frame.filename}:{frame.lineno}"


async def _refuse(answer: _Answer, send: Send, status: int, detail: str) -> None:
    if answer.started:
        return
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

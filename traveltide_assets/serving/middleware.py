"""Middleware for every request: time limit, HEAD, handling of unexpected errors, counters.

It is plain ASGI for speed, because every request passes through it. Metrics and logs contain the
route's template and never the path, which may contain a customer id.
"""

from __future__ import annotations

import asyncio
import logging
import time

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from traveltide_assets.serving.prometheus import Metrics
from traveltide_assets.serving.trouble import place_of

_log = logging.getLogger("traveltide.serving")


class Requests:
    """Answers 504 after `seconds` and 500 to unexpected errors, and counts every request."""

    def __init__(self, app: ASGIApp, seconds: float, metrics: Metrics) -> None:
        self._app, self._seconds, self._metrics = app, seconds, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status: int | None = None
        method = scope["method"]
        if method == "HEAD":
            # Answered as GET is, by the same route. The server sees its own scope.
            scope = {**scope, "method": "GET"}

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        async def fail(code: int, detail: str) -> None:
            if status is None:
                await JSONResponse({"detail": detail}, code)(scope, receive, send_and_note)

        try:
            async with asyncio.timeout(self._seconds):
                await self._app(scope, receive, send_and_note)
        except TimeoutError:
            await fail(504, "the answer took too long")
        except Exception as error:  # noqa: BLE001 - uvicorn would log its message
            _log.error("%s %s failed: %s", method, _route(scope), place_of(error))
            await fail(500, "the service failed")
        finally:
            taken = time.perf_counter() - start
            self._metrics.answered(method, _route(scope), status or 500, taken)


def _route(scope: Scope) -> str:
    """The template of the route, such as /customers/{user_id}/perk."""
    return getattr(scope.get("route"), "path", "none")

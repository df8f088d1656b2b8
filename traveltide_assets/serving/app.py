"""Builds and runs the scoring service.

Endpoints belong in `routes.py`, their dependencies in `deps.py`, and the data behind the answers in
`service.py`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError

from traveltide_assets.lake.lake import Lake
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.serving import deps, messages, middleware, routes
from traveltide_assets.serving.service import Service
from traveltide_assets.settings import Settings


def build_app(lake: Lake, settings: Settings) -> FastAPI:
    """The scoring service over a lake, as an ASGI app."""
    service = Service(lake, settings.serving)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(title="TravelTide perks", version="1", lifespan=lifespan, redoc_url=None)
    app.state.service = service
    app.include_router(routes.public)
    keys = [] if settings.api_key is None else [Depends(deps.require(settings.api_key))]
    app.include_router(routes.protected, dependencies=keys)
    app.exception_handler(RequestValidationError)(routes.invalid)
    app.add_middleware(middleware.Requests, settings.serving.timeout_seconds, service.metrics)
    # FastAPI documents only bodies it reads itself; see `deps.question`.
    app.openapi()["components"]["schemas"].update(messages.QUESTION_MODELS)
    return app


def serve(lake: Lake, settings: Settings, host: str, port: int) -> None:
    """Serve until the process is told to stop. Requests in progress are still answered.

    Raises `CannotListen` at once, before anything is loaded.
    """
    _try_to_listen(host, port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    uvicorn.run(
        build_app(lake, settings),
        host=host,
        port=port,
        log_config=None,
        # Paths contain customer ids, so requests are counted but not logged.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.serving.timeout_seconds),
    )


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

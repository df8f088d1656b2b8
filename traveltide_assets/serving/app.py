"""The scoring service put together: routes, error handlers, the request middleware and lifespan.

What an endpoint does is in `routes.py`, what it needs in `deps.py`, what it answers from in
`service.py`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError

from traveltide_assets.lake import Lake
from traveltide_assets.serving import deps, messages, middleware, routes
from traveltide_assets.serving.service import Service
from traveltide_assets.settings import Settings


def build_app(lake: Lake, settings: Settings) -> FastAPI:
    """The service over a lake, ready to be run by any ASGI server."""
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
    # FastAPI documents the bodies it reads itself; `deps.question` says why this one is not.
    app.openapi()["components"]["schemas"].update(messages.QUESTION_MODELS)
    return app


def serve(lake: Lake, settings: Settings, host: str, port: int) -> None:
    """Serves until the process is told to stop, then answers the requests under way."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    uvicorn.run(
        build_app(lake, settings),
        host=host,
        port=port,
        log_config=None,
        # Paths name customers, so requests are counted and not logged.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.serving.timeout_seconds),
    )

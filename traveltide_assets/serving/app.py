"""Builds the scoring service as an ASGI app. `server.py` runs it.

Endpoints belong in `routes.py`, their dependencies in `deps.py`, and the data behind the answers in
`service.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError

from traveltide_assets.lake.lake import Lake
from traveltide_assets.serving import deps, desk, events, messages, middleware, pages, routes
from traveltide_assets.serving.service import Service
from traveltide_assets.settings import Settings


def build_app(lake: Lake, settings: Settings) -> FastAPI:
    """The scoring service over a lake, as an ASGI app."""
    service = Service(lake, settings.serving)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    # FastAPI's own pages load scripts from elsewhere, and do not ask for a key.
    app = FastAPI(title="TravelTide perks", version="1", lifespan=lifespan, openapi_url=None)
    app.state.service = service
    key = settings.api_key
    app.include_router(routes.public)
    keys = [] if key is None else [Depends(deps.require(key))]
    app.include_router(routes.protected, dependencies=keys)
    readers = [] if key is None else [Depends(deps.require_of_reader(key))]
    app.include_router(pages.router, dependencies=readers)
    app.include_router(desk.build(lake, settings))
    app.exception_handler(RequestValidationError)(routes.invalid_path)
    app.exception_handler(messages.Invalid)(routes.invalid)
    app.add_middleware(middleware.Requests, settings.serving.timeout_seconds, service.metrics)
    # FastAPI documents only bodies it reads itself; see `deps.read_body`.
    document = app.openapi()
    for path, schema in (("/perk", service.questions.schema), ("/events", events.schema)):
        body, models = schema()
        document["paths"][path]["post"]["requestBody"] = body
        document["components"]["schemas"].update(models)
    app.state.pages = pages.render(document)
    return app

"""The pages about the service itself: its OpenAPI document, and the same to read.

The page loads nothing: no script, no font, no picture. So it works without a network, and nobody
else's code runs where the key is typed.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, Template

router = APIRouter(include_in_schema=False)
_PAGES = Environment(
    loader=PackageLoader("traveltide_assets.serving", "."),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_SAFE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@router.get("/openapi.json")
async def document(request: Request) -> Response:
    """The OpenAPI document."""
    return Response(request.app.state.pages[0], media_type="application/json")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The same as a page."""
    state = request.app.state
    return HTMLResponse(state.pages[1].render(notice=state.service.notice), headers=_SAFE)


def render(document: dict[str, Any]) -> tuple[bytes, Template]:
    """The OpenAPI document as JSON, and as a page that lacks its `notice` only."""
    shown = {
        "title": document["info"]["title"],
        "paths": document["paths"],
        "models": document["components"]["schemas"],
        "keyed": "securitySchemes" in document["components"],
    }
    page = _PAGES.get_template("docs.html.j2", globals=shown)
    return json.dumps(document, ensure_ascii=False).encode(), page

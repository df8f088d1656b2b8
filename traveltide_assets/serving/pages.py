"""The pages about the service itself: its OpenAPI document, and the same to read.

The page loads nothing: no script, no font, no picture. So it works without a network, and nobody
else's code runs where the key is typed.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader

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
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The same as a page."""
    found: dict[str, Any] = request.app.openapi()
    page = _PAGES.get_template("docs.html.j2").render(
        title=found["info"]["title"],
        paths=found["paths"],
        models=found["components"]["schemas"],
        keyed="securitySchemes" in found["components"],
    )
    return HTMLResponse(page, headers=_SAFE)

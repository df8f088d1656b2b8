"""Dependencies of the routes: the API key, the data in service, the body of a question."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import SecretStr

from traveltide_assets.serving.budget import NoRoom, Share
from traveltide_assets.serving.scorer import Scorer, Snapshot
from traveltide_assets.serving.service import Service

HEADER = "X-API-Key"
_RUN = "run `traveltide run` first"
_key = APIKeyHeader(name=HEADER, scheme_name="key", auto_error=False)
# A body this small takes no more memory than its connection does anyway.
_SMALL = 65_536
SOON = {"Retry-After": "1"}
_ASKS = {"WWW-Authenticate": 'Basic realm="the API key is the password", charset="UTF-8"'}


def require(key: SecretStr) -> Callable[..., Awaitable[None]]:
    """A dependency that rejects requests without this key, with 401."""
    expected = key.get_secret_value().encode()

    async def check(given: Annotated[str | None, Security(_key)]) -> None:
        # Headers were decoded as Latin-1, so this restores the bytes that the client sent.
        if not hmac.compare_digest((given or "").encode("latin-1"), expected):
            raise HTTPException(401, f"{HEADER} is missing or wrong")

    return check


def require_of_reader(key: SecretStr) -> Callable[..., Awaitable[None]]:
    """The same for pages that people open: a browser asks for the key, as a password."""
    expected = key.get_secret_value().encode()

    async def check(request: Request) -> None:
        given = request.headers.get(HEADER, "").encode("latin-1")
        if not hmac.compare_digest(given or _password(request), expected):
            asks = {
                "WWW-Authenticate": 'Basic realm="the API key is the password", charset="UTF-8"'
            }
            raise HTTPException(401, f"{HEADER} is missing or wrong", asks)

    return check


def _password(request: Request) -> bytes:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


async def running_service(request: Request) -> Service:
    """The service behind the app."""
    service: Service = request.app.state.service
    return service


RunningService = Annotated[Service, Depends(running_service)]


async def decided(service: RunningService) -> Snapshot:
    """The latest decided month; 503 if nothing has been decided yet."""
    if service.snapshot is None:
        raise HTTPException(503, _absent(service, "no perks have been decided yet"))
    return service.snapshot


def scorer_of(service: Service) -> Scorer:
    """The promoted model; 503 if none is. No dependency: each takes time with every request."""
    if service.snapshot is None or service.snapshot.scorer is None:
        raise HTTPException(503, _absent(service, "no model has been promoted yet"))
    return service.snapshot.scorer


def _absent(service: Service, otherwise: str) -> str:
    """Why there is no answer. The log has the details, which may name places and accounts."""
    if service.snapshot is None and service.problem is not None:
        return f"{service.problem}; the service goes on trying, and its log has the details"
    return f"{otherwise}: {_RUN}"


async def read_body(request: Request, limit: int, share: Share) -> bytearray:
    """The body of a request, held by a share of the budget if it is not small.

    415 if it is compressed, 413 if it is too large, 503 if there is no memory left for it. It is no
    declared parameter, because FastAPI would then read and parse it before any dependency runs, and
    so before the key is checked.
    """
    coding = request.headers.get("content-encoding")
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        raise HTTPException(415, "the body is compressed: send it as it is, without gzip")
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            # Nobody receives this answer. It keeps the disconnect from counting as a server error.
            raise HTTPException(400, "the client disconnected")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
        if len(body) > _SMALL:
            try:
                share.take(len(body) - share.held)
            except NoRoom:
                raise HTTPException(503, "too many large bodies at once: try again", SOON) from None
    return body


Decided = Annotated[Snapshot, Depends(decided)]

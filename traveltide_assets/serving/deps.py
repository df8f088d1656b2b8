"""Dependencies of the routes: the API key, the data in service, the question in the body."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from starlette.requests import ClientDisconnect

from traveltide_assets.serving import messages
from traveltide_assets.serving.scorer import Scorer, Snapshot
from traveltide_assets.serving.service import Service

HEADER = "X-API-Key"
_RUN = "run `traveltide run` first"
_key = APIKeyHeader(name=HEADER, scheme_name="key", auto_error=False)


def require(key: SecretStr) -> Callable[..., Awaitable[None]]:
    """A dependency that rejects requests without this key, with 401."""
    expected = key.get_secret_value().encode()

    async def check(given: Annotated[str | None, Security(_key)]) -> None:
        # Headers were decoded as Latin-1, so this restores the bytes that the client sent.
        if not hmac.compare_digest((given or "").encode("latin-1"), expected):
            raise HTTPException(401, f"{HEADER} is missing or wrong")

    return check


async def running_service(request: Request) -> Service:
    """The service behind the app."""
    service: Service = request.app.state.service
    return service


RunningService = Annotated[Service, Depends(running_service)]


async def decided(service: RunningService) -> Snapshot:
    """The latest decided month; 503 if nothing has been decided yet."""
    if service.snapshot is None:
        raise HTTPException(503, f"no perks have been decided yet: {_RUN}")
    return service.snapshot


async def promoted(service: RunningService) -> Scorer:
    """The promoted model; 503 if none has been promoted yet."""
    if service.snapshot is None or service.snapshot.scorer is None:
        raise HTTPException(503, f"no model has been promoted yet: {_RUN}")
    return service.snapshot.scorer


async def question(request: Request, service: RunningService) -> messages.Question:
    """The question in the body. 413 if the body is too large, 422 if a field is not valid.

    The body is not a declared parameter, because FastAPI would then read and parse it before any
    dependency runs, and so before the key is checked.
    """
    body = await _read(request, service.settings.max_body_bytes)
    # Not in a thread: pydantic holds the GIL, so the event loop would have to wait anyway.
    return messages.parse(body, service.settings.max_batch)


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes")
    except ClientDisconnect:
        # Nobody receives this answer. It keeps the disconnect from counting as a server error.
        raise HTTPException(400, "the client disconnected") from None
    return bytes(body)


Decided = Annotated[Snapshot, Depends(decided)]
Promoted = Annotated[Scorer, Depends(promoted)]
Asked = Annotated[messages.Question, Depends(question)]

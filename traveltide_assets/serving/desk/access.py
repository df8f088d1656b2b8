"""Who may open the pages: whoever has the key or, where none is set, somebody at this machine.

The key is typed into a form once. It is not stored in the browser: a cookie holds a time until
which it is valid and a signature that only the key can make.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import HTTPException, Request, Security
from fastapi.responses import RedirectResponse
from fastapi.security import APIKeyHeader
from pydantic import SecretStr

COOKIE = "traveltide_desk"
SIGN_IN = "/sign-in"
_SECONDS = 12 * 3600
_PURPOSE = b"traveltide desk, until "
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)


class Door:
    """Lets requests to the pages in, or says where to sign in."""

    def __init__(self, key: SecretStr | None) -> None:
        self._key = None if key is None else key.get_secret_value().encode()

    @property
    def locked(self) -> bool:
        """Whether there is a key to sign in with."""
        return self._key is not None

    async def check(
        self, request: Request, given: Annotated[str | None, Security(_HEADER)] = None
    ) -> None:
        """A dependency: 303 to the form without a key or cookie, 403 from another machine."""
        if self._key is None:
            if not _is_here(request):
                raise HTTPException(
                    403,
                    "without a key, these pages are for this machine only: set TRAVELTIDE_API_KEY",
                )
            return
        if given is not None and hmac.compare_digest(given.encode("latin-1"), self._key):
            return
        if not self._is_signed(request.cookies.get(COOKIE, "")):
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            raise HTTPException(
                303, "sign in", {"Location": f"{SIGN_IN}?next={quote(wanted, safe='')}"}
            )

    def opens(self, typed: str) -> bool:
        """Whether what was typed is the key."""
        return self._key is not None and hmac.compare_digest(typed.encode(), self._key)

    def let_in(self, request: Request, wanted: str) -> RedirectResponse:
        """The way on to the page that was asked for, with the cookie."""
        until = str(int(time.time()) + _SECONDS)
        answer = RedirectResponse(inside(wanted), 303)
        answer.set_cookie(
            COOKIE,
            f"{until}.{self._signature(until)}",
            max_age=_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    def let_out(self) -> RedirectResponse:
        """The way back to the form, without the cookie."""
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    def _is_signed(self, cookie: str) -> bool:
        until, _, signature = cookie.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) <= 12):
            return False
        expected = self._signature(until).encode()
        genuine = hmac.compare_digest(signature.encode("utf-8", "replace"), expected)
        return genuine and int(until) > time.time()

    def _signature(self, until: str) -> str:
        return hmac.new(self._key or b"", _PURPOSE + until.encode(), hashlib.sha256).hexdigest()


def inside(wanted: str) -> str:
    """A place on this server: the first page if the address would lead elsewhere."""
    parts = urlsplit(wanted) if wanted.isprintable() else None
    elsewhere = parts is None or parts.scheme or parts.netloc or "\\" in wanted
    return "/" if elsewhere or not wanted.startswith("/") or wanted.startswith("//") else wanted


def same_origin(request: Request) -> bool:
    """Whether a form was sent from one of these pages: another site's could be sent here, too."""
    origin = urlsplit(request.headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc == request.headers.get("host")


def _is_here(request: Request) -> bool:
    """Whether a request comes from this machine and asks for it by name.

    Another site's name that leads here is refused, too: its pages could read the answer.
    """
    return (
        request.client is not None
        and _is_loopback(request.client.host)
        and _is_loopback(request.url.hostname or "")
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

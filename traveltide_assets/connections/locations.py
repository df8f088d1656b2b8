"""Locations of data other than folders: a prefix in S3, a PostgreSQL database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
_POSTGRES = ("postgresql", "postgres")


@dataclass(frozen=True)
class S3Location:
    """A bucket, and a prefix in it without slashes at its ends."""

    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True)
class PostgresLocation:
    """A PostgreSQL database. Only `url` contains the password; printing the object hides it."""

    _url: str

    @property
    def url(self) -> str:
        """The connection string, with its password."""
        return self._url

    def __str__(self) -> str:
        parts = urlsplit(self._url)
        port = f":{parts.port}" if parts.port else ""
        return f"postgresql://{parts.hostname or 'localhost'}{port}{parts.path}"

    __repr__ = __str__

    def conceal(self, text: str) -> str:
        """The text without the connection string and the password."""
        parts = urlsplit(self._url)
        options = dict(parse_qsl(parts.query))
        secrets = (self._url, parts.password, options.get("password"))
        for secret in filter(None, secrets):
            for written in (secret, unquote(secret)):
                text = text.replace(written, "***")
        return text


Location = Path | S3Location | PostgresLocation


def parse_location(text: str) -> Location:
    """The location that a text of the settings describes. Raises `ValueError` if it is invalid."""
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in _POSTGRES:
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            raise ValueError("not written as postgresql://user:password@host:port/name") from None
        if "@" in parts.path + parts.query + parts.fragment:
            # The text before it may be part of the password, which the message must not show.
            raise ValueError(
                "not written as postgresql://user:password@host:port/name: in a password, write "
                "/ as %2F, ? as %3F, # as %23 and @ as %40"
            )
        return PostgresLocation(text)
    if scheme == "s3":
        if found := _S3.fullmatch(text):
            return S3Location(found["bucket"], (found["prefix"] or "").strip("/"))
        raise ValueError(f"{text} is not written as s3://bucket/prefix")
    if scheme:
        raise ValueError(f"{scheme}:// is not supported: use a folder, s3://… or postgresql://…")
    return Path(text)

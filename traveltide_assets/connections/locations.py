"""Locations of data: a folder, a prefix in S3, a PostgreSQL database.

A text that is no location may be a URL with a typing error, and so hold a password anywhere.
Whatever is refused here is therefore never quoted, and whatever might be such a text is refused.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[^@?]*))?")
# What libpq and `urlsplit` read alike: one @ at most, every % an encoded character other than NUL,
# and nothing behind the path or in the names of parameters that libpq would quote in an error.
_ENCODED = r"%(?!00)[0-9A-Fa-f]{2}"
_POSTGRES = re.compile(
    rf"""postgres(?:ql)?://
    (?:(?:[^\s%@:/?\#\[\]\\]|{_ENCODED})*(?::(?:[^\s%@/?\#\[\]\\]|{_ENCODED})*)?@)?
    (?:\[[0-9A-Fa-f:.]+\]|(?:[\w.-]|{_ENCODED})*)(?::\d{{1,5}})?
    (?:/(?:[\w.~+$-]|{_ENCODED})*)?
    (?:\?(?P<options>(?:[^\s%@?\#\[\]\\]|{_ENCODED})*))?""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
# https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_OPTION = re.compile(
    r"""host|hostaddr|port|dbname|user|password|passfile|options|service|requirepeer|krbsrvname
    |require_auth|channel_binding|connect_timeout|client_encoding|(?:fallback_)?application_name
    |keepalives(?:_idle|_interval|_count)?|tcp_user_timeout|target_session_attrs|gsslib|gssencmode
    |gssdelegation|load_balance_hosts|(?:ssl_)?(?:min|max)_protocol_version
    |ssl(?:mode|negotiation|compression|cert|key|password|certmode|rootcert|crl|crldir|sni)?""",
    re.VERBOSE,
)
_SECRET_OPTIONS = ("password", "sslpassword")
# Signs that a text is a URL or a connection string, and not the name of a folder.
_SCHEME = re.compile(r"^[^/]*:|://|^\W*(?:postgres\w*|s3[an]?)\s*(?:;|//)", re.IGNORECASE)
_KEYWORD = re.compile(
    r"(?:password|passwd|pwd|passphrase|secret|token|access_?key(?:_?id)?)\s*[=:]"
    r"|(?:^|\s)(?:host|hostaddr|user|dbname|service)\s*=",
    re.IGNORECASE,
)
_URL = "postgresql://user:password@host:port/name"
_ACCEPTED = f"write a folder, s3://bucket/prefix or {_URL}"


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
        """The text without the connection string and its passwords."""
        parts = urlsplit(self._url)
        # `+` is a blank to `parse_qsl`, but not to libpq.
        options = parse_qsl(parts.query.replace("+", "%2B"))
        hidden = [value for name, value in options if name in _SECRET_OPTIONS]
        for secret in filter(None, (self._url, parts.password, *hidden)):
            for written in (secret, unquote(secret)):
                text = text.replace(written, "***")
        return text


Location = Path | S3Location | PostgresLocation


def parse_location(text: str) -> Location:
    """The location that a text of the settings describes.

    Raises `ValueError` if it is invalid. The message never contains the text.
    """
    if text != text.strip() or text[:1] in "'\"`" or text[-1:] in "'\"`":
        raise ValueError(f"empty, or with blanks or quotes around it: {_ACCEPTED}, without them")
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() in ("postgresql", "postgres"):
        return _postgres(text)
    if separator and scheme.lower() == "s3":
        return _s3(f"s3{text[2:]}")
    if _may_hold_a_secret(text) and not os.path.isdir(text):
        raise ValueError(
            f"not a location: {_ACCEPTED}. (The value is not shown, as it may contain a password. "
            "A folder with a name like a URL or with @ must exist)"
        )
    return Path(text)


def _s3(text: str) -> S3Location:
    found = _S3.fullmatch(text)
    if found is None or _KEYWORD.search(text):
        raise ValueError(
            "not written as s3://bucket/prefix. Keys do not belong in it: set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE. A prefix has no @ and no ?"
        )
    return S3Location(found["bucket"], (found["prefix"] or "").strip("/"))


def _postgres(text: str) -> PostgresLocation:
    found = _POSTGRES.fullmatch(text)
    # libpq knows the scheme in small letters only.
    url = f"postgresql://{text.partition('://')[2]}"
    if found is None or not _is_read(url):
        raise ValueError(
            f"not written as {_URL}: in a password, write / as %2F, ? as %3F, # as %23, @ as %40, "
            "% as %25, [ as %5B and ] as %5D"
        )
    options = [given.partition("=") for given in (found["options"] or "").split("&") if given]
    if any(not _OPTION.fullmatch(unquote(name)) or "=" in value for name, _, value in options):
        raise ValueError(
            f"not written as {_URL}?option=value&…: one of the options is none of libpq's "
            "(https://www.postgresql.org/docs/current/libpq-connect.html). In a value, write & as "
            "%26 and = as %3D"
        )
    return PostgresLocation(url)


def _is_read(url: str) -> bool:
    """Whether Python reads the URL, too: it checks the port and the address."""
    try:
        parts = urlsplit(url)
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _may_hold_a_secret(text: str) -> bool:
    """Whether a text, as written or decoded, is a damaged URL or connection string."""
    return any(
        "@" in form or _SCHEME.search(form) or _KEYWORD.search(form)
        for form in (text, unquote(text), unquote(unquote(text)))
    )

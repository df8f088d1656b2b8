"""What is written down about releases: the manifest of each, and the record of each month."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

_ID_DIGITS = 12


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Unverified(BaseModel):
    """No digest vouches for it, so nothing unknown and nothing missing is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Data):
    """A file of a release: its name, its size in bytes and its SHA-256."""

    name: str
    bytes: int
    sha256: str


class Manifest(_Data):
    """What is in a release, and what it rests on.

    `decision` are the facts that decide who gets what; they and `files` make the id. `inputs` are
    the data versions of the tables it was made of, `code` their code versions, `checks` the
    blocking checks that it passed, `warnings` the problems that checks which only warn have found
    (None in releases of an earlier version). `made_from` is the release that it repeats
    without the customers suppressed since. `notice` says so if the customers are generated.
    """

    release: str
    month: str
    decision: dict[str, Any]
    customers: dict[str, int]
    files: tuple[File, ...]
    inputs: dict[str, str] = {}
    code: dict[str, str] = {}
    checks: dict[str, str] = {}
    warnings: dict[str, str] | None = None
    made_from: str | None = None
    notice: str | None = None


class Entry(_Unverified):
    """A release in the record of its month: the SHA-256 of its manifest, and when it was made."""

    id: str
    manifest: str
    made: str
    released: str | None


class Record(_Unverified):
    """The releases of a month in the order of their making. `latest` is the one made last.

    `current` is the one that readers act on; None if none has been released.
    """

    current: str | None
    latest: str | None
    releases: tuple[Entry, ...]

    def entry(self, release_id: str | None) -> Entry | None:
        return next((entry for entry in self.releases if entry.id == release_id), None)


def release_id(month: str, decision: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """The id of a release with this content. No clock and no machine is part of it."""
    digests = sorted((name, sha256(content)) for name, content in files.items())
    said = json.dumps([month, dict(decision), digests], sort_keys=True)
    return sha256(said.encode())[:_ID_DIGITS]


def sha256(content: bytes) -> str:
    """SHA-256 of a content, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()

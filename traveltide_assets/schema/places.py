"""Errors of the file system, told by the place and the setting that chose it."""

from __future__ import annotations

import errno
import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traveltide_assets.schema.errors import TravelTideError

HOME = "TRAVELTIDE_HOME"
LAKE = "TRAVELTIDE_LAKE"
SOURCE = "TRAVELTIDE_SOURCE"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR)


class PlaceError(TravelTideError):
    """A folder cannot be used; the message names the place, the reason and the setting."""


@contextmanager
def explained(place: Path, setting: str) -> Iterator[None]:
    """Turn errors of the file system about a place into `PlaceError`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise PlaceError(_message(error, place, setting)) from None


def full(place: Path, setting: str) -> str:
    """The message about a full disk."""
    return (
        f"the disk that holds {place} ({setting}) is full. Free some space there, or set "
        f"{setting} to a place on another disk"
    )


def _message(error: OSError, place: Path, setting: str) -> str:
    file = os.fspath(error.filename) if isinstance(error.filename, str | Path) else place
    advice = f"or set {setting} (now {place}) to another place"
    if error.errno in _FULL:
        return full(place, setting)
    if error.errno in _DENIED:
        return f"{file}: permission denied. Allow {_user()} to use it, {advice}"
    if error.errno == errno.EROFS:
        return f"{file}: the file system is read-only. Mount it to be written, {advice}"
    if error.errno in _IN_THE_WAY:
        return f"{file}: a file is where a folder should be. Move it away, {advice}"
    return f"{file}: {error.strerror or error}. Check {setting} (now {place})"


def _user() -> str:
    try:
        return f"the user {getpass.getuser()}"
    except (OSError, KeyError):  # a container's user may have no name
        return f"the user {os.getuid()}"

"""Where files lie, for the lake and for landed sources: one module per kind of storage."""

from __future__ import annotations

from pathlib import Path

from traveltide_assets.locations import S3Location
from traveltide_assets.storage.folder import Folder
from traveltide_assets.storage.storage import (
    Conflict,
    Refused,
    Replaced,
    Spread,
    Storage,
    StorageError,
)

__all__ = [
    "Conflict",
    "Refused",
    "Replaced",
    "Spread",
    "Storage",
    "StorageError",
    "open_storage",
]


def open_storage(location: Path | S3Location, cache: Path, setting: str) -> Storage:
    """The storage at a location, which `setting` names; of S3, local copies lie in `cache`."""
    if isinstance(location, S3Location):
        # Takes a second to import, a tenth of a small run.
        from traveltide_assets.storage.s3 import S3

        return S3(location, cache, setting)
    return Folder(location)

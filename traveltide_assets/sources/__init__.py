"""Where the raw tables come from: one module per kind of source."""

from __future__ import annotations

from pathlib import Path

from traveltide_assets.engine import Engine
from traveltide_assets.locations import Location, PostgresLocation
from traveltide_assets.sources.files import Files
from traveltide_assets.sources.source import FileSource, Source, SourceError
from traveltide_assets.storage import open_storage

__all__ = ["FileSource", "Source", "SourceError", "open_source"]


def open_source(location: Location, engine: Engine, home: Path) -> Source:
    """The source at a location; what is read from it is staged under `home`."""
    if isinstance(location, PostgresLocation):
        raise SourceError(f"{location} cannot be read yet")
    landing = open_storage(location, home / "cache", "TRAVELTIDE_SOURCE")
    return Files(landing, engine, home / "staging")

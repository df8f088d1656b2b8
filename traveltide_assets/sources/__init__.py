"""Where the raw tables come from: one module per kind of source."""

from __future__ import annotations

from pathlib import Path

from traveltide_assets.engine import Engine
from traveltide_assets.locations import Location
from traveltide_assets.sources.files import Files
from traveltide_assets.sources.source import Source, SourceError

__all__ = ["Source", "SourceError", "open_source"]


def open_source(location: Location, engine: Engine, staging: Path) -> Source:
    """The source at a location; what is read from it is staged under `staging`."""
    if isinstance(location, Path):
        return Files(location, engine, staging)
    raise SourceError(f"{location} cannot be read yet")

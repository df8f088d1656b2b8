"""Where the raw tables come from: one module per kind of source."""

from __future__ import annotations

from traveltide_assets.engine import Engine
from traveltide_assets.locations import PostgresLocation
from traveltide_assets.settings import Settings
from traveltide_assets.sources.files import Files
from traveltide_assets.sources.postgres import Postgres
from traveltide_assets.sources.source import FileSource, Run, Source, SourceError
from traveltide_assets.storage import open_storage

__all__ = ["FileSource", "Run", "Source", "SourceError", "open_source"]


def open_source(settings: Settings, engine: Engine, run: Run) -> Source:
    """The configured source as a run sees it; what is read from it is staged under `home`."""
    location, staging = settings.source_location, settings.home / "staging"
    if isinstance(location, PostgresLocation):
        return Postgres(location, engine, staging, run, settings)
    landing = open_storage(location, settings.home / "cache", "TRAVELTIDE_SOURCE")
    return Files(landing, engine, staging)

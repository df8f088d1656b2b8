"""Opens the engine, the lake and the source that the settings describe.

Runs, commands and the scoring service all get them from here, and nowhere else.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.connections.locations import PostgresLocation, S3Location
from traveltide_assets.contracts import build_tables
from traveltide_assets.engines.base import Engine
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.ownership import Claim, Owner, Told
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.sample import TRUTH, is_truth
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import Run, Source
from traveltide_assets.sources.database import Database, identity_of
from traveltide_assets.sources.files import Files


def open_engine(settings: Settings) -> Engine:
    """The configured engine. It starts on first use."""
    scratch = settings.home / "scratch"
    if settings.engine == "spark":
        try:
            from traveltide_assets.engines.spark import Spark
        except ImportError as error:
            raise SettingsError(
                "TRAVELTIDE_ENGINE=spark requires the extra `spark`: "
                f"pip install '.[spark]' ({error})"
            ) from error
        return Spark(settings.spark.master, scratch, settings.memory)
    return DuckDB(scratch, settings.memory)


def open_lake(settings: Settings, engine: Engine | None = None) -> Lake:
    """The lake, for reading and writing. It opens its own engine unless one is given."""
    perks = load_perks(settings.perks_file)
    tables = build_tables(perks, build_strategies(settings, perks))
    storage = open_storage(settings.lake, settings.home / "cache", "TRAVELTIDE_LAKE")
    return Lake(storage, engine or open_engine(settings), tables)


def open_source(settings: Settings, engine: Engine, run: Run) -> Source:
    """The configured source as one run sees it. Rows read from it are staged under `home`."""
    location, staging = settings.source_location, settings.home / "staging"
    if isinstance(location, PostgresLocation):
        return Database(location, engine, staging, run, settings.postgres, settings.partitions)
    landing = open_storage(location, settings.home / "cache", "TRAVELTIDE_SOURCE")
    return Files(landing, engine, staging)


def open_claim(settings: Settings, storage: Storage, told: Told | None = None) -> Claim:
    """The claim of the configured source to the lake in a storage."""
    return Claim(storage, partial(identify, settings), settings.home / "lake-owner.lock", told)


def identify(settings: Settings, thorough: bool = True) -> Owner:
    """The configured source as a lake remembers it.

    If it is not `thorough`, no server is asked, and only what the settings say is known.
    """
    location = settings.source
    if location is None:
        return Owner(location=f"the sample {settings.sample_folder.name}", generated=True)
    if isinstance(location, PostgresLocation):
        database = identity_of(location, settings.postgres) if thorough else None
        return Owner(location=str(location), database=database)
    if isinstance(location, Path):
        return Owner(location=str(location.resolve()), generated=_is_generated(Folder(location)))
    # Where the lake is in S3 as well, it is on the same server, by whatever name.
    elsewhere = not isinstance(settings.lake, S3Location) and settings.s3_endpoint
    place = f"{location} at {settings.s3_endpoint}" if elsewhere else str(location)
    landing = open_storage(location, settings.home / "cache", "TRAVELTIDE_SOURCE")
    return Owner(location=place, generated=_is_generated(landing) if thorough else None)


def _is_generated(landing: Storage) -> bool:
    version = landing.versions(deep=False).get(TRUTH)
    return version is not None and all(map(is_truth, landing.files({TRUTH: version})))


def open_storage(location: Path | S3Location, cache: Path, setting: str) -> Storage:
    """The storage at a location.

    `setting` names the setting that gives the location. `cache` holds local copies of S3 objects.
    """
    if isinstance(location, S3Location):
        # The import takes a second, a tenth of a small run.
        from traveltide_assets.lake.storage.s3 import S3

        return S3(location, cache, setting)
    return Folder(location)

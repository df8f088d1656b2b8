"""Opens the engine, the lake and the source that the settings describe.

Runs, commands and the scoring service all get them from here, and nowhere else. What is opened is
imported when it is opened, because most commands need no engine and no source.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from traveltide_assets.connections.locations import PostgresLocation, S3Location
from traveltide_assets.lake.config import Config as S3Limits
from traveltide_assets.lake.ownership import Claim, Owner, Told
from traveltide_assets.lake.release import Releases
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema import places
from traveltide_assets.schema.errors import SettingsError, TravelTideError
from traveltide_assets.settings import Settings, load_settings
from traveltide_assets.sources.base import Run, Source
from traveltide_assets.sources.horizon import Horizon, horizon_of

if TYPE_CHECKING:
    from traveltide_assets.engines.base import Engine
    from traveltide_assets.lake.lake import Lake
    from traveltide_assets.lake.lease import Lease

_log = logging.getLogger(__name__)

# Beside the layers: a lake without any is empty.
_MONTHS = "source_months"

Look = Literal["always", "once", "never"]
"""When to look at the months of a source: always, unless they are remembered, or never."""


def load(look: Look = "never") -> Settings:
    """The settings of the environment and `traveltide.toml`, completed by the source's months."""
    return follow_source(load_settings(), look)


def follow_source(settings: Settings, look: Look = "once") -> Settings:
    """The settings with the months and the cohort's start of the source, where they are not set.

    The lake remembers them, because Dagster's partitions must be the same in every process, and
    the cohort's start must not move whenever a month is added. The generated sample has the
    defaults.
    """
    free = follows_source(settings)
    if not free:
        return settings
    try:
        horizon = _horizon(settings, look)
    except TravelTideError as error:
        if look == "always":
            raise
        # The UI must come up before the first files land, and tell of a damaged one.
        _log.warning("the months of the source are not known: %s", error)
        horizon = None
    return _ordered(settings if horizon is None else _with_months(settings, horizon, free))


def _horizon(settings: Settings, look: Look) -> Horizon | None:
    """The horizon that the lake remembers, or that the source has now, which it then remembers."""
    storage = _lake_storage(settings)
    name = hashlib.sha256(str(settings.source).encode()).hexdigest()[:16]
    key = f"{_MONTHS}/{name}.json"
    known = storage.versions(_MONTHS, deep=False).get(key)
    remembered = None
    if known is not None:
        (file,) = storage.files({key: known})
        remembered = Horizon.model_validate_json(file.read_bytes())
    if look == "always" or (look == "once" and remembered is None):
        found = _look(settings)
        if found and remembered and f"{remembered.active_since:%Y-%m}" <= found.last:
            found = found.model_copy(update={"active_since": remembered.active_since})
        if found is not None and found != remembered:
            with storage.replacing(key, known) as partial:
                partial.write_text(found.model_dump_json(), encoding="utf-8")
        remembered = found
    return remembered


def follows_source(settings: Settings) -> set[str]:
    """The settings that follow the source: `first`, `last` and `active_since`, if not set."""
    if settings.source is None:
        return set()
    bounds = {"first", "last"} - settings.partitions.model_fields_set
    starts = {"active_since", "window_months"} & settings.cohort.model_fields_set
    return bounds if starts else bounds | {"active_since"}


def _look(settings: Settings) -> Horizon | None:
    source = open_source(settings, open_engine(settings), Run("months"))
    bounds, given = settings.partitions, settings.partitions.model_fields_set
    return horizon_of(
        source.sessions_by_month(),
        settings.cohort.active_since or dt.date.min,
        bounds.first if "first" in given else "",
        (bounds.last or "9999-12") if "last" in given else "9999-12",
    )


def _with_months(settings: Settings, horizon: Horizon, free: set[str]) -> Settings:
    found = {name: getattr(horizon, name) for name in free}
    start = {"active_since": found.pop("active_since")} if "active_since" in found else {}
    return settings.model_copy(
        update={
            "partitions": settings.partitions.model_copy(update=found),
            "cohort": settings.cohort.model_copy(update=start),
        }
    )


def _ordered(settings: Settings) -> Settings:
    first, last = settings.partitions.first, settings.partitions.last
    if last is not None and first > last:
        raise SettingsError(
            f"partitions.first: {first} is after the last month, {last}. "
            "TRAVELTIDE_PARTITIONS__FIRST and …__LAST set the months"
        )
    return settings


def open_engine(settings: Settings) -> Engine:
    """The configured engine. It starts on first use."""
    scratch = settings.home / "scratch"
    if settings.engine != "duckdb":
        return _open_spark(settings, scratch)
    from traveltide_assets.engines.duckdb import DuckDB

    return DuckDB(scratch, settings.memory)


def _open_spark(settings: Settings, scratch: Path) -> Engine:
    try:
        if settings.engine == "sail":
            from traveltide_assets.engines.sail import Sail

            return Sail(scratch, settings.memory)
        if settings.spark.remote is not None:
            from traveltide_assets.engines.spark_connect import SparkConnect

            return SparkConnect(settings.spark.remote, scratch, settings.memory)
        from traveltide_assets.engines.spark import Spark

        return Spark(settings.spark.master, scratch, settings.memory)
    except ImportError as error:
        raise SettingsError(
            f"TRAVELTIDE_ENGINE={settings.engine} requires the extra `spark`: "
            f"pip install '.[spark]' ({error})"
        ) from error


def keep_private(settings: Settings) -> None:
    """Withhold permissions from every file that this process, or one it starts, writes from now on.

    Lake, run history and copies hold personal data, whatever the user's own mask is.
    """
    os.umask(int(settings.umask, 8))


def asking_again(settings: Settings) -> Settings:
    """The settings for a process that asks again anyway: it does not wait for S3 that is away."""
    return settings.model_copy(update={"s3": settings.s3.briefly()})


def open_lake(settings: Settings, engine: Engine | None = None) -> Lake:
    """The lake, for reading and writing. It opens its own engine unless one is given."""
    from traveltide_assets.catalogue.perks import load_perks
    from traveltide_assets.contracts import build_tables
    from traveltide_assets.lake.lake import Lake
    from traveltide_assets.segmentation.registry import build_strategies

    keep_private(settings)
    perks = load_perks(settings.perks_file, settings.policy.forbidden_features)
    tables = build_tables(perks, build_strategies(settings, perks))
    return Lake(_lake_storage(settings), engine or open_engine(settings), tables)


def open_releases(settings: Settings) -> Releases:
    """The releases in the lake. They are read without an engine."""
    keep_private(settings)
    return Releases(_lake_storage(settings))


def open_lease(settings: Settings) -> Lease:
    """The lease of the lake, which a run holds while it writes."""
    from traveltide_assets.lake.lease import Lease

    keep_private(settings)
    return Lease(_lake_storage(settings), settings.lease)


def open_source(settings: Settings, engine: Engine, run: Run) -> Source:
    """The configured source as one run sees it. Rows read from it are staged under `home`."""
    location, staging = settings.source_location, settings.home / "staging"
    if isinstance(location, PostgresLocation):
        from traveltide_assets.sources.database import Database

        return Database(location, engine, staging, run, settings.postgres, settings.partitions)
    from traveltide_assets.sources.files import Files

    landing = open_storage(location, settings.home / "cache", places.SOURCE, settings.s3)
    return Files(landing, engine, staging, run.without)


def _lake_storage(settings: Settings) -> Storage:
    return open_storage(settings.lake, settings.home / "cache", places.LAKE, settings.s3)


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
        from traveltide_assets.sources.database import identity_of

        database = identity_of(location, settings.postgres) if thorough else None
        return Owner(location=str(location), database=database)
    if isinstance(location, Path):
        return Owner(
            location=str(location.resolve()),
            generated=_is_generated(Folder(location, places.SOURCE)),
        )
    # Where the lake is in S3 as well, it is on the same server, by whatever name.
    elsewhere = not isinstance(settings.lake, S3Location) and settings.s3_endpoint
    place = f"{location} at {settings.s3_endpoint}" if elsewhere else str(location)
    landing = open_storage(location, settings.home / "cache", places.SOURCE, settings.s3)
    return Owner(location=place, generated=_is_generated(landing) if thorough else None)


def _is_generated(landing: Storage) -> bool:
    from traveltide_assets.sample import TRUTH, is_truth

    version = landing.versions(deep=False).get(TRUTH)
    return version is not None and all(map(is_truth, landing.files({TRUTH: version})))


def open_storage(
    location: Path | S3Location, cache: Path, setting: str, limits: S3Limits | None = None
) -> Storage:
    """The storage at a location.

    `setting` names the setting that gives the location. `cache` holds local copies of S3 objects.
    """
    if isinstance(location, S3Location):
        # The import takes a second, a tenth of a small run.
        from traveltide_assets.lake.storage.s3 import S3

        return S3(location, cache, setting, limits or S3Limits())
    return Folder(location, setting)

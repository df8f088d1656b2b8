"""The landing sensor on a source of files in memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any

import dagster as dg

from traveltide_assets.defs import landing
from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.schema.config import Partitions
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import BadFiles

BOUNDS = {"first": "2022-10", "last": "2023-07"}


class Folder:
    """A source of files in memory: versions and months by name. Those in `damaged` are bad."""

    def __init__(self, **files: tuple[str, set[str]]) -> None:
        self.files = files
        self.damaged: set[str] = set()

    def landed(self) -> dict[str, str]:
        return {name: version for name, (version, _) in self.files.items()}

    versions = landed

    def versions_of(self, name: str) -> dict[str, str]:
        return {file: version for file, version in self.landed().items() if name in file}

    def without(self, names: Collection[str]) -> Folder:
        kept = {name: file for name, file in self.files.items() if name not in names}
        rest = Folder(**kept)
        rest.damaged = self.damaged - set(names)
        return rest

    def months_of(self, files: Iterable[str]) -> dict[str, set[str]]:
        if bad := self.damaged & set(files):
            raise BadFiles({name: f"{name} is damaged" for name in sorted(bad)})
        return {name: self.files[name][1] for name in files}


class StoredMonths:
    """A lake that has some months of sessions, and perhaps the tables without months."""

    def __init__(self, *months: str) -> None:
        self.stored = list(months)
        self.snapshots = False

    def months(self, path: str) -> list[str]:
        return self.stored

    def exists(self, path: str, month: str | None = None) -> bool:
        return self.snapshots if month is None else month in self.stored


class Watch:
    """The sensor on a source, with its cursor, on an instance of its own."""

    def __init__(
        self, source: Any, instance: dg.DagsterInstance, lake: Any = None, **settings: Any
    ) -> None:
        self.instance = instance
        self.lake: Any = lake or StoredMonths(*Partitions(**BOUNDS).months())
        self.settings = Settings(partitions=BOUNDS, **settings)
        self.source = source
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        layers = [
            dg.AssetSpec(["bronze", "users_raw"]),
            dg.AssetSpec(["bronze", "sessions_raw"], partitions_def=MONTHLY),
        ]
        sensor = landing._sensor(self.settings, self.source, self.lake, layers)
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = sensor.evaluate_tick(context)
        self.cursor = result.cursor or self.cursor
        self.said = str(result.skip_message)
        return list(result.run_requests or ())

    def fail(self, request: dg.RunRequest, ago: dt.timedelta = dt.timedelta()) -> dg.DagsterRun:
        """Record a run of a request that failed."""
        run = self.instance.add_run(dg.DagsterRun(job_name="ingest", tags={**request.tags}))
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, "ingest")
        self.instance.handle_run_event(run.run_id, event, dt.datetime.now(dt.UTC) - ago)
        return run

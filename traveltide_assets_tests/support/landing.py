"""The landing sensor on a source of files in memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import dagster as dg

from traveltide_assets.defs import landing
from traveltide_assets.settings import Settings

BOUNDS = {"first": "2022-10", "last": "2023-07"}


class Folder:
    """A source of files in memory: versions and months by name."""

    def __init__(self, **files: tuple[str, set[str]]) -> None:
        self.files = files

    def versions(self) -> dict[str, str]:
        return {name: version for name, (version, _) in self.files.items()}

    def months_of(self, files: Iterable[str]) -> dict[str, set[str]]:
        return {name: self.files[name][1] for name in files}


class Watch:
    """The sensor on a source, with its cursor, on an instance of its own."""

    def __init__(self, source: Any, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.source = source
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        snapshots = [dg.AssetKey(["bronze", "users_raw"])]
        sensor = landing._sensor(Settings(partitions=BOUNDS), self.source, snapshots)
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = sensor.evaluate_tick(context)
        self.cursor = result.cursor or self.cursor
        return list(result.run_requests or ())

    def fail(self, request: dg.RunRequest, ago: dt.timedelta = dt.timedelta()) -> dg.DagsterRun:
        """Record a run of a request that failed."""
        run = self.instance.add_run(dg.DagsterRun(job_name="ingest", tags={**request.tags}))
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, "ingest")
        self.instance.handle_run_event(run.run_id, event, dt.datetime.now(dt.UTC) - ago)
        return run

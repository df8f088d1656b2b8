"""The landing sensor: new or changed files of the source, and the months they touch.

A file is known by its name and version. What it touches are the months of its sessions, now and in
the version taken before; a file of another table touches none, for users, flights and hotels are
snapshots, which every run of `ingest` reads whole. One run takes each unbroken block of months.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
from pydantic import BaseModel, ConfigDict

from traveltide_assets.defs import tags
from traveltide_assets.defs.jobs import INGEST
from traveltide_assets.defs.schedules import LANDED, sensor_status
from traveltide_assets.schema.months import next_month
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import FileSource, Source, SourceError

_REQUEST_TAG = "traveltide/landing"
# Contents that break a contract fail however often they are tried.
_ATTEMPTS = 3
# Dagster runs a failed run again within moments. What it has not by then it has overlooked, as a
# run from before its retries were switched on.
_PATIENCE_SECONDS = 3600


class _Taken(BaseModel):
    """A file that has been requested: its version, its months, and by which request."""

    model_config = ConfigDict(frozen=True)
    version: str
    months: tuple[str, ...]
    request: str
    attempt: int = 1


class _Cursor(BaseModel):
    """What the sensor remembers: the files it has taken, by name."""

    files: dict[str, _Taken] = {}


def build_sensors(
    settings: Settings, source: Source, assets: Iterable[dg.AssetsDefinition]
) -> list[dg.SensorDefinition]:
    """The sensor of a source of files; a database has none."""
    if not isinstance(source, FileSource):
        return []
    snapshots = [
        spec.key
        for asset in assets
        for spec in asset.specs
        if spec.key.path[0] in ("bronze", "silver") and spec.partitions_def is None
    ]
    return [_sensor(settings, source, snapshots)]


def _sensor(
    settings: Settings, source: FileSource, snapshots: list[dg.AssetKey]
) -> dg.SensorDefinition:

    @dg.sensor(
        name="landing",
        job_name=INGEST,
        minimum_interval_seconds=settings.automation.landing_seconds,
        default_status=sensor_status(settings.automation),
        description="Ingests the months that new or changed files of the source touch.",
    )
    def landing(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        before = _Cursor.model_validate_json(context.cursor or "{}").files
        try:
            due = _due(source, before, _failed(context.instance, before))
        except SourceError as error:
            # Most likely the files of a delivery are still arriving.
            return dg.SkipReason(str(error))
        if not due:
            return dg.SkipReason("no new or changed file")
        touched = {month for file in due.values() for month in file.months}
        touched |= {month for name in due if name in before for month in before[name].months}
        blocks = _blocks(filter(settings.partitions.include, touched))
        request = next(iter(due.values())).request
        labels = {**LANDED, _REQUEST_TAG: request}
        return dg.SensorResult(
            run_requests=[_run(request, block, labels) for block in blocks]
            or [dg.RunRequest(run_key=request, asset_selection=snapshots, tags=labels)],
            cursor=_Cursor(files={**before, **due}).model_dump_json(),
        )

    return landing


def _due(source: FileSource, before: Mapping[str, _Taken], failed: set[str]) -> dict[str, _Taken]:
    """The files to take now: new ones, changed ones, and those whose run has failed."""
    attempts: dict[str, tuple[str, int]] = {}
    for name, version in sorted(source.versions().items()):
        taken = before.get(name)
        if taken is None or taken.version != version:
            attempts[name] = (version, 1)
        elif taken.request in failed and taken.attempt < _ATTEMPTS:
            attempts[name] = (version, taken.attempt + 1)
    # The same files in the same state make the same request, whatever became of the cursor.
    request = hashlib.sha256(repr(sorted(attempts.items())).encode()).hexdigest()[:16]
    months = source.months_of(attempts)
    return {
        name: _Taken(
            version=version,
            months=tuple(sorted(months[name])),
            request=request,
            attempt=attempt,
        )
        for name, (version, attempt) in attempts.items()
    }


def _failed(instance: dg.DagsterInstance, before: Mapping[str, _Taken]) -> set[str]:
    """The requests of which a run has failed and nobody has run it again.

    There are as many requests as there were deliveries, so they are looked up all at once.
    """
    requests = {file.request for file in before.values()}
    failed = _runs(instance, requests, statuses=[dg.DagsterRunStatus.FAILURE])
    ours = [run.dagster_run for run in failed if not _awaits_dagster(instance, run)]
    again = _runs(instance, {run.tags[_REQUEST_TAG] for run in ours})
    repeated = {run.dagster_run.parent_run_id for run in again}
    return {run.tags[_REQUEST_TAG] for run in ours if run.run_id not in repeated}


def _awaits_dagster(instance: dg.DagsterInstance, failed: dg.RunRecord) -> bool:
    """Whether Dagster may still run a failed run again; it says so a moment after the failure."""
    said = failed.dagster_run.tags.get(tags.WILL_RETRY)
    expected = instance.run_retries_enabled if said is None else said == "true"
    # Not by its `update_timestamp`, which is in the time zone of Dagster's database.
    return expected and time.time() - (failed.end_time or 0) < _PATIENCE_SECONDS


def _runs(
    instance: dg.DagsterInstance,
    requests: set[str],
    statuses: Sequence[dg.DagsterRunStatus] | None = None,
) -> Sequence[dg.RunRecord]:
    if not requests:
        return []
    return instance.get_run_records(
        dg.RunsFilter(tags={_REQUEST_TAG: sorted(requests)}, statuses=statuses)
    )


def _run(request: str, block: tuple[str, str], labels: Mapping[str, str]) -> dg.RunRequest:
    first, last = block
    return dg.RunRequest(
        run_key=f"{request}:{first}..{last}",
        tags={
            **labels,
            tags.RANGE_START: first,
            tags.RANGE_END: last,
        },
    )


def _blocks(months: Iterable[str]) -> list[tuple[str, str]]:
    """First and last month of each unbroken block of months."""
    blocks: list[tuple[str, str]] = []
    for month in sorted(months):
        if blocks and next_month(blocks[-1][1]) == month:
            blocks[-1] = (blocks[-1][0], month)
        else:
            blocks.append((month, month))
    return blocks

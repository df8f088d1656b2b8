"""The landing sensor: ingests the months that new or changed files of the source affect.

A file is identified by its name and version. It affects the months of its sessions, both in its
current version and in the one ingested before. Files of other tables affect no month, because
users, flights and hotels are snapshots that every run of `ingest` reads whole. Each unbroken block
of months is one run.
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
# A file that breaks a contract fails on every attempt.
_ATTEMPTS = 3
# Dagster retries a failed run within moments. A run that it has not retried by then was overlooked,
# such as one from before retries were switched on.
_PATIENCE_SECONDS = 3600


class _Taken(BaseModel):
    """A file that a run has been requested for: its version, its months and the request."""

    model_config = ConfigDict(frozen=True)
    version: str
    months: tuple[str, ...]
    request: str
    attempt: int = 1


class _Cursor(BaseModel):
    """The state of the sensor: the files it has requested runs for, by name."""

    files: dict[str, _Taken] = {}


def build_sensors(
    settings: Settings, source: Source, assets: Iterable[dg.AssetsDefinition]
) -> list[dg.SensorDefinition]:
    """The sensor of a source of files. A database has none."""
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
        description="Ingests the months that new or changed files of the source affect.",
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
    """The files to ingest now: new ones, changed ones, and those with a failed run."""
    attempts: dict[str, tuple[str, int]] = {}
    for name, version in sorted(source.versions().items()):
        taken = before.get(name)
        if taken is None or taken.version != version:
            attempts[name] = (version, 1)
        elif taken.request in failed and taken.attempt < _ATTEMPTS:
            attempts[name] = (version, taken.attempt + 1)
    # The same files in the same state give the same request, even if the cursor was lost.
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
    """The requests with a failed run that nobody has run again.

    There is one request per delivery, so they are all looked up at once.
    """
    requests = {file.request for file in before.values()}
    failed = _runs(instance, requests, statuses=[dg.DagsterRunStatus.FAILURE])
    ours = [run.dagster_run for run in failed if not _awaits_dagster(instance, run)]
    again = _runs(instance, {run.tags[_REQUEST_TAG] for run in ours})
    repeated = {run.dagster_run.parent_run_id for run in again}
    return {run.tags[_REQUEST_TAG] for run in ours if run.run_id not in repeated}


def _awaits_dagster(instance: dg.DagsterInstance, failed: dg.RunRecord) -> bool:
    """Whether Dagster may still retry a failed run. It marks the run a moment after the failure."""
    said = failed.dagster_run.tags.get(tags.WILL_RETRY)
    expected = instance.run_retries_enabled if said is None else said == "true"
    # Not `update_timestamp`, which is in the time zone of Dagster's database.
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

"""The landing sensor: ingests the months that new or changed files of the source affect.

A file is identified by its name and version. It affects the months of its sessions, both in its
current version and in the one ingested before. Files of other tables affect no month, because
all but sessions are snapshots that every run of `ingest` reads whole. Each unbroken block
of months is one run. Months before them that the lake lacks are ingested with them, since a month
without any session counts only once it is known to be empty.

A file that cannot be ingested is left out, with an alert, until it changes. What bronze was read
from already, by whichever run, is not ingested again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import BaseModel, ConfigDict

from traveltide_assets.connections.notify import AlertDelayed, Alerts
from traveltide_assets.defs import tags
from traveltide_assets.defs.assets.bronze import FILES
from traveltide_assets.defs.jobs import INGEST
from traveltide_assets.defs.schedules import LANDED, sensor_status
from traveltide_assets.schema.config import Partitions
from traveltide_assets.schema.months import next_month, span
from traveltide_assets.schema.sources import RAW
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import BadFiles, FileSource, Source, SourceError
from traveltide_assets.sources.delivery import tables_in

if TYPE_CHECKING:
    from traveltide_assets.lake.lake import Lake

_SESSIONS, _UNDATED = "bronze/sessions_raw", "bronze/sessions_undated"
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


class _Bad(BaseModel):
    """A version of a file that cannot be ingested, and why."""

    model_config = ConfigDict(frozen=True)
    version: str
    problem: str


class _Waiting(BaseModel):
    """Why nothing can be ingested, since when, and whether people were told."""

    problem: str
    since: float
    told: bool = False


class _Cursor(BaseModel):
    """The state of the sensor: files it has requested runs for or left out, by name."""

    files: dict[str, _Taken] = {}
    bad: dict[str, _Bad] = {}
    waiting: _Waiting | None = None


def build_sensors(
    settings: Settings, source: Source, lake: Lake, assets: Iterable[dg.AssetsDefinition]
) -> list[dg.SensorDefinition]:
    """The sensor of a source of files. A database has none."""
    if not isinstance(source, FileSource):
        return []
    layers = [
        spec for asset in assets for spec in asset.specs if spec.key.path[0] in ("bronze", "silver")
    ]
    return [_sensor(settings, source, lake, layers)]


def _sensor(
    settings: Settings, source: FileSource, lake: Lake, layers: Sequence[dg.AssetSpec]
) -> dg.SensorDefinition:
    alerts = Alerts(settings.automation.webhook, settings.home / "alerts")

    @dg.sensor(
        name="landing",
        job_name=INGEST,
        minimum_interval_seconds=settings.automation.landing_seconds,
        default_status=sensor_status(settings.automation),
        description="Ingests the months that new or changed files of the source affect. Sends an "
        "alert for a file that cannot be ingested, and goes on with the others.",
    )
    def landing(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = _Cursor.model_validate_json(context.cursor or "{}")
        before, failed = cursor.files, _failed(context.instance, cursor.files)
        try:
            bad, sound, files = _sound(source, cursor, failed)
        except SourceError as error:
            return _waits(cursor, str(error), alerts)
        tables = {name: table for table in RAW for name in sound.versions_of(table)}
        there = _Ingested(context.instance, lake, settings.partitions)
        due = {
            name: file
            for name, file in files.items()
            if file.attempt > 1 or not there.holds(tables[name], name, file)
        }
        told = _told(alerts, [b.problem for name, b in bad.items() if cursor.bad.get(name) != b])
        state = _Cursor(files={**before, **files}, bad=bad).model_dump_json()
        if not due:
            left_out = f"; left out: {', '.join(bad)}" if bad else ""
            return dg.SensorResult(
                skip_reason=f"no new or changed file{left_out}{told}", cursor=state
            )
        touched = {month for file in due.values() for month in file.months}
        touched |= {month for name in due if name in before for month in before[name].months}
        request = next(iter(due.values())).request
        labels = {**LANDED, _REQUEST_TAG: request}
        chosen = None
        if bad:
            labels[tags.WITHOUT] = json.dumps(sorted(bad))
            whole = _whole(tables.values(), bad)
            chosen = [spec for spec in layers if _source_of(spec) in whole]
        blocks = _blocks(_with_gaps(filter(settings.partitions.include, touched), lake, settings))
        snapshots = [s for s in chosen or layers if s.partitions_def is None]
        return dg.SensorResult(
            run_requests=[_run(request, block, labels, chosen) for block in blocks]
            or [
                dg.RunRequest(
                    run_key=request, asset_selection=[s.key for s in snapshots], tags=labels
                )
            ],
            cursor=state,
        )

    return landing


def _whole(sound: Iterable[str], bad: Iterable[str]) -> set[str]:
    """The tables to ingest without the bad files.

    A month of sessions may be whole without a file of other months. The other tables are snapshots,
    which are whole with all of their files or not at all.
    """
    damaged = {table for name in bad for table in tables_in(name)}
    return set(sound) - (damaged - {"sessions"})


def _source_of(spec: dg.AssetSpec) -> str:
    """The table of the source that an asset of bronze or silver comes from."""
    return next(name for name in RAW if spec.key.path[-1].startswith(name))


def _waits(cursor: _Cursor, problem: str, alerts: Alerts) -> dg.SensorResult:
    """Nothing can be ingested, most likely because files are still arriving.

    After an hour, people are told.
    """
    waiting = cursor.waiting
    if waiting is None or waiting.problem != problem:
        waiting = _Waiting(problem=problem, since=time.time())
    said = ""
    if not waiting.told and time.time() - waiting.since >= _PATIENCE_SECONDS:
        said = _told(alerts, [problem])
        waiting = waiting.model_copy(update={"told": True})
    state = cursor.model_copy(update={"waiting": waiting})
    return dg.SensorResult(skip_reason=f"{problem}{said}", cursor=state.model_dump_json())


def _told(alerts: Alerts, problems: Sequence[str]) -> str:
    """Send an alert per problem. What could not be sent now is sent later, and is said here."""
    try:
        alerts.send(*(f"landing: left out until it changes: {problem}" for problem in problems))
    except AlertDelayed as error:
        # Not raised: a failed tick loses its cursor, and the files would be told again.
        return f"; {error}"
    return ""


def _sound(
    source: FileSource, cursor: _Cursor, failed: set[str]
) -> tuple[dict[str, _Bad], FileSource, dict[str, _Taken]]:
    """The files that cannot be ingested, the source without them, and the files due in it."""
    landed = source.landed()
    bad = {name: b for name, b in cursor.bad.items() if landed.get(name) == b.version}
    while True:
        sound = source.without(bad) if bad else source
        try:
            return bad, sound, _due(sound, cursor.files, failed)
        except BadFiles as error:
            new = {name: problem for name, problem in error.problems.items() if name not in bad}
            if not new.keys() & landed.keys():
                raise
            bad |= {
                name: _Bad(version=landed[name], problem=problem)
                for name, problem in new.items()
                if name in landed
            }


class _Ingested:
    """What bronze was read from, by the metadata of its materialisations."""

    def __init__(self, instance: dg.DagsterInstance, lake: Lake, bounds: Partitions) -> None:
        self._instance = instance
        self._lake = lake
        self._bounds = bounds
        self._known: dict[tuple[str, str | None], Mapping[str, str]] = {}

    def holds(self, table: str, name: str, file: _Taken) -> bool:
        """Whether bronze has this version of a file of a table in all of its months."""
        places: list[tuple[str, str | None]] = [(f"bronze/{table}_raw", None)]
        if table == "sessions":
            months = filter(self._bounds.include, file.months)
            places = [(_SESSIONS, month) for month in months] or [(_UNDATED, None)]
        return all(self._files(*place).get(name) == file.version for place in places)

    def _files(self, path: str, month: str | None) -> Mapping[str, str]:
        if (path, month) not in self._known:
            self._known[path, month] = self._recorded(path, month)
        return self._known[path, month]

    def _recorded(self, path: str, month: str | None) -> Mapping[str, str]:
        if not self._lake.exists(path, month):
            return {}
        months = None if month is None else [month]
        key = dg.AssetKey(path.split("/"))
        wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=months)
        for record in self._instance.fetch_materializations(wanted, limit=1).records:
            if record.asset_materialization is not None:
                found = record.asset_materialization.metadata.get(FILES)
                return found.value if isinstance(found, dg.JsonMetadataValue) else {}  # type: ignore[return-value]
        return {}


def _with_gaps(months: Iterable[str], lake: Lake, settings: Settings) -> set[str]:
    """These months, and those before the last of them that the lake lacks."""
    wanted = set(months)
    if not wanted:
        return wanted
    before = span(settings.partitions.first, max(wanted))
    return wanted | (set(before) - set(lake.months(_SESSIONS)))


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


def _run(
    request: str,
    block: tuple[str, str],
    labels: Mapping[str, str],
    chosen: Sequence[dg.AssetSpec] | None,
) -> dg.RunRequest:
    first, last = block
    return dg.RunRequest(
        run_key=f"{request}:{first}..{last}",
        asset_selection=None if chosen is None else [spec.key for spec in chosen],
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

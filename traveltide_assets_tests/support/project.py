"""A whole project in a temporary folder: settings, definitions, instance and lake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.definitions import build_definitions
from traveltide_assets.defs import tags as dagster_tags
from traveltide_assets.defs.jobs import ASSIGN_PERKS, INGEST
from traveltide_assets.defs.run import QUIET
from traveltide_assets.lake.ownership import MANIFEST, Told
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.resources import open_claim
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.settings import Settings

# Gold up to the segments that decide by default.
DECIDING = (
    "users_final",
    "sessions_final",
    "flights_final",
    "hotels_final",
    "trips_final",
    "user_features",
    "kmeans_model",
    "kmeans_diagnostics",
    "segments/kmeans",
)


class Project:
    """Runs the real jobs on a source and reads what they left in the lake."""

    def __init__(self, folder: Path, source: Any, **settings: Any) -> None:
        self.folder = folder
        self.source = source  # a folder in most tests
        self.lake = folder / "lake"
        places = {"source": source, "lake": self.lake, "home": folder / "home"}
        self.settings = Settings(**(places | settings))
        self.definitions = build_definitions(self.settings)

    @property
    def strategies(self) -> list[str]:
        """The strategies by name, without those that the settings leave out."""
        return list(build_strategies(self.settings, load_perks(self.settings.perks_file)))

    def ingest(self, first: str, last: str) -> dg.ExecuteInProcessResult:
        """Bronze and silver of the months from `first` to `last`, in one run."""
        tags = {dagster_tags.RANGE_START: first, dagster_tags.RANGE_END: last}
        return self._execute(INGEST, tags=tags)

    def assign(self, month: str) -> dg.ExecuteInProcessResult:
        """Gold of a month."""
        return self._execute(ASSIGN_PERKS, partition_key=month)

    def frame(self, path: str, month: str | None = None) -> pd.DataFrame:
        """A stored table, or one month of it, as anybody reads it: straight from its files."""
        files = self._files(path, month)
        parts = [pq.read_table(file, partitioning=None).to_pandas() for file in files]
        return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]

    def file(self, path: str, month: str | None = None) -> Path:
        """The file of a table, or of its month; of a table by file, that of its only file."""
        (file,) = self._files(path, month)
        return file

    def _files(self, path: str, month: str | None) -> list[Path]:
        folder = self.lake / path
        if month is not None:
            folder = folder / f"month={month}"
        name = f"{path.rsplit('/', 1)[-1]}.parquet"
        return sorted(folder.glob(f"file=*/{name}")) or [folder / name]

    def decide(self, month: str) -> dg.ExecuteInProcessResult:
        """Who gets which perk in a month, and all of gold that it rests on, but nothing beyond."""
        decided = dg.AssetSelection.assets("gold/perk_assignments").upstream()
        job = self.definitions.resolve_job_def(ASSIGN_PERKS).asset_layer
        graph = self.definitions.resolve_asset_graph()
        keys = decided.required_multi_asset_neighbors().resolve(graph) & job.selected_asset_keys
        return self._execute(ASSIGN_PERKS, partition_key=month, asset_selection=sorted(keys))

    def materialize(self, path: str, month: str) -> dg.ExecuteInProcessResult:
        """One asset of a month alone, as *Materialize* in the UI does."""
        return self.materialize_all([path], month)

    def materialize_all(self, paths: Sequence[str], month: str) -> dg.ExecuteInProcessResult:
        """Some assets of a month, and their checks."""
        return self._execute(
            ASSIGN_PERKS,
            partition_key=month,
            asset_selection=[dg.AssetKey(path.split("/")) for path in paths],
        )

    def _execute(self, job: str, **options: Any) -> dg.ExecuteInProcessResult:
        home = self.folder / "dagster"
        home.mkdir(exist_ok=True)
        with instance_in(home) as instance:
            return self.definitions.resolve_job_def(job).execute_in_process(
                instance=instance, run_config=QUIET, raise_on_error=False, **options
            )


def owned(project: Project) -> Project:
    """The project, whose lake was copied from that of another source, as the lake of its own."""
    (project.lake / MANIFEST).unlink(missing_ok=True)
    open_claim(project.settings, Folder(project.lake), Told.SAME_SOURCE).take()
    return project


def instance_in(home: Path) -> dg.DagsterInstance:
    """A Dagster instance as `traveltide run` has it."""
    log = {"module": "traveltide_assets.defs.instance.event_log", "class": "EventLog"}
    overrides = {
        "telemetry": {"enabled": False},
        "event_log_storage": {**log, "config": {"base_dir": str(home)}},
    }
    return dg.DagsterInstance.local_temp(str(home), overrides=overrides)


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    """`asset:check` of every check that did not pass."""
    return {
        f"{evaluation.asset_key.to_user_string()}:{evaluation.check_name}"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    }


def succeed(result: dg.ExecuteInProcessResult) -> None:
    assert result.success, failure(result)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The message at the root of the first step that failed."""
    event = next(event for event in result.all_events if event.is_step_failure)
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    assert error is not None
    return error.message

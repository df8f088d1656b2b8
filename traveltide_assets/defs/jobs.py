"""The jobs, and the executor of their steps."""

from __future__ import annotations

import warnings

import dagster as dg

from traveltide_assets.defs import tags
from traveltide_assets.defs.assets.inputs import SUPPRESSION_LIST
from traveltide_assets.defs.retries import WHOLE
from traveltide_assets.settings import Settings

INGEST = "ingest"
ASSIGN_PERKS = "assign_perks"
FULL_REFRESH = "full_refresh"
RELEASE = "release"


def build_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """The jobs: `ingest` takes any range of months in one run, the others one month per run.

    To refresh everything for a range of months, launch `ingest` for the range and backfill
    `assign_perks`: a run, and a run per month. A backfill of all assets takes eight runs per month.
    """
    # Dagster warns that the job mixes two policies and uses one month per run, which is intended.
    warnings.filterwarnings("ignore", message=f"Asset job {FULL_REFRESH} materializes assets with")
    return [
        dg.define_asset_job(
            INGEST,
            dg.AssetSelection.key_prefixes("bronze", "silver"),
            description="Reads bronze and silver of a range of months from the source.",
            tags=WHOLE,
        ),
        dg.define_asset_job(
            ASSIGN_PERKS,
            dg.AssetSelection.key_prefixes("gold"),
            description="Computes cohort, features, segments and perks as of the end of a month.",
        ),
        dg.define_asset_job(
            FULL_REFRESH,
            dg.AssetSelection.all(),
            description="Ingests a month and then decides it.",
            tags=WHOLE,
        ),
        dg.define_asset_job(
            RELEASE,
            # What rests on the suppression list is made again, so that today's list holds.
            dg.AssetSelection.assets(SUPPRESSION_LIST).downstream(include_self=False),
            description="Makes the campaign and the report of a decided month again, and releases "
            "it, also where releases wait for somebody.",
            tags={tags.RELEASE: "now"},
        ),
    ]


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """Executes all steps in one process, or each in a fork of a process with all imports done."""
    if settings.executor == "in_process":
        return dg.in_process_executor
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": settings.parallel_steps,
            "start_method": {"forkserver": {"preload_modules": ["traveltide_assets.definitions"]}},
        }
    )

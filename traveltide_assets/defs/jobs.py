"""What runs together: the jobs, and how their steps are executed."""

from __future__ import annotations

import warnings

import dagster as dg

from traveltide_assets.defs.retries import WHOLE
from traveltide_assets.settings import Settings

INGEST = "ingest"
ASSIGN_PERKS = "assign_perks"
FULL_REFRESH = "full_refresh"


def build_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """`ingest` takes any range of months in one run; the others take one month per run.

    A range of months of everything is a backfill of all assets, not of `full_refresh`: Dagster then
    ingests the range in one run and decides month by month.
    """
    # One month per run is the policy of a job with both kinds of assets, as it should be.
    warnings.filterwarnings("ignore", message=f"Asset job {FULL_REFRESH} materializes assets with")
    return [
        dg.define_asset_job(
            INGEST,
            dg.AssetSelection.key_prefixes("bronze", "silver"),
            description="Bronze and silver of a range of months, from the source.",
            tags=WHOLE,
        ),
        dg.define_asset_job(
            ASSIGN_PERKS,
            dg.AssetSelection.key_prefixes("gold"),
            description="Cohort, features, segments and perks as of the end of a month.",
        ),
        dg.define_asset_job(
            FULL_REFRESH,
            dg.AssetSelection.all(),
            description="Everything of a month: ingest it, then decide it.",
            tags=WHOLE,
        ),
    ]


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """Steps in one process, or each in a fork of a process that has imported everything."""
    if settings.executor == "in_process":
        return dg.in_process_executor
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": settings.parallel_steps,
            "start_method": {"forkserver": {"preload_modules": ["traveltide_assets.definitions"]}},
        }
    )

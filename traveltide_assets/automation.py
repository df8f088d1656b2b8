"""Jobs: what runs together."""

from __future__ import annotations

import dagster as dg

INGEST = "ingest"
ASSIGN_PERKS = "assign_perks"


def build_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """`ingest` takes any range of months in one run; `assign_perks` decides one month per run."""
    return [
        dg.define_asset_job(
            INGEST,
            dg.AssetSelection.key_prefixes("bronze", "silver"),
            description="Bronze and silver of a range of months, from the source.",
        ),
        dg.define_asset_job(
            ASSIGN_PERKS,
            dg.AssetSelection.key_prefixes("gold"),
            description="Cohort, features, segments and perks as of the end of a month.",
        ),
    ]

"""Gold up to the features: one asset per step of `transforms/chain.py`, as of a month's end."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis

from traveltide_assets.defs.gate import Gate
from traveltide_assets.defs.partitions import ALL_UP_TO, MONTHLY
from traveltide_assets.lake.lake import Lake
from traveltide_assets.settings import Settings
from traveltide_assets.transforms import cohort
from traveltide_assets.transforms.chain import STEPS, Step, cached
from traveltide_assets.transforms.config import Config

_SESSIONS = "silver/sessions_processed"


def build() -> list[dg.AssetsDefinition]:
    """One asset for each step from silver to features."""
    return [_asset(step) for step in STEPS]


def _asset(step: Step) -> dg.AssetsDefinition:
    @dg.asset(
        name=step.name,
        key_prefix="gold",
        kinds={"duckdb"},
        partitions_def=MONTHLY,
        ins={
            name: dg.AssetIn(
                path.split("/"),
                partition_mapping=ALL_UP_TO if path == _SESSIONS else None,
                dagster_type=ibis.Table,
            )
            for name, path in step.inputs.items()
        },
    )
    def table_of_cohort(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        lake: dg.ResourceParam[Lake],
        gate: dg.ResourceParam[Gate],
        **tables: ibis.Table,
    ) -> Iterator[Any]:
        month, rule = context.partition_key, settings.cohort
        if _SESSIONS in step.inputs.values():
            _require_ingested(lake, rule, month, settings.partitions.first)
        if any(path.startswith("silver/") for path in step.inputs.values()):
            gate.require_sound(month)
        with step.compute(tables, rule, month, cached) as table:
            metadata = {"cohort_rule": cohort.describe(rule, month)}
            yield dg.MaterializeResult(value=table, metadata=metadata)

    return table_of_cohort


def _require_ingested(lake: Lake, rule: Config, month: str, first: str) -> None:
    """Raise if a month is missing: customers would be left out silently."""
    needed = cohort.months_needed(rule, month, first)
    if missing := sorted(set(needed) - set(lake.months(_SESSIONS))):
        raise dg.Failure(
            f"the cohort of {month} requires sessions from {needed[0]} on, but silver does not "
            f"have {', '.join(missing)}: ingest these months first",
            allow_retries=False,
        )

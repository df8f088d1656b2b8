"""One perk per customer, by the strategy that decides."""

from collections.abc import Iterable
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, features_of, titles, to_frame
from traveltide_assets.defs.assets.inputs import PERKS, chosen, chosen_by
from traveltide_assets.defs.describe import picture
from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.evidence.config import RECOMMENDED
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.report import charts
from traveltide_assets.segmentation import affinities
from traveltide_assets.segmentation.strategy import ASSIGNMENT


def build(setting: str, strategies: Iterable[str]) -> list[dg.AssetsDefinition]:
    """The segments and perks of the deciding strategy, and the catalogue they come from.

    A strategy that the setting names decides without waiting for the others.
    """
    rivals = tuple(strategies) if setting == RECOMMENDED else (setting,)
    return [_decided_segments(rivals), perk_assignments, perk_catalogue]


def _decided_segments(rivals: tuple[str, ...]) -> dg.AssetsDefinition:
    segments = {f"segments_{name}": name for name in rivals}

    @dg.asset(
        key_prefix="gold",
        kinds={"pandas"},
        partitions_def=MONTHLY,
        ins={
            **chosen_by(rivals),
            **{
                name: dg.AssetIn(["gold", "segments", strategy], dagster_type=Months)
                for name, strategy in segments.items()
            },
        },
    )
    def decided_segments(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], **stored: Any
    ) -> dg.MaterializeResult[pd.DataFrame]:
        month, strategy = context.partition_key, chosen(rivals, stored)
        customers = stored[f"segments_{strategy}"][month]
        if customers.empty:
            raise dg.Failure(
                f"the deciding strategy, {strategy}, has too little history in {month} to assign "
                "perks: decide a later month, or set another strategy",
                allow_retries=False,
            )
        if "model_version" not in customers:
            customers["model_version"] = lake.digest(f"gold/segments/{strategy}", month)[:12]
        decided = customers[[*ASSIGNMENT, "model_version"]].assign(strategy=strategy)
        return dg.MaterializeResult(value=decided, metadata={"strategy": strategy})

    return decided_segments


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={
        "features": dg.AssetIn(["gold", "user_features"]),
        "customers": dg.AssetIn(["gold", "decided_segments"]),
    },
    deps=[PERKS],
)
def perk_assignments(
    context: dg.AssetExecutionContext,
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    features: ibis.Table,
    customers: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    weighed = features.select("user_id", *sorted(features_of(perk_catalogue)))
    known = weighed.order_by("user_id").to_pyarrow().to_pandas()
    assignments = affinities.assignments(known, customers, perk_catalogue).assign(
        as_of_month=context.partition_key
    )
    return dg.MaterializeResult(
        value=assignments,
        metadata={
            "strategy": str(customers["strategy"].iloc[0]),
            "perks": picture(charts.perk_counts(assignments, titles(perk_catalogue))),
        },
    )


@dg.asset(key_prefix="gold", kinds={"pandas"}, partitions_def=MONTHLY, deps=[PERKS])
def perk_catalogue(
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
) -> dg.MaterializeResult[pd.DataFrame]:
    return dg.MaterializeResult(value=to_frame(perk_catalogue))

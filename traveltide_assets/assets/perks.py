"""One perk per customer, by the strategy that decides."""

import dagster as dg
import pandas as pd

from traveltide_assets.assets.describe import picture
from traveltide_assets.partitions import MONTHLY
from traveltide_assets.segmentation import perks, plots
from traveltide_assets.segmentation.perks import Perk

STRATEGY = "kmeans"


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={
        "features": dg.AssetIn(["gold", "user_features"]),
        "customers": dg.AssetIn(["gold", "segments", STRATEGY]),
    },
)
def perk_assignments(
    context: dg.AssetExecutionContext,
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    features: pd.DataFrame,
    customers: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    assignments = perks.assignments(features, customers, perk_catalogue).assign(
        strategy=STRATEGY, as_of_month=context.partition_key
    )
    return dg.MaterializeResult(
        value=assignments,
        metadata={"perks": picture(plots.perk_counts(assignments), "customers per perk")},
    )

"""One perk per customer, by the strategy that decides."""

import dagster as dg
import pandas as pd

from traveltide_assets.assets.describe import picture
from traveltide_assets.lake import Lake
from traveltide_assets.partitions import MONTHLY
from traveltide_assets.report import charts
from traveltide_assets.segmentation import perks
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.settings import STRATEGIES, Settings


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    # Which of them decides is configuration, so only that one is read; and of the features only
    # those that perks weigh.
    deps=[
        dg.AssetKey(["gold", "user_features"]),
        *(dg.AssetKey(["gold", "segments", name]) for name in STRATEGIES),
    ],
)
def perk_assignments(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
) -> dg.MaterializeResult[pd.DataFrame]:
    month, path = context.partition_key, f"gold/segments/{settings.strategy}"
    customers = lake.frame(path, month)
    if customers.empty:
        raise dg.Failure(
            f"the deciding strategy, {settings.strategy}, has too little history in {month} to "
            "give anybody a perk: decide a later month, or set another strategy",
            allow_retries=False,
        )
    if "model_version" not in customers:
        customers["model_version"] = lake.digest(path, month)[:12]
    features = lake.frame(
        "gold/user_features", month, ["user_id", *perks.features_of(perk_catalogue)]
    )
    assignments = perks.assignments(features, customers, perk_catalogue).assign(
        strategy=settings.strategy, as_of_month=month
    )
    return dg.MaterializeResult(
        value=assignments,
        metadata={
            "strategy": settings.strategy,
            "perks": picture(charts.perk_counts(assignments, perks.titles(perk_catalogue))),
        },
    )


@dg.asset(key_prefix="gold", kinds={"pandas"}, partitions_def=MONTHLY)
def perk_catalogue(
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
) -> dg.MaterializeResult[pd.DataFrame]:
    rows = [
        {
            "perk": perk.id,
            "position": position,
            "title": perk.title,
            "audience": perk.audience,
            "headline": perk.headline,
            "features": list(perk.features),
            "weights": list(perk.features.values()),
        }
        for position, perk in enumerate(perk_catalogue)
    ]
    return dg.MaterializeResult(value=pd.DataFrame(rows))

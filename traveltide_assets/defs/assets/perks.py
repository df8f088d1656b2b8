"""One perk per customer, by the strategy that decides."""

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, features_of, titles, to_frame
from traveltide_assets.defs.assets.inputs import PERKS
from traveltide_assets.defs.describe import picture
from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.lake.lake import Lake
from traveltide_assets.report import charts
from traveltide_assets.segmentation import affinities


def build(strategy: str) -> list[dg.AssetsDefinition]:
    """The perks of the deciding strategy, and the catalogue that they come from."""
    return [_perk_assignments(strategy), perk_catalogue]


def _perk_assignments(strategy: str) -> dg.AssetsDefinition:
    @dg.asset(
        key_prefix="gold",
        kinds={"pandas"},
        partitions_def=MONTHLY,
        ins={
            "features": dg.AssetIn(["gold", "user_features"]),
            "customers": dg.AssetIn(["gold", "segments", strategy]),
        },
        deps=[PERKS],
    )
    def perk_assignments(
        context: dg.AssetExecutionContext,
        lake: dg.ResourceParam[Lake],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        features: ibis.Table,
        customers: pd.DataFrame,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        month = context.partition_key
        if customers.empty:
            raise dg.Failure(
                f"the deciding strategy, {strategy}, has too little history in {month} to assign "
                "perks: decide a later month, or set another strategy",
                allow_retries=False,
            )
        if "model_version" not in customers:
            customers["model_version"] = lake.digest(f"gold/segments/{strategy}", month)[:12]
        weighed = features.select("user_id", *sorted(features_of(perk_catalogue)))
        known = weighed.order_by("user_id").to_pyarrow().to_pandas()
        assignments = affinities.assignments(known, customers, perk_catalogue).assign(
            strategy=strategy, as_of_month=month
        )
        return dg.MaterializeResult(
            value=assignments,
            metadata={
                "strategy": strategy,
                "perks": picture(charts.perk_counts(assignments, titles(perk_catalogue))),
            },
        )

    return perk_assignments


@dg.asset(key_prefix="gold", kinds={"pandas"}, partitions_def=MONTHLY, deps=[PERKS])
def perk_catalogue(
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
) -> dg.MaterializeResult[pd.DataFrame]:
    return dg.MaterializeResult(value=to_frame(perk_catalogue))

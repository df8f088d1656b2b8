"""One perk per customer, by the strategy that decides."""

from collections.abc import Iterable, Iterator
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
    return [_perk_assignments(rivals), perk_catalogue]


def _perk_assignments(rivals: tuple[str, ...]) -> dg.AssetsDefinition:
    segments = {f"segments_{name}": name for name in rivals}

    @dg.multi_asset(
        name="perk_assignments",
        outs={
            name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"pandas"})
            for name in ("decided_segments", "perk_assignments")
        },
        ins={
            "features": dg.AssetIn(["gold", "user_features"]),
            **chosen_by(rivals),
            **{
                name: dg.AssetIn(["gold", "segments", strategy], dagster_type=Months)
                for name, strategy in segments.items()
            },
        },
        deps=[PERKS],
        partitions_def=MONTHLY,
    )
    def perk_assignments(
        context: dg.AssetExecutionContext,
        lake: dg.ResourceParam[Lake],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        features: ibis.Table,
        **stored: Any,
    ) -> Iterator[Any]:
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
        weighed = features.select("user_id", *sorted(features_of(perk_catalogue)))
        known = weighed.order_by("user_id").to_pyarrow().to_pandas()
        assignments = affinities.assignments(known, customers, perk_catalogue).assign(
            strategy=strategy, as_of_month=month
        )
        decided = customers[[*ASSIGNMENT]].assign(strategy=strategy)
        yield dg.Output(decided, output_name="decided_segments")
        yield dg.Output(
            assignments,
            output_name="perk_assignments",
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

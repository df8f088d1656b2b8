"""What a month comes down to in small tables, which the desk reads instead of its customers."""

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.defs.partitions import AND_PREVIOUS, MONTHLY
from traveltide_assets.lake.lake import Months
from traveltide_assets.report import summaries
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation.scaling import NUMERIC, numeric


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={
        "features": dg.AssetIn(["gold", "user_features"]),
        "assigned": dg.AssetIn(["gold", "perk_assignments"]),
    },
)
def segment_profiles(
    features: ibis.Table, assigned: ibis.Table
) -> dg.MaterializeResult[pd.DataFrame]:
    found = summaries.segment_profiles(_values(features), _of_each(assigned, "segment"))
    return dg.MaterializeResult(value=found)


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={
        "features": dg.AssetIn(["gold", "user_features"], partition_mapping=AND_PREVIOUS),
        "assigned": dg.AssetIn(["gold", "perk_assignments"], partition_mapping=AND_PREVIOUS),
    },
)
def perk_moves(
    context: dg.AssetExecutionContext, features: Months, assigned: Months
) -> dg.MaterializeResult[pd.DataFrame]:
    month = context.partition_key
    before = previous_month(month)
    perk, values = _of_each(assigned.table(month), "perk"), _values(features.table(month))
    perk_before, values_before = perk.iloc[:0], values.iloc[:0]
    if before in assigned and before in features:
        perk_before = _of_each(assigned.table(before), "perk")
        values_before = _values(features.table(before))
    found = summaries.perk_moves(perk, perk_before, values, values_before)
    return dg.MaterializeResult(value=found)


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={"features": dg.AssetIn(["gold", "user_features"])},
)
def feature_sample(features: pd.DataFrame) -> dg.MaterializeResult[pd.DataFrame]:
    return dg.MaterializeResult(value=summaries.sample(features))


def _values(features: ibis.Table) -> pd.DataFrame:
    """The numeric features, by `user_id` and in its order: sums depend on the order."""
    names = [name for name in NUMERIC if name in features.columns]
    return numeric(_in_order(features, *names), names)


def _of_each(assigned: ibis.Table, column: str) -> pd.Series:
    return _in_order(assigned, column).set_index("user_id")[column]


def _in_order(table: ibis.Table, *columns: str) -> pd.DataFrame:
    return table.select("user_id", *columns).order_by("user_id").to_pyarrow().to_pandas()


ASSETS = (segment_profiles, perk_moves, feature_sample)

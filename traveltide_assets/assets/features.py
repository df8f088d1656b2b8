"""The features of every customer of the cohort, from the feature catalogue."""

import dagster as dg
import ibis

from traveltide_assets.partitions import MONTHLY
from traveltide_assets.transforms import features


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins={
        "users": dg.AssetIn(["gold", "users_final"]),
        "sessions": dg.AssetIn(["gold", "sessions_final"]),
        "trips": dg.AssetIn(["gold", "trips_final"]),
    },
)
def user_features(
    context: dg.AssetExecutionContext, users: ibis.Table, sessions: ibis.Table, trips: ibis.Table
) -> dg.MaterializeResult[ibis.Table]:
    return dg.MaterializeResult(
        value=features.user_features(users, sessions, trips, context.partition_key)
    )

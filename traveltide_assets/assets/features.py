"""What is known of every customer of the cohort: features, and what followed earlier ones."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis

from traveltide_assets.months import shift
from traveltide_assets.partitions import MONTHLY
from traveltide_assets.settings import Settings
from traveltide_assets.transforms import features, outcomes


def _rows(*names: str) -> dict[str, dg.AssetIn]:
    return {name: dg.AssetIn(["gold", f"{name}_final"]) for name in names}


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins=_rows("users", "sessions", "trips"),
)
def user_features(
    context: dg.AssetExecutionContext, users: ibis.Table, sessions: ibis.Table, trips: ibis.Table
) -> Iterator[Any]:
    # Read twice, by what compares the customers and by what is compared.
    with features.measured(users, sessions, trips, context.partition_key).cache() as measured:
        yield dg.MaterializeResult(value=features.compared(measured))


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins=_rows("users", "sessions", "flights", "hotels"),
)
def earlier_features(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    cut = shift(context.partition_key, -settings.evidence.months)
    users = outcomes.chosen_anyway(users, sessions, settings.cohort.min_sessions, cut)
    return dg.MaterializeResult(
        value=outcomes.earlier_features(users, sessions, flights, hotels, cut),
        metadata={"cut_after": cut},
    )


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins=_rows("users", "sessions", "trips"),
)
def perk_outcomes(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
    trips: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    cut = shift(context.partition_key, -settings.evidence.months)
    users = outcomes.chosen_anyway(users, sessions, settings.cohort.min_sessions, cut)
    return dg.MaterializeResult(
        value=outcomes.outcomes_after(users, sessions, trips, cut), metadata={"cut_after": cut}
    )

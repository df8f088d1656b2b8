"""Gold: the cohort and its rows, as of the end of a month."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis

from traveltide_assets.lake import Lake
from traveltide_assets.partitions import ALL_UP_TO, MONTHLY
from traveltide_assets.settings import Settings
from traveltide_assets.transforms import cohort, trips

_SESSIONS = dg.AssetIn(["silver", "sessions_processed"], partition_mapping=ALL_UP_TO)


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins={"users": dg.AssetIn(["silver", "users_processed"]), "sessions": _SESSIONS},
)
def users_final(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    users: ibis.Table,
    sessions: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    month, rule = context.partition_key, settings.cohort
    needed = cohort.months_needed(rule, month, settings.partitions.first)
    if missing := sorted(set(needed) - set(lake.months("silver/sessions_processed"))):
        raise dg.Failure(
            f"the cohort of {month} rests on sessions from {needed[0]} on, but silver lacks "
            f"{', '.join(missing)}: ingest these months first",
            allow_retries=False,
        )
    return dg.MaterializeResult(
        value=cohort.cohort_users(users, sessions, rule, month),
        metadata={"cohort_rule": cohort.describe(rule, month)},
    )


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins={"users": dg.AssetIn(["gold", "users_final"]), "sessions": _SESSIONS},
)
def sessions_final(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    rule = settings.cohort
    return dg.MaterializeResult(
        value=cohort.cohort_sessions(sessions, users, rule, context.partition_key)
    )


def _named_by_cohort(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{name}_final",
        key_prefix="gold",
        kinds={"duckdb"},
        partitions_def=MONTHLY,
        ins={
            "table": dg.AssetIn(["silver", f"{name}_processed"]),
            "sessions": dg.AssetIn(["gold", "sessions_final"]),
        },
    )
    def final(table: ibis.Table, sessions: ibis.Table) -> dg.MaterializeResult[ibis.Table]:
        return dg.MaterializeResult(value=cohort.named_by(table, sessions))

    return final


flights_final = _named_by_cohort("flights")
hotels_final = _named_by_cohort("hotels")


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins={
        "sessions": dg.AssetIn(["gold", "sessions_final"]),
        "users": dg.AssetIn(["gold", "users_final"]),
        "flights": dg.AssetIn(["gold", "flights_final"]),
        "hotels": dg.AssetIn(["gold", "hotels_final"]),
    },
)
def trips_final(
    context: dg.AssetExecutionContext,
    sessions: ibis.Table,
    users: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
) -> Iterator[Any]:
    with trips.bookings_of(sessions).cache() as bookings:
        yield dg.MaterializeResult(
            value=trips.build_trips(bookings, users, flights, hotels, context.partition_key)
        )

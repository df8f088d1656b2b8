"""Silver: typed, keyed and repaired rows. All other rows are in quarantine, with the reason."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis

from traveltide_assets.defs.beta import relied_on
from traveltide_assets.defs.describe import counts
from traveltide_assets.defs.partitions import ALL_UP_TO, MONTHLY, RANGE_PER_RUN
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.cleaning import judge
from traveltide_assets.transforms.cleaning.judge import Cleaned


def _outs(name: str) -> dict[str, dg.AssetOut]:
    return {
        f"{name}_{part}": dg.AssetOut(
            key_prefix="silver", dagster_type=ibis.Table, kinds={"duckdb"}
        )
        for part in ("processed", "quarantine")
    }


def _outputs(name: str, cleaned: Cleaned) -> Iterator[dg.Output[ibis.Table]]:
    with cleaned:
        yield dg.Output(
            cleaned.processed,
            output_name=f"{name}_processed",
            metadata={"repaired": counts(cleaned.repairs, "rule")},
        )
        yield dg.Output(
            cleaned.quarantine,
            output_name=f"{name}_quarantine",
            metadata={"rejected": counts(cleaned.rejections, "rule")},
        )


@dg.multi_asset(
    name="users_silver", outs=_outs("users"), ins={"raw": dg.AssetIn(["bronze", "users_raw"])}
)
def users_silver(raw: ibis.Table, settings: dg.ResourceParam[Settings]) -> Iterator[Any]:
    yield from _outputs("users", judge.clean_users(raw, settings.cleaning.null_words))


with relied_on():

    @dg.multi_asset(
        name="sessions_silver",
        outs=_outs("sessions"),
        ins={
            "raw": dg.AssetIn(["bronze", "sessions_raw"], partition_mapping=ALL_UP_TO),
            "users": dg.AssetIn(["silver", "users_processed"]),
        },
        partitions_def=MONTHLY,
        backfill_policy=RANGE_PER_RUN,
    )
    def sessions_silver(
        context: dg.AssetExecutionContext,
        raw: ibis.Table,
        users: ibis.Table,
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[Any]:
        months, null_words = list(context.partition_keys), settings.cleaning.null_words
        yield from _outputs("sessions", judge.clean_sessions(raw, users, months, null_words))


@dg.multi_asset(
    name="flights_silver",
    outs=_outs("flights"),
    ins={"raw": dg.AssetIn(["bronze", "flights_raw"])},
)
def flights_silver(raw: ibis.Table, settings: dg.ResourceParam[Settings]) -> Iterator[Any]:
    yield from _outputs("flights", judge.clean_flights(raw, settings.cleaning.null_words))


@dg.multi_asset(
    name="hotels_silver", outs=_outs("hotels"), ins={"raw": dg.AssetIn(["bronze", "hotels_raw"])}
)
def hotels_silver(raw: ibis.Table, settings: dg.ResourceParam[Settings]) -> Iterator[Any]:
    yield from _outputs("hotels", judge.clean_hotels(raw, settings.cleaning.null_words))


@dg.multi_asset(
    name="responses_silver",
    outs=_outs("responses"),
    ins={
        "raw": dg.AssetIn(["bronze", "responses_raw"]),
        "users": dg.AssetIn(["silver", "users_processed"]),
    },
)
def responses_silver(
    raw: ibis.Table, users: ibis.Table, settings: dg.ResourceParam[Settings]
) -> Iterator[Any]:
    cleaned = judge.clean_responses(raw, users, settings.cleaning.null_words)
    yield from _outputs("responses", cleaned)


ASSETS = (users_silver, sessions_silver, flights_silver, hotels_silver, responses_silver)

"""The input of back-tests: features as of the cuts, outcomes after them, features of each half."""

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.campaign.mailed import sent_before
from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.lake.lake import Lake
from traveltide_assets.schema.months import shift
from traveltide_assets.settings import Settings
from traveltide_assets.transforms import chain, copies, cuts, halves, outcomes


def _rows(*names: str) -> dict[str, dg.AssetIn]:
    return {name: dg.AssetIn(["gold", f"{name}_final"]) for name in names}


_FINAL = _rows("users", "sessions", "flights", "hotels")
_MAILED = {"mailed": dg.AssetIn(["gold", "mailed_customers"])}


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    deps=[dg.AssetKey(["gold", "users_final"])],
)
def mailed_customers(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[pd.DataFrame]:
    """Read from the releases of earlier months, whenever the month is decided."""
    found = sent_before(lake.releases, settings.experiment, context.partition_key)
    return dg.MaterializeResult(value=found, metadata={"customers": len(found)})


@dg.asset(key_prefix="gold", kinds={"duckdb"}, partitions_def=MONTHLY, ins=_FINAL | _MAILED)
def earlier_features(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    mailed: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    month = context.partition_key
    cut = cuts.latest(month, settings.evidence.months)
    users = cuts.untouched(users, mailed, month)
    users = outcomes.chosen_anyway(users, sessions, settings.cohort.min_sessions, cut)
    before = outcomes.sessions_before(sessions, cut)
    lead = settings.cohort.long_lead_days
    return dg.MaterializeResult(
        value=chain.features_of(users, before, flights, hotels, cut, long_lead_days=lead),
        metadata={"cut_after": cut},
    )


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins=_rows("users", "sessions", "trips") | _MAILED,
)
def perk_outcomes(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
    trips: ibis.Table,
    mailed: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    month = context.partition_key
    cut = cuts.latest(month, settings.evidence.months)
    users = cuts.untouched(users, mailed, month)
    users = outcomes.chosen_anyway(users, sessions, settings.cohort.min_sessions, cut)
    return dg.MaterializeResult(
        value=outcomes.outcomes_after(users, sessions, trips, cut), metadata={"cut_after": cut}
    )


@dg.asset(key_prefix="gold", kinds={"duckdb"}, partitions_def=MONTHLY, ins=_FINAL | _MAILED)
def cut_features(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    mailed: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    month, months = context.partition_key, settings.evidence.months
    before = cuts.before(month, months, settings.evidence.cuts)
    asked = before or [cuts.latest(month, months)]
    chosen = cuts.copies_untouched(users, mailed, [shift(cut, months) for cut in asked])
    visits, flown, stayed = (
        copies.each(table, range(len(asked))) for table in (sessions, flights, hotels)
    )
    found = cuts.features_at(chosen, visits, flown, stayed, settings.cohort, asked)
    return dg.MaterializeResult(
        value=cuts.together(found, asked, nobody=not before), metadata={"cuts_after": before}
    )


@dg.asset(key_prefix="gold", kinds={"duckdb"}, partitions_def=MONTHLY, ins=_FINAL | _MAILED)
def cut_outcomes(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    mailed: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    month, months = context.partition_key, settings.evidence.months
    before = cuts.before(month, months, settings.evidence.cuts)
    asked = before or [cuts.latest(month, months)]
    until = [shift(cut, months) for cut in asked]
    chosen = cuts.copies_untouched(users, mailed, until)
    visits, flown, stayed = (
        copies.each(table, range(len(asked))) for table in (sessions, flights, hotels)
    )
    fewest = settings.cohort.min_sessions
    found = cuts.outcomes_between(chosen, visits, flown, stayed, fewest, asked, until)
    return dg.MaterializeResult(
        value=cuts.together(found, asked, nobody=not before), metadata={"cuts_after": before}
    )


@dg.asset(key_prefix="gold", kinds={"duckdb"}, partitions_def=MONTHLY, ins=_FINAL)
def half_features(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    month, lead = context.partition_key, settings.cohort.long_lead_days
    return dg.MaterializeResult(
        value=halves.half_features(users, sessions, flights, hotels, month, lead)
    )


ASSETS = (
    mailed_customers,
    earlier_features,
    perk_outcomes,
    cut_features,
    cut_outcomes,
    half_features,
)

"""The input of back-tests: features as of a cut, and outcomes after it."""

import dagster as dg
import ibis

from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.schema.months import shift
from traveltide_assets.settings import Settings
from traveltide_assets.transforms import chain, outcomes


def _rows(*names: str) -> dict[str, dg.AssetIn]:
    return {name: dg.AssetIn(["gold", f"{name}_final"]) for name in names}


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


ASSETS = (earlier_features, perk_outcomes)

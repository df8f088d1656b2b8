"""What customers did after their n-th session: what the predictor learns and is judged on.

Nothing of the first n sessions counts, neither their visits nor the trips booked in them. With
n = 0 everything counts, because nothing has been seen. Behaviour counts within a horizon of days
after the n-th session (after the first one for n = 0) and up to the end of the month.
"""

from __future__ import annotations

import ibis

from traveltide_assets.prediction.config import Config
from traveltide_assets.prediction.early import SEEN, each_n, numbered
from traveltide_assets.schema.months import end_of, shift
from traveltide_assets.transforms.outcomes import OUTCOMES

AFTER_CUT = "after_cut"


def early_outcomes(
    users: ibis.Table,
    sessions: ibis.Table,
    trips: ibis.Table,
    month: str,
    fewest: int,
    config: Config,
) -> ibis.Table:
    """One row per customer, n and side of the inner cut: the outcomes after the n-th session.

    The inner cut is the end of the month `config.months_ahead` months before `month`. Left out are
    customers and n for whom later cancellations alone fill the minimum of `fewest` sessions: the
    cohort rule selected them for cancelling.
    """
    cut = ibis.timestamp(end_of(shift(month, -config.months_ahead)).isoformat())
    placed = numbered(sessions)
    begun = _begun(users, placed, fewest)
    begun = begun.mutate(until=begun.since + ibis.interval(days=config.horizon_days))
    visits = placed.inner_join(begun, "user_id")
    visits = visits.filter(
        (visits.place >= visits[SEEN]) & (visits.session_start < visits.until)
    ).mutate(**{AFTER_CUT: ibis._.session_start >= cut})
    booked = trips.filter(trips.booked_at.notnull()).inner_join(begun, "user_id")
    # The n-th session's own trip is known; before any session, nothing is.
    late = (booked.booked_at > booked.since) | (
        (booked.booked_at == booked.since) & (booked[SEEN] == 0)
    )
    booked = booked.filter(late & (booked.booked_at < booked.until)).mutate(
        **{AFTER_CUT: ibis._.booked_at >= cut}
    )
    result = begun.select("user_id", SEEN).mutate(**{AFTER_CUT: ibis.array([False, True]).unnest()})
    keys = ["user_id", SEEN, AFTER_CUT]
    # Trips that were open at the n-th session count for no outcome: the inputs do not tell of them.
    tables = {"sessions": visits, "trips": booked, "cancellable_trips": booked}
    for source, table in tables.items():
        found = table.group_by(keys).agg(**_amounts(table, source))
        result = result.left_join(found, keys).drop([f"{key}_right" for key in keys])
    return result.mutate({c: result[c].fill_null(0) for c in result.columns if c not in keys})


def _begun(users: ibis.Table, placed: ibis.Table, fewest: int) -> ibis.Table:
    """One row per customer and n: when the n-th session began (the first one for n = 0)."""
    known = each_n(users.select("user_id"), placed).rename({SEEN: "n"})
    paired = placed.inner_join(known, "user_id")
    counted = (paired.place < paired[SEEN]) | ~paired.cancellation
    at = ibis.greatest(paired[SEEN] - 1, 0)
    return (
        paired.group_by(["user_id", SEEN])
        .having(counted.sum() >= fewest)
        .agg(since=paired.session_start.min(where=paired.place == at))
    )


def _amounts(table: ibis.Table, source: str) -> dict[str, ibis.Value]:
    found: dict[str, ibis.Value] = {}
    for outcome in OUTCOMES:
        if outcome.source == source:
            found[f"{outcome.name}_amount"] = outcome.amount(table).cast("float64")
            found[f"{outcome.name}_opportunities"] = outcome.opportunities(table)
    return found

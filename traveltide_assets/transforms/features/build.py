"""Computes the feature catalogue: one row per customer."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
from ibis.common.deferred import Deferred

from traveltide_assets.transforms import copies
from traveltide_assets.transforms.config import LONG_LEAD_DAYS
from traveltide_assets.transforms.copies import Month
from traveltide_assets.transforms.features import ranks
from traveltide_assets.transforms.features.catalogue import CATALOGUE, Feature
from traveltide_assets.transforms.features.ranks import COHORT

Catalogue = tuple[Feature, ...]


def measured(
    users: ibis.Table,
    sessions: ibis.Table,
    trips: ibis.Table,
    month: Month,
    long_lead_days: int = LONG_LEAD_DAYS,
    catalogue: Catalogue = CATALOGUE,
) -> ibis.Table:
    """One row per customer: the features that do not depend on other customers.

    A trip is booked long ahead if it starts more than `long_lead_days` days after its booking.
    Trips booked before the data begins are left out, because their bookings were not observed; only
    the features from `rows` count their cancellations.
    """
    dated_trips = trips.mutate(
        as_of=copies.end(trips, month), long_lead_days=ibis.literal(long_lead_days)
    )
    events = {
        "sessions": sessions.mutate(as_of=copies.end(sessions, month)),
        "trips": dated_trips.filter(trips.booked_at.notnull()),
        "rows": dated_trips,
    }
    dated = users.mutate(last_day=copies.last_day(users, month))
    table = dated.select("user_id", **_expressions(dated, "users", catalogue))
    names = list(table.columns)
    # All joins are one step: a step of its own for each has to be planned with all its columns.
    for source, rows in events.items():
        if found := _expressions(rows, source, catalogue):
            by_customer = rows.group_by("user_id").agg(**found)
            table = table.left_join(by_customer, "user_id", rname=f"{{name}}_of_{source}")
            names += found
    zero = {f.name for f in catalogue if _fills_with_zero(f)}
    return table.select(
        **{name: table[name].fill_null(0) if name in zero else table[name] for name in names}
    )


def compared(
    customers: ibis.Table, within: Deferred | None = None, catalogue: Catalogue = CATALOGUE
) -> ibis.Table:
    """One row per customer: the `measured` features and the scores, in catalogue order.

    Scores compare a customer with the whole cohort, or only with customers that have the same value
    of `within`.
    """
    table = customers if within is None else customers.mutate({COHORT: within})
    others = [feature for feature in catalogue if feature.source == "features"]
    known = [ranks.bounds(table, f.name, f.expression(table)) for f in others if f.ranked]
    if others:
        known.append(ranks.extremes(table, table.savings_per_km))
    for found in known:
        table = ranks.beside(table, found)
    scores = {f.name: _compared(table, f) for f in others}
    names = [feature.name for feature in catalogue]
    return table.select(
        "user_id", **{name: scores[name] if name in scores else table[name] for name in names}
    )


def _compared(table: ibis.Table, feature: Feature) -> ir.Value:
    value = feature.expression(table)
    return ranks.score(table, feature.name, value) if feature.ranked else value


def _fills_with_zero(feature: Feature) -> bool:
    return feature.source in ("sessions", "trips") and not feature.nullable


def _expressions(table: ibis.Table, source: str, catalogue: Catalogue) -> dict[str, ir.Value]:
    return {f.name: f.expression(table) for f in catalogue if f.source == source}

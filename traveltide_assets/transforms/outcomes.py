"""Outcomes: what customers did after a cut, measured per opportunity.

An outcome has an amount and its opportunities (bags and flights, cancellations and booked trips),
so that activity is not mistaken for preference. Both are stored per customer; the mean over
customers is the sum of amounts divided by the sum of opportunities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traveltide_assets.transforms import copies
from traveltide_assets.transforms.copies import Month
from traveltide_assets.transforms.features import expressions as f

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir


@dataclass(frozen=True)
class Outcome:
    """One behaviour: `amount` per `opportunities`, both aggregated by customer from one table.

    `source` is the table: `sessions` after the cut, `trips` booked after it, or
    `cancellable_trips`, which are those and the trips that were open at the cut. `wording` is the
    behaviour in words, with a place for how much of it there is per opportunity.
    """

    name: str
    description: str
    wording: str
    source: str
    amount: Callable[[ibis.Table], ir.NumericValue]
    opportunities: Callable[[ibis.Table], ir.IntegerValue]

    def in_words(self, value: float) -> str:
        """This much of the behaviour per opportunity, for people."""
        return self.wording.format(value)


OUTCOMES: tuple[Outcome, ...] = (
    Outcome(
        "nights_per_stay",
        "nights per hotel stay",
        "{:.2f} nights per hotel stay",
        "trips",
        lambda t: t.nights.sum(where=f.stayed(t)).fill_null(0),
        lambda t: f.count(f.stayed(t)),
    ),
    Outcome(
        "bags_per_flight",
        "checked bags per flight",
        "{:.2f} checked bags per flight",
        "trips",
        lambda t: t.checked_bags.sum(where=f.flown(t)).fill_null(0),
        lambda t: f.count(f.flown(t)),
    ),
    Outcome(
        "cancelled_share",
        "cancelled share of trips open at the cut or booked after it",
        "{:.1%} of trips cancelled",
        "cancellable_trips",
        lambda t: f.count(t.status == "cancelled"),
        lambda t: t.count(),
    ),
    Outcome(
        "discounted_share",
        "discounted share of booked trips",
        "{:.1%} of booked trips discounted",
        "trips",
        lambda t: f.count(f.discounted_trip(t)),
        lambda t: t.count(),
    ),
    Outcome(
        "package_share",
        "share of trips booked with flight and hotel",
        "{:.1%} of trips with flight and hotel",
        "trips",
        lambda t: f.count(f.kept(t) & (t.kind == "package")),
        lambda t: f.count(f.kept(t)),
    ),
    Outcome(
        "short_solo_share",
        "share of trips that are short and for one",
        "{:.1%} of trips short and for one",
        "trips",
        lambda t: f.count(f.short_solo(t) & f.kept(t)),
        lambda t: f.count(f.kept(t)),
    ),
    Outcome(
        "km_per_flight",
        "kilometres per flight",
        "{:,.0f} kilometres per flight",
        "trips",
        lambda t: f.exact_sum(t.distance_km, 3, f.flown(t)),
        lambda t: f.count(f.flown(t) & t.distance_km.notnull()),
    ),
    Outcome(
        "spend_per_trip",
        "dollars spent per trip",
        "{:,.0f} dollars spent per trip",
        "trips",
        lambda t: f.exact_sum(t.spend_usd, 4, f.kept(t)),
        lambda t: f.count(f.kept(t)),
    ),
    Outcome(
        "browsing_without_booking",
        "share of browsing sessions that book nothing",
        "{:.1%} of visits without a booking",
        "sessions",
        lambda s: f.count(~f.booking(s)),
        lambda s: f.count(f.browsing(s)),
    ),
)


def chosen_anyway(users: ibis.Table, sessions: ibis.Table, fewest: int, cut: Month) -> ibis.Table:
    """The customers who are in the cohort even without their cancellations after month `cut`.

    A cancellation is a session too. Some customers reach the minimum of `fewest` sessions only
    through cancellations after the cut. These are left out: the cohort rule selected them for
    cancelling, so among them anything before the cut would seem to predict cancellations.
    """
    counted = sessions.filter(
        (sessions.session_start < copies.end(sessions, cut)) | f.browsing(sessions)
    )
    enough = counted.group_by("user_id").having(counted.count() >= fewest).agg()
    return users.semi_join(enough, "user_id")


def sessions_before(sessions: ibis.Table, cut: Month) -> ibis.Table:
    """One row per session that starts before the end of the month `cut`."""
    return sessions.filter(sessions.session_start < copies.end(sessions, cut))


def outcomes_after(
    users: ibis.Table, sessions: ibis.Table, trips: ibis.Table, cut: Month
) -> ibis.Table:
    """One row per customer: `<outcome>_amount` and `<outcome>_opportunities` after month `cut`."""
    since = copies.end(trips, cut)
    tables = {
        "sessions": sessions.filter(sessions.session_start >= copies.end(sessions, cut)),
        "trips": trips.filter((trips.booked_at >= since).fill_null(False)),
        "cancellable_trips": trips.filter(_cancellable(trips, since).fill_null(False)),
    }
    result = users.select("user_id")
    for source, table in tables.items():
        found = table.group_by("user_id").agg(**_expressions(table, source))
        result = result.left_join(found, "user_id", rname=f"{{name}}_of_{source}")
    measured = [name for name in result.columns if not name.startswith("user_id")]
    return result.select("user_id", **{name: result[name].fill_null(0) for name in measured})


def _cancellable(trips: ibis.Table, since: ir.TimestampValue) -> ir.BooleanValue:
    """Whether a trip could still be cancelled after the cut: open at the cut, or booked later.

    A trip of which only the cancellation is known does not count: one like it that was kept would
    not be in the data.
    """
    kept_so_far = (trips.cancelled_at >= since).fill_null(True)
    was_open = (trips.booked_at < since) & (trips.starts_at >= since) & kept_so_far
    return (trips.booked_at >= since) | was_open


def _expressions(table: ibis.Table, source: str) -> dict[str, ir.Value]:
    expressions: dict[str, ir.Value] = {}
    for outcome in OUTCOMES:
        if outcome.source == source:
            expressions[f"{outcome.name}_amount"] = outcome.amount(table).cast("float64")
            expressions[f"{outcome.name}_opportunities"] = outcome.opportunities(table)
    return expressions

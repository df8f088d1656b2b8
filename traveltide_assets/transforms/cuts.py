"""The cuts at which perks are tried, and what is known as of each and what followed it.

The latest cut has `evidence.months` of history after it. The others lie one month before each
other. What follows a cut ends after `evidence.months` as well, and is what a decision as of that
month would have measured, so every cut is measured alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis

from traveltide_assets.schema.months import shift
from traveltide_assets.transforms import copies, outcomes
from traveltide_assets.transforms.chain import features_of
from traveltide_assets.transforms.config import Config
from traveltide_assets.transforms.copies import COPY, Month
from traveltide_assets.transforms.trips import bookings_of, build_trips


def latest(month: str, months: int) -> str:
    """The last month before the latest cut, which is followed by `months` up to `month`."""
    return shift(month, -months)


def before(month: str, months: int, count: int) -> list[str]:
    """The last months before the other cuts, latest first, if there are `count` cuts in all."""
    return [shift(month, -months - number) for number in range(1, count)]


def untouched(users: ibis.Table, mailed: ibis.Table, until: str) -> ibis.Table:
    """The customers who were not sent a perk before the end of the month `until`.

    Whoever was sent a perk does more of what it rewards, whether or not they prefer it.
    """
    return users.anti_join(mailed.filter(mailed.decided_in < until), "user_id")


def copies_untouched(users: ibis.Table, mailed: ibis.Table, until: Sequence[str]) -> ibis.Table:
    """For each month in `until` a copy of the customers who are `untouched` by then."""
    parts = [
        untouched(users, mailed, month).mutate({COPY: ibis.literal(place, "int64")})
        for place, month in enumerate(until)
    ]
    return copies.numbered(ibis.union(*parts) if len(parts) > 1 else parts[0])


def features_at(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    rule: Config,
    cut: Month,
) -> ibis.Table:
    """One row per customer with sessions before the end of the month `cut`: their features then.

    `rule` is that of the cohort; see `outcomes.chosen_anyway` for its minimum of sessions.
    """
    chosen = outcomes.chosen_anyway(users, sessions, rule.min_sessions, cut)
    before = outcomes.sessions_before(sessions, cut)
    lead = rule.long_lead_days
    within = None if isinstance(cut, str) else copies.number(ibis._.user_id)
    return features_of(chosen, before, flights, hotels, cut, within, long_lead_days=lead)


def outcomes_between(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    fewest: int,
    cut: Month,
    until: Month,
) -> ibis.Table:
    """One row per customer: what they did after the month `cut`, known as of the end of `until`."""
    chosen = outcomes.chosen_anyway(users, sessions, fewest, cut)
    seen = outcomes.sessions_before(sessions, until)
    trips = build_trips(bookings_of(seen), users, flights, hotels, until)
    return outcomes.outcomes_after(chosen, seen, trips, cut)


def together(copied: ibis.Table, cuts: Sequence[str], nobody: bool) -> ibis.Table:
    """The customers of all copies by their own ids, with a column `cut`; with `nobody` no rows."""
    found = copied.mutate(
        cut=copies.of_each(copied, [ibis.literal(cut) for cut in cuts]),
        user_id=copies.original(copied.user_id),
    )
    return found.filter(ibis.literal(False)) if nobody else found

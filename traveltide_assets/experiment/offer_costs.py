"""What the offers of a campaign cost, by what was redeemed or used over its horizon.

A perk that costs per redemption costs as often as it was redeemed; one that costs per bag, night,
cancelled trip or dollar spent costs what customers with the offer had of it in trips booked since
the mailing. Whoever was held out, or offered no perk, costs nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import ibis
import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import PER_REDEMPTION, Perk
from traveltide_assets.experiment.assignment import HOLDOUT
from traveltide_assets.transforms.outcomes import outcomes_after
from traveltide_assets.transforms.trips import bookings_of, build_trips


def units_of(offered: Iterable[str], perks: Iterable[Perk]) -> tuple[str, ...]:
    """The behaviours whose units the perks offered cost, by their names in the outcomes."""
    given = set(offered)
    units = {p.cost_unit for p in perks if p.id in given and p.cost_usd}
    return tuple(sorted(units - {PER_REDEMPTION}))


def units_used(
    sessions: ibis.Table,
    customers: ibis.Table,
    trips: tuple[ibis.Table, ibis.Table, ibis.Table],
    campaign: str,
    until: dt.datetime,
    units: Sequence[str],
) -> pd.DataFrame:
    """One row per customer and a column per unit: how much of it they had since the mailing.

    `trips` are users, flights and hotels. A cancelled trip may have been booked before the mailing.
    """
    known = sessions.filter(sessions.session_start < until).semi_join(customers, "user_id")
    built = build_trips(bookings_of(known), *trips, f"{until:%Y-%m}")
    found = outcomes_after(customers, known, built, campaign)
    columns = {unit: found[f"{unit}_amount"] for unit in units}
    return found.select("user_id", **columns).to_pyarrow().to_pandas()


def cost_usd(rows: pd.DataFrame, perks: Iterable[Perk], answered: bool) -> pd.Series:
    """The cost of each customer's offer in US dollars.

    `rows` have `arm`, `offer`, `redemptions` and a column per unit that costs. Without any response
    to the campaign (`answered`), nobody can say what was redeemed: the cost of a perk that costs
    per redemption is null.
    """
    cost = pd.Series(0.0, index=rows.index)
    for perk in perks:
        given = (rows["offer"] == perk.id) & (rows["arm"] != HOLDOUT)
        if not perk.cost_usd or not given.any():
            continue
        if perk.cost_unit != PER_REDEMPTION:
            used = rows[perk.cost_unit]
        else:
            used = rows["redemptions"] if answered else np.nan
        cost = cost.where(~given, perk.cost_usd * used)
    return cost.round(4)

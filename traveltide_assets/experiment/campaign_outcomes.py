"""What came of each campaign: outcomes per customer over its horizon.

The decision as of the end of a month is mailed from the first instant after it; that is where the
horizon of `experiment.horizon_days` begins. Every customer of the campaign counts, with the offer
and in the arm that they had then, whatever happened afterwards (intention to treat); whoever joins
later is no part of it. A campaign is closed with the first month that knows all of its horizon.
From then on, events that arrive late are counted and change nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.experiment import offer_costs
from traveltide_assets.experiment.assignment import HOLDOUT, PERSONALISED
from traveltide_assets.experiment.tables import CAMPAIGN_OUTCOMES
from traveltide_assets.schema.months import end_of
from traveltide_assets.transforms import responses, traffic

NEITHER = "neither"
OFFERED = ("user_id", "segment", "arm", "arm_probability", "offer", "probability", "eligible")
"""What is known of a campaign's customers: the input that everything here is computed from."""

_RESPONSES = ("clicks", "sign_ups", "redemptions", "unsubscribed")
_COUNTS = (*_RESPONSES, "bookings", "sessions", "cancellations", "completed_trips")
_MONEY = ("revenue_usd", "revenue_before_usd")


@dataclass(frozen=True)
class Sources:
    """The tables of silver that outcomes are computed from."""

    sessions: ibis.Table
    responses: ibis.Table
    users: ibis.Table
    flights: ibis.Table
    hotels: ibis.Table

    @property
    def trips(self) -> tuple[ibis.Table, ibis.Table, ibis.Table]:
        return self.users, self.flights, self.hotels


@dataclass(frozen=True)
class Money:
    """What perks cost; the margin as a share of what customers spend, None if it is not known.

    `revenue_cap` is the percentile, as a share, of the revenue of those who spent anything, over
    all arms alike, above which revenue is cut off.
    """

    perks: tuple[Perk, ...]
    margin_rate: float | None
    revenue_cap: float


@dataclass(frozen=True)
class Horizon:
    """The time over which a campaign counts: from `start` to `end`; what is known, to `until`."""

    campaign: str
    start: dt.datetime
    end: dt.datetime
    until: dt.datetime

    @property
    def closed(self) -> bool:
        return self.until >= self.end


def offered(offers: pd.DataFrame, arms: pd.DataFrame | None) -> pd.DataFrame:
    """One row per customer of a campaign, with the columns `OFFERED`.

    `offers` are rows of `gold/offers`; `arms` has `user_id` and `arm` if an experiment ran in it.
    Whoever got their perk without being in an arm of it is in neither.
    """
    rows = offers.sort_values("user_id", ignore_index=True)
    arm = rows["arm"]
    if arms is not None:
        outside = (arm == PERSONALISED) & ~rows["user_id"].isin(arms["user_id"])
        arm = arm.where(~outside, NEITHER)
    # Of one type with what is stored: a closed campaign must be written with the same bytes again.
    rows["arm"] = arm.astype("str")
    # The held-out are compared with those who got what they would have got.
    rows["offer"] = rows["offer"].where(rows["arm"] != HOLDOUT, rows["perk"])
    return rows[list(OFFERED)]


def horizon_of(campaign: str, days: int, month: str, known: dt.datetime) -> Horizon | None:
    """The horizon of the campaign decided in a month, as of the end of another; None before it.

    `known` is the end of the days that the sessions cover.
    """
    start = end_of(campaign)
    end = start + dt.timedelta(days=days)
    until = min(end, end_of(month), known)
    return Horizon(campaign, start, end, until) if until > start else None


def of_campaign(
    customers: pd.DataFrame, sources: Sources, horizon: Horizon, money: Money
) -> pd.DataFrame:
    """One row per customer of a campaign: see `gold/campaign_outcomes`.

    `customers` has the columns `OFFERED`.
    """
    start, until = horizon.start, horizon.until
    lazy = ibis.memtable(customers[["user_id", "offer"]])
    ids = lazy.select("user_id")
    earlier = start - (until - start)
    half = start + (horizon.end - start) / 2
    found = [
        traffic.between(sources.sessions, ids, start, until),
        responses.to_offers(sources.responses, lazy, start, until),
        responses.trips_since(sources.sessions, ids, sources.trips, start, until),
        traffic.between(sources.sessions, ids, earlier, start)
        .select("user_id", "bookings", "sessions")
        .rename(bookings_before="bookings", sessions_before="sessions"),
        responses.trips_since(sources.sessions, ids, sources.trips, earlier, start)
        .select("user_id", "revenue_usd")
        .rename(revenue_before_usd="revenue_usd"),
        traffic.between(sources.sessions, ids, half, until).select("user_id", later="sessions"),
    ]
    parts = [part.to_pyarrow().to_pandas() for part in found]
    units = offer_costs.units_of(customers["offer"], money.perks)
    if units:
        used = offer_costs.units_used(
            sources.sessions, ids, sources.trips, horizon.campaign, until, units
        )
        parts.append(used)
    rows = customers.copy()
    for part in parts:
        rows = rows.merge(part, on="user_id", how="left")
    counts = [*_COUNTS, "bookings_before", "sessions_before", "later"]
    rows = rows.fillna(dict.fromkeys([*counts, *_MONEY], 0)).astype(dict.fromkeys(counts, "int64"))
    rows["retained"] = rows["later"] > 0 if until > half else None
    rows["revenue_capped_usd"] = capped(rows["revenue_usd"], money.revenue_cap)
    rows["revenue_before_usd"] = capped(rows["revenue_before_usd"], money.revenue_cap)
    known = bool(rows[[*_RESPONSES]].to_numpy().any())
    rows["cost_usd"] = offer_costs.cost_usd(rows, money.perks, known)
    rate = np.nan if money.margin_rate is None else money.margin_rate
    rows["net_margin_usd"] = (rate * rows["revenue_capped_usd"] - rows["cost_usd"]).round(4)
    return rows.assign(
        campaign=horizon.campaign,
        starts_at=start,
        ends_at=horizon.end,
        read_until=until,
        closed=horizon.closed,
    )[list(CAMPAIGN_OUTCOMES.column_names)]


def may_have(eligible: pd.Series, perk: str) -> np.ndarray:
    """Whether each customer may be offered the perk; those of whom it is not known count."""
    return np.array([np.ndim(perks) == 0 or perk in perks for perks in eligible], dtype=bool)


def capped(revenue: pd.Series, share: float) -> pd.Series:
    """Revenue cut off at the percentile of those who spent anything."""
    spent = revenue[revenue > 0]
    return revenue.clip(upper=float(np.quantile(spent, share))) if len(spent) else revenue


def nobody() -> pd.DataFrame:
    """The outcomes of a month without a campaign."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in CAMPAIGN_OUTCOMES.column_names})


def answered(customers: pd.DataFrame, known: ibis.Table, horizon: Horizon) -> bool:
    """Whether anybody responded to their offer, so that the campaign was mailed for certain."""
    lazy = ibis.memtable(customers[["user_id", "offer"]])
    found = responses.to_offers(known, lazy, horizon.start, horizon.until)
    return bool(found.count().to_pyarrow().as_py())


def late(closed: pd.DataFrame, known: ibis.Table) -> int:
    """The responses in the horizon of a closed campaign that came after it was closed.

    `closed` are its stored outcomes. Of the responses, those that outcomes count are compared.
    """
    start, end = (closed[name].iloc[0].to_pydatetime() for name in ("starts_at", "ends_at"))
    now = responses.to_offers(known, ibis.memtable(closed[["user_id", "offer"]]), start, end)
    sums = now.agg(**{kind: now[kind].sum() for kind in _RESPONSES}).to_pyarrow().to_pylist()[0]
    counted = int(closed[[*_RESPONSES]].to_numpy().sum())
    return sum(int(sums[kind] or 0) for kind in _RESPONSES) - counted

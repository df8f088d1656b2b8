"""What an offer is expected to bring and to cost, per customer and perk, in US dollars.

Before any response is known this is an assumption, not a measurement. It is made of

- the share of customers with the offer who use it: the perk's expected redemption times the
  customer's expected lift, at most 1. The lift is what the deciding strategy expects of the
  customer for the behaviour that the perk rewards, over the average; 1 where it expects nothing;
- the extra trips: the share of redemptions that would not have been made without the offer;
- the margin of a trip: the cohort's mean spend per trip times the margin rate. It is the mean for
  everybody, because what somebody spent on a few trips says little about the next one;
- the cost of a redemption: the perk's cost, times the customer's expected units of it, if it is per
  bag, night, or dollar spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.campaign.config import Economics
from traveltide_assets.catalogue.perks import PER_REDEMPTION, Perk
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.segmentation.trait_behaviour import SO_FAR

# Its score is the expected lift of the perk that it gives. Of the others it says nothing.
_SCORED_BY_LIFT = ("propensity",)
_SPEND = "spend_per_trip"


class EconomicsError(SettingsError):
    """Money is needed for a decision and is not given, or there is too little of it."""


@dataclass(frozen=True)
class NetValue:
    """Customers (rows) by perks (columns): `gain` and `cost`, expected, in US dollars.

    `variance` is that of the gain less the cost of one customer, by chance alone: whether the offer
    is used, and whether that is an extra trip. The assumptions are taken as given.
    """

    gain: np.ndarray
    cost: np.ndarray
    variance: np.ndarray

    @property
    def net(self) -> np.ndarray:
        return self.gain - self.cost


def check_caps(perks: Sequence[Perk], economics: Economics) -> None:
    """`EconomicsError` if a perk has a cap, but nothing says who is worth a place under it."""
    capped = [p.id for p in perks if (p.max_customers, p.max_cost_usd) != (None, None)]
    if capped and economics.margin_rate is None:
        raise EconomicsError(
            f"perk catalogue: {', '.join(capped)} may not go to everybody, so set "
            "economics.margin_rate: it says who gets them. Or remove max_customers and max_cost_usd"
        )


def lifts(customers: pd.DataFrame, perks: Sequence[Perk]) -> pd.DataFrame:
    """The expected lift of each customer (row) for each perk (column); null where none is expected.

    `customers` are the decided segments.
    """
    scored = customers["strategy"].isin(_SCORED_BY_LIFT)
    found = {}
    for perk in perks:
        given = customers.get(f"preference_{perk.id}", pd.Series(np.nan, customers.index))
        own = scored & (customers["perk"] == perk.id)
        found[perk.id] = given.astype("float64").where(~own, customers["score"])
    return pd.DataFrame(found, index=customers.index)


def averages(features: pd.DataFrame) -> dict[str, float]:
    """Each behaviour per opportunity over the cohort, by its outcome; 0 if nobody had one."""
    found = {}
    for outcome, behaviour in SO_FAR.items():
        chances = float(behaviour.chances(features).sum())
        amount = float(behaviour.amount(features).fillna(0).sum())
        found[outcome] = amount / chances if chances > 0 else 0.0
    return found


def expected(
    lifts: pd.DataFrame, perks: Sequence[Perk], usual: dict[str, float], economics: Economics
) -> NetValue:
    """What each perk (a column of `lifts`) brings and costs. `usual` are the `averages`.

    A perk without a cost counts as free. Raises `EconomicsError` without a margin.
    """
    if economics.margin_rate is None:
        raise EconomicsError("economics.margin_rate is not set, so nothing has a value in dollars")
    known = lifts[[perk.id for perk in perks]].fillna(1.0).clip(lower=0).to_numpy()
    assumed = economics.expected_redemption
    rates = [assumed if p.expected_redemption is None else p.expected_redemption for p in perks]
    used = np.minimum(known * rates, 1.0)
    margin = economics.margin_rate * usual[_SPEND]
    price = np.column_stack([_price(perk, known[:, i], usual) for i, perk in enumerate(perks)])
    extra = economics.incremental_share
    gain, cost = used * extra * margin, used * price
    squared = used * (extra * (margin - price) ** 2 + (1 - extra) * price**2)
    return NetValue(gain, cost, squared - (gain - cost) ** 2)


def learned(
    effects: pd.DataFrame, perks: Sequence[Perk], assumed: NetValue, economics: Economics, net: bool
) -> NetValue:
    """The same by a learned policy: what it expects of each perk (a column) over no offer.

    `assumed` are the values by assumption: costs, the variance, and the gain of perks that the
    policy knows nothing of. `net` says whether costs are off the effects already.
    """
    if economics.margin_rate is None:
        raise EconomicsError("economics.margin_rate is not set, so nothing has a value in dollars")
    expected = effects.reindex(columns=[perk.id for perk in perks]).to_numpy()
    gain = expected + assumed.cost if net else economics.margin_rate * expected
    return NetValue(np.where(np.isnan(gain), assumed.gain, gain), assumed.cost, assumed.variance)


def _price(perk: Perk, lift: np.ndarray, usual: dict[str, float]) -> np.ndarray:
    """What a redemption costs with each customer. A lift is one of the perk's own outcome."""
    cost = perk.cost_usd or 0.0
    if perk.cost_unit == PER_REDEMPTION:
        return np.full(len(lift), cost)
    units = usual[perk.cost_unit] * (lift if perk.cost_unit == perk.outcome else 1.0)
    return np.asarray(cost * units)

"""Who gets which perk or none, so that the expected net value is highest within budget and caps.

What is offered at random, or by the control arm, is not up to this step, but it costs as well. So
it comes off the budget and the caps first. The expected cost of all offers of a month is never more
than the budget, nor that of a perk more than its caps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from traveltide_assets.campaign.config import Economics
from traveltide_assets.campaign.net_value import EconomicsError, NetValue
from traveltide_assets.campaign.tables import BUDGET_CURVE
from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.experiment.learning import budget_allocation
from traveltide_assets.experiment.learning.budget_allocation import Allocation

_STEPS = 10
_LEVEL = 0.95


@dataclass(frozen=True)
class Allocating:
    """A month's customers (rows) by perks (columns of `expected`), and what bounds their offers.

    `candidates` are the perks that each customer may get from this step, none for those it does not
    decide on. `fixed` is the place of the perk that is offered anyway, -1 without one.
    """

    expected: NetValue
    candidates: np.ndarray
    fixed: np.ndarray
    perks: Sequence[Perk]
    economics: Economics

    def places(self) -> np.ndarray:
        """The place of each customer's perk, -1 for none; fixed ones included.

        Raises `EconomicsError` if what is fixed alone is more than the budget or a cap.
        """
        found = self._allocated(self.economics.budget_usd)
        return np.where(self.fixed >= 0, self.fixed, found.offer)

    def curve(self) -> pd.DataFrame:
        """One row per budget: see `gold/budget_curve`."""
        most = self._allocated(None).cost
        _, customer_caps, cost_caps = self._left(None)
        fixed_cost, fixed_net, noise = (
            float(self._of_fixed(part).sum())
            for part in (self.expected.cost, self.expected.net, self.expected.variance)
        )
        budgets = set((np.linspace(0, most, _STEPS + 1) + fixed_cost).tolist())
        ours = self.economics.budget_usd
        budgets |= set() if ours is None else {ours}
        rows = budget_allocation.budget_curve(
            self._worth,
            self.expected.cost,
            [budget - fixed_cost for budget in sorted(budgets)],
            variances=self.expected.variance,
            level=_LEVEL,
            customer_caps=customer_caps,
            cost_caps=cost_caps,
        )
        own = (rows["high"] - rows["expected"]) / norm.ppf((1 + _LEVEL) / 2)
        reach = norm.ppf((1 + _LEVEL) / 2) * np.sqrt(own**2 + noise)
        value = rows["expected"] + fixed_net
        table = pd.DataFrame(
            {
                "budget_usd": sorted(budgets),
                "customers": rows["customers"] + int((self.fixed >= 0).sum()),
                "expected_cost_usd": rows["cost"] + fixed_cost,
                "expected_net_value_usd": value,
                "low": value - reach,
                "high": value + reach,
            }
        )
        return table.assign(configured=table["budget_usd"] == ours)[[*BUDGET_CURVE.column_names]]

    def _allocated(self, budget: float | None) -> Allocation:
        left, customer_caps, cost_caps = self._left(budget)
        return budget_allocation.allocate(
            self._worth,
            self.expected.cost,
            budget=left,
            customer_caps=customer_caps,
            cost_caps=cost_caps,
        )

    @property
    def _worth(self) -> np.ndarray:
        return np.where(self.candidates, self.expected.net, -np.inf)

    def _of_fixed(self, part: np.ndarray) -> np.ndarray:
        """A part of the values of what is offered anyway, per customer who is offered it."""
        rows = np.flatnonzero(self.fixed >= 0)
        return np.asarray(part[rows, self.fixed[rows]])

    def _left(self, budget: float | None) -> tuple[float | None, np.ndarray, np.ndarray]:
        """What the fixed offers leave of the budget, and of the caps on customers and on cost."""
        rows = self.fixed[self.fixed >= 0]
        cost = self._of_fixed(self.expected.cost)
        count = np.bincount(rows, minlength=len(self.perks))
        spent = np.bincount(rows, cost, minlength=len(self.perks))
        left = None if budget is None else budget - float(cost.sum())
        customers, dollars = (
            np.array([np.inf if cap is None else cap for cap in caps]) - used
            for caps, used in (
                ([perk.max_customers for perk in self.perks], count),
                ([perk.max_cost_usd for perk in self.perks], spent),
            )
        )
        over = [] if left is None or left >= 0 else [f"the budget of {budget:,.2f} USD"]
        over += [
            f"the cap of {perk.id}"
            for perk, places, money in zip(self.perks, customers, dollars, strict=True)
            if places < 0 or money < 0
        ]
        if over:
            raise EconomicsError(
                f"perks drawn at random and the control offer alone exceed {', '.join(over)} (they "
                f"go to {len(rows):,} customers and are expected to cost {cost.sum():,.2f} USD): "
                "lower exploration.share, take another experiment.control_offer, or raise what is "
                "exceeded"
            )
        return left, customers, dollars


def nothing() -> pd.DataFrame:
    """The curve of a month in which nothing depends on money: no row."""
    return pd.DataFrame({name: pd.Series(dtype="float64") for name in BUDGET_CURVE.column_names})

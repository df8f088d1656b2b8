"""Who gets which offer or none, so that the expected net value is highest within what may be spent.

Small cases are solved exactly (HiGHS). In large ones everybody gets the offer that is worth most to
them after the prices of what is scarce (`scarcity`). What then exceeds a limit is taken back where
it matters least, and what is left is filled. A limit is never exceeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.stats import norm

from traveltide_assets.experiment.learning.log import LogError
from traveltide_assets.experiment.learning.policy_value import standard_error
from traveltide_assets.experiment.learning.scarcity import (
    NOTHING,
    SAMPLE,
    Problem,
    at_prices,
    programme,
    reduced,
    refined_prices,
    sample_prices,
)

_EXACT_VARIABLES = 5_000
# Not seconds: the same input must give the same result on a slower machine.
_EXACT_NODES = 20_000
_PASSES = 12


class AllocationError(LogError):
    """Values, costs or limits of an allocation are not valid. The message says which."""


@dataclass(frozen=True)
class Allocation:
    """`offer` is the place of the offer per customer, or `NOTHING`.

    `value` and `cost` are sums over all customers, in the units given. `bound` is a value that no
    allocation within the limits can exceed; `exact` says that none is better than this one.
    """

    offer: np.ndarray
    value: float
    cost: float
    bound: float
    exact: bool


def allocate(
    values: np.ndarray,
    costs: np.ndarray | Sequence[float],
    *,
    budget: float | None = None,
    customer_caps: Sequence[float] | np.ndarray | None = None,
    cost_caps: Sequence[float] | np.ndarray | None = None,
    exact_up_to: int = _EXACT_VARIABLES,
) -> Allocation:
    """The allocation with the highest total of `values` within budget and caps.

    `values` are customers by offers: the expected net value against no offer; an offer that the
    customer may not get has -inf. `costs` are per offer, or customers by offers, at least 0.
    `budget` bounds the cost of all offers, `customer_caps` and `cost_caps` customers and cost of
    each (inf: no cap). Up to `exact_up_to` customers by offers the solution is exact. Raises
    `AllocationError` for values, costs or limits that are no such numbers.
    """
    problem = _problem(values, costs, budget, customer_caps, cost_caps)
    worthwhile = (problem.worth > 0).any(axis=1)
    if not worthwhile.any():
        return Allocation(np.full(len(problem.worth), NOTHING), 0.0, 0.0, 0.0, True)
    if problem.worth.size <= exact_up_to and (found := _exact(problem)) is not None:
        return found
    customers = np.flatnonzero(worthwhile)
    prices = sample_prices(problem, customers)
    if len(customers) > SAMPLE:
        prices = refined_prices(problem, prices)
    offer, bound = at_prices(problem, prices)
    offer = _filled(problem, _within(problem, offer, prices), prices)
    return _result(problem, offer, bound, exact=False)


def budget_curve(
    values: np.ndarray,
    costs: np.ndarray | Sequence[float],
    budgets: Sequence[float],
    *,
    scores: np.ndarray | None = None,
    variances: np.ndarray | None = None,
    customer_caps: Sequence[float] | np.ndarray | None = None,
    cost_caps: Sequence[float] | np.ndarray | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per budget: `budget`, `expected` value, `cost`, `customers` who get an offer.

    With `scores` (customers by offers: doubly robust net scores minus those of no offer, of rows
    that `values` were not learned from) also `value`, what the allocation would really have
    brought, with its band `low` to `high`. With `variances` of the values instead, the band is that
    of the expected value by chance.
    """
    prices = np.asarray(costs, dtype="float64")
    rows = []
    for budget in budgets:
        found = allocate(
            values, prices, budget=budget, customer_caps=customer_caps, cost_caps=cost_caps
        )
        given = found.offer != NOTHING
        row = {
            "budget": float(budget),
            "expected": found.value,
            "cost": found.cost,
            "customers": int(given.sum()),
        }
        if scores is not None:
            brought = np.where(given, scores[np.arange(len(given)), found.offer], 0.0)
            reach = float(norm.ppf((1 + level) / 2)) * standard_error(brought) * len(brought)
            total = float(brought.sum())
            row |= {"value": total, "low": total - reach, "high": total + reach}
        elif variances is not None:
            each = variances[np.flatnonzero(given), found.offer[given]]
            reach = float(norm.ppf((1 + level) / 2)) * float(np.sqrt(each.sum()))
            row |= {"low": found.value - reach, "high": found.value + reach}
        rows.append(row)
    return pd.DataFrame(rows)


def _problem(
    values: np.ndarray,
    costs: np.ndarray | Sequence[float],
    budget: float | None,
    customer_caps: Sequence[float] | np.ndarray | None,
    cost_caps: Sequence[float] | np.ndarray | None,
) -> Problem:
    worth = np.asarray(values, dtype="float64", order="F")
    if worth.ndim != 2 or np.isnan(worth).any() or (worth == np.inf).any():
        raise AllocationError("values must be customers by offers, numbers or -inf")
    prices = np.asarray(costs, dtype="float64", order="F")
    if prices.shape not in {worth.shape, worth.shape[1:]}:
        raise AllocationError(
            f"costs of the shape {prices.shape} fit neither offers nor {worth.shape}"
        )
    if not (np.isfinite(prices) & (prices >= 0)).all():
        raise AllocationError("costs must be numbers of at least 0")
    limits = [np.inf if budget is None else budget]
    caps = []
    for given in (customer_caps, cost_caps):
        cap = np.full(worth.shape[1], np.inf) if given is None else np.asarray(given, "float64")
        if cap.shape != worth.shape[1:]:
            raise AllocationError(f"caps need one number for each of {worth.shape[1]} offers")
        caps.append(cap)
        limits.extend(cap)
    if not (np.asarray(limits, dtype="float64") >= 0).all():
        raise AllocationError("budget and caps must be numbers of at least 0")
    every = prices if prices.shape == worth.shape else np.broadcast_to(prices, worth.shape)
    return Problem(worth, every, float(limits[0]), np.floor(caps[0]), caps[1])


def _result(problem: Problem, offer: np.ndarray, bound: float, exact: bool) -> Allocation:
    given = np.flatnonzero(offer != NOTHING)
    value = float(problem.worth[given, offer[given]].sum())
    cost = float(problem.costs[given, offer[given]].sum())
    return Allocation(offer, value, cost, max(bound, value), exact)


def _exact(problem: Problem) -> Allocation | None:
    """The optimum, or `None` if the solver gives up before it has proved one."""
    customers = np.arange(len(problem.worth))
    who, what, matrix, limits, _ = programme(problem, customers, 1.0)
    solved = milp(
        -problem.worth[who, what],
        constraints=LinearConstraint(matrix, -np.inf, limits),
        integrality=np.ones(len(who)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0, "node_limit": _EXACT_NODES},
    )
    if solved.status != 0:
        return None
    offer = np.full(len(customers), NOTHING)
    taken = solved.x > 0.5
    offer[who[taken]] = what[taken]
    # The solver accepts sums that exceed a limit by a rounding error.
    offer = _within(problem, offer, np.zeros(1 + 2 * problem.worth.shape[1]))
    return _result(problem, offer, 0.0, exact=True)


def _within(problem: Problem, offer: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """The allocation with what exceeds a limit taken back, where it is worth least."""
    kept = offer.copy()
    for place in range(problem.worth.shape[1]):
        rows = np.flatnonzero(kept == place)
        cost = problem.costs[rows, place]
        if len(rows) <= problem.most[place] and cost.sum() <= problem.most_cost[place]:
            continue
        order = np.argsort(-reduced(problem, prices, place, rows), kind="stable")
        fits = np.cumsum(cost[order]) <= problem.most_cost[place]
        fits &= np.arange(len(rows)) < problem.most[place]
        kept[rows[order[~fits]]] = NOTHING
    given = np.flatnonzero(kept != NOTHING)
    cost = problem.costs[given, kept[given]]
    if cost.sum() > problem.budget:
        order = _by_worth_of_cost(problem.worth[given, kept[given]], cost)
        fits = np.cumsum(cost[order]) <= problem.budget
        kept[given[order[~fits]]] = NOTHING
    return kept


def _by_worth_of_cost(worth: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Most value for the money first; what costs nothing before all."""
    with np.errstate(divide="ignore"):
        return np.argsort(-np.where(cost > 0, worth / cost, np.inf), kind="stable")


def _filled(problem: Problem, offer: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """The allocation with what is left of the limits given to customers who have nothing."""
    offer = offer.copy()
    offers = problem.worth.shape[1]
    for _ in range(_PASSES):
        given = np.flatnonzero(offer != NOTHING)
        cost = problem.costs[given, offer[given]]
        spent = np.bincount(offer[given], cost, offers)
        room = problem.most - np.bincount(offer[given], minlength=offers)
        left, left_cost = problem.budget - cost.sum(), problem.most_cost - spent
        free = np.flatnonzero(offer == NOTHING)
        best, choice = np.full(len(free), -np.inf), np.full(len(free), NOTHING)
        for place in np.flatnonzero((room >= 1) & (left_cost >= 0)).tolist():
            worth = reduced(problem, prices, place, free)
            open_to = problem.worth[free, place] > 0
            open_to &= problem.costs[free, place] <= min(left, left_cost[place])
            better = open_to & (worth > best)
            best[better], choice[better] = worth[better], place
        wanted = np.flatnonzero(choice != NOTHING)
        if not len(wanted):
            break
        tried = offer.copy()
        order = wanted[np.argsort(-best[wanted], kind="stable")]
        cost = problem.costs[free[order], choice[order]]
        accepted = np.ones(len(order), dtype=bool)
        for place in range(offers):
            mine = np.flatnonzero(choice[order] == place)
            fits = np.cumsum(cost[mine]) <= left_cost[place] * (1 - 1e-12)
            accepted[mine] = fits & (np.arange(len(mine)) < room[place])
        order, cost = order[accepted], cost[accepted]
        order = order[np.cumsum(cost) <= left * (1 - 1e-12)] if np.isfinite(left) else order
        if not len(order):
            break
        tried[free[order]] = choice[order]
        offer = tried
    return _within(problem, offer, prices)

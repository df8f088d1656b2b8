"""What scarce things are worth: prices at which everybody's best offer keeps within the limits.

The linear programme of a sample gives prices of the budget, of a place under a cap and of a dollar
under a cost cap. Then they are set anew, one by one, so that all customers just use up each limit.
Prices also give a bound that no allocation can exceed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack

NOTHING = -1
SAMPLE = 5_000
# Equal customers would all be on the same side of a price; this parts them.
_TIE_BREAK = 1e-4
_SWEEPS = 2
_HALVINGS = 10


@dataclass(frozen=True)
class Problem:
    """Customers by offers; offers in columns so that each is contiguous."""

    worth: np.ndarray
    costs: np.ndarray
    budget: float
    most: np.ndarray
    most_cost: np.ndarray

    @cached_property
    def noise(self) -> list[np.ndarray]:
        """A number in [0, 1) per customer, by offer."""
        customers = np.arange(len(self.worth))
        return [_noise(customers, place) for place in range(self.worth.shape[1])]


def programme(
    problem: Problem, customers: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray, csr_array, np.ndarray, np.ndarray]:
    """The linear programme of some customers, with `share` of the limits.

    Returns the customer and the offer of each variable, the constraints and their limits (one per
    customer, then those that bind), and which of budget, caps and cost caps these are.
    """
    values = problem.worth[customers]
    who, what = np.nonzero(values > 0)
    cost = problem.costs[customers[who], what]
    count, offers, places = len(customers), values.shape[1], np.arange(len(who))
    ones = np.ones(len(who))
    rows = [csr_array((ones, (who, places)), (count, len(who)))]
    rows.append(csr_array(cost[None, :]))
    rows.append(csr_array((ones, (what, places)), (offers, len(who))))
    rows.append(csr_array((cost, (what, places)), (offers, len(who))))
    scarce = np.concatenate([[problem.budget], problem.most, problem.most_cost]) * share
    finite = np.flatnonzero(np.isfinite(scarce))
    matrix = vstack(rows, format="csr")
    kept = np.concatenate([np.arange(count), count + finite])
    limits = np.concatenate([np.ones(count), scarce[finite]])
    return who, what, matrix[kept], limits, finite


def sample_prices(problem: Problem, customers: np.ndarray) -> np.ndarray:
    """What one more of the budget, of each cap and of each cost cap is worth."""
    rng = np.random.default_rng(0)
    offers = problem.worth.shape[1]
    prices = np.zeros(1 + 2 * offers)
    chosen = customers
    if len(customers) > SAMPLE:
        chosen = np.sort(rng.choice(customers, SAMPLE, replace=False))
    who, what, matrix, limits, finite = programme(
        problem, chosen, len(chosen) / max(len(customers), 1)
    )
    if not len(finite):
        return prices
    values = problem.worth[chosen[who], what]
    values = values * (1 + _TIE_BREAK * _noise(chosen[who], what))
    solved = linprog(-values, A_ub=matrix, b_ub=limits, bounds=(0, None), method="highs")
    if solved.status != 0:
        raise ArithmeticError(f"the linear programme has no solution: {solved.message}")
    prices[finite] = -solved.ineqlin.marginals[len(chosen) :]
    return prices.clip(min=0)


def refined_prices(problem: Problem, prices: np.ndarray) -> np.ndarray:
    """Prices at which all customers, not only the sample's, just use up what is scarce."""
    prices = prices.copy()
    offers = problem.worth.shape[1]
    for _ in range(_SWEEPS):
        if prices[0] > 0:
            prices[0] = _price_of_budget(problem, prices)
        net = _parted(problem, prices)
        for place in range(offers):
            for kind, limit in ((1, problem.most[place]), (1 + offers, problem.most_cost[place])):
                if not np.isfinite(limit):
                    continue
                use = problem.costs[:, place] if kind > 1 else np.ones(len(net[0]))
                alone = net[place] + prices[kind + place] * use
                margin = alone - _best_other(net, place)
                price = _clearing(margin, use, float(limit), prices[kind + place])
                net[place] = alone - price * use
                prices[kind + place] = price
    return prices


def _best_other(net: list[np.ndarray], place: int) -> np.ndarray:
    best = np.zeros(len(net[0]))
    for other, worth in enumerate(net):
        if other != place:
            np.maximum(best, worth, out=best)
    return best


def _clearing(margin: np.ndarray, use: np.ndarray, limit: float, near: float) -> float:
    """The lowest price per use at which those with a margin above it use at most the limit.

    `near` is a guess, so that only margins close to it need to be sorted.
    """
    rows = (margin > 0) & (use > 0)
    each, used = margin[rows] / use[rows], use[rows]
    if used.sum() <= limit:
        return 0.0
    for low, high in ((0.8 * near, 1.25 * near), (0.0, np.inf)):
        above = used[each > high].sum()
        inside = (each > low) & (each <= high)
        if above <= limit < above + used[inside].sum():
            order = np.argsort(-each[inside])
            sums = above + np.cumsum(used[inside][order])
            fitting = min(int(np.searchsorted(sums, limit, side="right")), len(order) - 1)
            return float(each[inside][order[fitting]])
    return 0.0


def _price_of_budget(problem: Problem, prices: np.ndarray) -> float:
    """The price of the budget at which it is just used up, the other prices as they are."""
    low, high = 0.5 * prices[0], 2 * prices[0]
    tried = prices.copy()
    for _ in range(_HALVINGS):
        tried[0] = np.sqrt(low * high)
        net = _parted(problem, tried)
        best, spent = np.zeros(len(net[0])), np.zeros(len(net[0]))
        for place, worth in enumerate(net):
            np.copyto(spent, problem.costs[:, place], where=worth > best)
            np.maximum(best, worth, out=best)
        low, high = (tried[0], high) if spent.sum() > problem.budget else (low, tried[0])
    return float(high)


def _parted(problem: Problem, prices: np.ndarray) -> list[np.ndarray]:
    """The value after prices by offer, ties broken; a column of customers each."""
    rows = slice(None)
    return [
        reduced(problem, prices, place, rows)
        + _TIE_BREAK * problem.noise[place] * problem.worth[:, place].clip(0)
        for place in range(problem.worth.shape[1])
    ]


def _noise(customers: np.ndarray, offer: np.ndarray | int) -> np.ndarray:
    """A number in [0, 1) per customer and offer, the same whoever asks."""
    mixed = customers.astype("uint64") * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= np.asarray(offer, dtype="uint64") * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(40)) / float(2**24)


def reduced(
    problem: Problem, prices: np.ndarray, offer: int, rows: np.ndarray | slice
) -> np.ndarray:
    """The value of an offer after the prices of what it uses, per row."""
    offers = problem.worth.shape[1]
    per_cost = prices[0] + prices[1 + offers + offer]
    return problem.worth[rows, offer] - per_cost * problem.costs[rows, offer] - prices[1 + offer]


def at_prices(problem: Problem, prices: np.ndarray) -> tuple[np.ndarray, float]:
    """Everybody's best offer at the prices, and the bound that follows from them."""
    count = len(problem.worth)
    best, real, offer = np.zeros(count), np.zeros(count), np.full(count, NOTHING)
    for place, worth in enumerate(_parted(problem, prices)):
        np.maximum(real, reduced(problem, prices, place, slice(None)), out=real)
        better = worth > best
        best[better], offer[better] = worth[better], place
    scarce = np.concatenate([[problem.budget], problem.most, problem.most_cost])
    used = prices > 0
    return offer, float(real.sum() + prices[used] @ scarce[used])

"""Perks for groups of customers as an optimisation: every group one perk, shares within bounds.

Groups are not divided, so bounds may be impossible to keep. They are then exceeded by as few
customers as possible.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

NOBODY = -1
_SLACK = 1e-9


def allocate(
    sizes: np.ndarray, scores: np.ndarray, least: np.ndarray, most: np.ndarray
) -> np.ndarray:
    """The perk (column of `scores`) of each group (row), `NOBODY` if it may get none.

    A group may get the perks with a score, which is NaN for all others. The sum of the scores over
    customers is as high as possible, with between `least` and `most` customers for each perk.
    """
    perk = np.full(len(sizes), NOBODY)
    group, choice = np.nonzero(~np.isnan(scores))
    if not len(group):
        return perk
    named, row = np.unique(group, return_inverse=True)
    pairs, perks = len(group), scores.shape[1]
    # Variables: the pairs of group and perk, then the shortfall and the excess of each perk.
    total = np.zeros((len(named), pairs + 2 * perks))
    total[row, np.arange(pairs)] = 1
    given = np.zeros((perks, pairs + 2 * perks))
    given[choice, np.arange(pairs)] = sizes[group]
    short, over = given.copy(), given.copy()
    short[:, pairs : pairs + perks] = np.eye(perks)
    over[:, pairs + perks :] = -np.eye(perks)
    constraints = [
        LinearConstraint(total, 1, 1),
        LinearConstraint(short, least, np.inf),
        LinearConstraint(over, -np.inf, most),
    ]
    whole = np.r_[np.ones(pairs), np.zeros(2 * perks)]
    upper = np.r_[np.ones(pairs), np.full(2 * perks, np.inf)]
    missed = 1 - whole
    fewest = _solved(missed, whole, upper, constraints)
    gain = np.r_[-(sizes[group] * scores[group, choice]), np.zeros(2 * perks)]
    limit = float(missed @ fewest)
    kept = LinearConstraint(missed, -np.inf, limit + _SLACK * max(1.0, limit))
    best = _solved(gain / sizes.sum(), whole, upper, [*constraints, kept])
    chosen = best[:pairs] > 1 / 2
    perk[group[chosen]] = choice[chosen]
    return perk


def _solved(
    cost: np.ndarray, whole: np.ndarray, upper: np.ndarray, constraints: list[LinearConstraint]
) -> np.ndarray:
    solution = milp(
        cost,
        integrality=whole,
        bounds=Bounds(0, upper),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    if solution.x is None:
        raise RuntimeError(f"perks cannot be allocated: {solution.message}")
    return np.asarray(solution.x)

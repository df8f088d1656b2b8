"""What customers with some traits do, compared with the average: a small additive model per perk.

The expected behaviour per opportunity is the average times a factor for each level of each trait.
A trait whose factors are no larger than chance makes them counts nothing. Whether the model as a
whole says anything is tried on customers that it has not seen, and `trust` shrinks what it says by
how well it held for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from traveltide_assets.segmentation.trait_behaviour import OPEN_LONG_LEAD, Observed
from traveltide_assets.segmentation.trait_levels import UNKNOWN, Levels, dispersion

# An effect of less than one percent is not worth a word.
_WORTH_SAYING = 0.01
_FOLDS = 5
_REPEATS = 10
# The logarithm of a factor is expected to lie within about one unit of zero: weak enough for what
# cancellers do, and strong enough that a level without data gets no factor.
_PRIOR_PRECISION = 1.0
_ITERATIONS = 50
_TOLERANCE = 1e-10
_MOST_STEP = 2.0


@dataclass(frozen=True)
class Column:
    """Whether a customer is at a level of a trait; `share` of the chances are at it."""

    trait: str
    level: int
    share: float


@dataclass(frozen=True)
class Effects:
    """The factors of a behaviour: the logarithm of each, by column of `columns`.

    `average` is the behaviour per opportunity of everybody, `z` how clearly the model held for
    customers it had not seen, in standard errors, and `trust`, from 0 to 1, how far.
    """

    columns: tuple[Column, ...]
    intercept: float
    logs: np.ndarray
    average: float
    z: float
    trust: float

    def lift(self, groups: np.ndarray, levels: Sequence[Levels]) -> np.ndarray:
        """Expected behaviour of each group (row of levels) divided by the average, shrunk."""
        placed = _design(groups, levels, self.columns)
        return 1 + self.trust * (np.exp(self.intercept + placed @ self.logs) - 1)

    def speaking(self, group: np.ndarray, levels: Sequence[Levels]) -> frozenset[str]:
        """The traits whose levels in a group raise the behaviour above the average."""
        at = _design(group[None, :], levels, self.columns)[0]
        said: dict[str, float] = {}
        for column, value, log in zip(self.columns, at, self.logs, strict=True):
            said[column.trait] = said.get(column.trait, 0.0) + log * (value - column.share)
        return frozenset(trait for trait, above in said.items() if above > _WORTH_SAYING)


def is_beyond_noise(effects: Effects, alpha: float) -> bool:
    """Whether customers that the model had not seen did what it foretold, beyond chance."""
    return bool(effects.trust > 0 and norm.sf(effects.z) <= alpha)


def learn(
    seen: Observed,
    customers: np.ndarray,
    twins: np.ndarray,
    levels: Sequence[Levels],
    seed: int,
) -> Effects | None:
    """The effects of the traits on a behaviour; None without any amount.

    `customers` has the levels of each customer (row) by trait (column). `twins` has an equal number
    for copies of a customer, as a bootstrap draw has them: none may be tried on another.
    """
    if not seen.amount.sum() > 0 or dispersion(seen.amount, seen.chances) <= 0:
        return None
    groups, group = _groups(seen, customers, levels)
    whole = _Sums.of(seen, group, len(groups), np.ones(len(group), dtype=bool))
    z, trust = _held(seen, groups, group, twins[seen.customer], levels, seed)
    columns, coefficients = _shrunk(whole, groups, levels)
    average = float(seen.amount.sum() / seen.chances.sum())
    return Effects(columns, float(coefficients[0]), coefficients[1:], average, z, trust)


@dataclass(frozen=True)
class _Sums:
    """Amount and chances of each group, and the dispersion between customers."""

    amount: np.ndarray
    chances: np.ndarray
    spread: float

    @classmethod
    def of(cls, seen: Observed, group: np.ndarray, size: int, rows: np.ndarray) -> _Sums:
        amount, chances = seen.amount[rows], seen.chances[rows]
        return cls(
            np.bincount(group[rows], amount, size),
            np.bincount(group[rows], chances, size),
            dispersion(amount, chances),
        )


def _groups(
    seen: Observed, customers: np.ndarray, levels: Sequence[Levels]
) -> tuple[np.ndarray, np.ndarray]:
    """The distinct levels (row) of the observed behaviour, and the row of each observation.

    Whether a trip was booked long ahead is a fact of the trip: the trips of a customer who has such
    a trip open now were booked in either way.
    """
    placed = customers[seen.customer].copy()
    for column, each in enumerate(levels):
        if each.trait == OPEN_LONG_LEAD:
            placed[:, column] = seen.long_lead
    groups, group = np.unique(placed, axis=0, return_inverse=True)
    return groups, group.reshape(-1)


def _held(
    seen: Observed,
    groups: np.ndarray,
    group: np.ndarray,
    twins: np.ndarray,
    levels: Sequence[Levels],
    seed: int,
) -> tuple[float, float]:
    """`z` and `trust` of models that have not seen the customers, the mean over several splits.

    These are the models with the noise: to take it off in each part of the data would also take off
    what several traits say weakly and together.
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(_REPEATS):
        fold = (rng.permutation(int(twins.max()) + 1) % _FOLDS)[twins]
        foretold = np.ones(len(group))
        for number in range(_FOLDS):
            sums = _Sums.of(seen, group, len(groups), fold != number)
            if sums.amount.sum() > 0 and sums.spread > 0:
                placed = _design(groups, levels, _columns(sums, groups, levels))
                coefficients, _ = _fitted(sums, placed)
                expected = np.exp(coefficients[0] + placed @ coefficients[1:])
                foretold[fold == number] = expected[group[fold == number]]
        found.append(_agreement(foretold, seen))
    z, slope = np.mean(found, axis=0)
    return float(z), float(min(max(slope, 0.0), 1.0))


def _agreement(foretold: np.ndarray, seen: Observed) -> tuple[float, float]:
    """How far behaviour follows what was foretold: in standard errors, and as a slope."""
    rate = seen.amount.sum() / seen.chances.sum()
    deviation = foretold - np.average(foretold, weights=seen.chances)
    spread = float((seen.chances * deviation**2).sum())
    if spread <= _TOLERANCE:
        return 0.0, 0.0
    part = deviation * (seen.amount / rate - seen.chances)
    by_customer = np.bincount(seen.customer, part)
    error = float(np.sqrt((by_customer**2).sum()))
    return (float(part.sum()) / error if error > 0 else 0.0), float(part.sum()) / spread


def _shrunk(
    sums: _Sums, groups: np.ndarray, levels: Sequence[Levels]
) -> tuple[tuple[Column, ...], np.ndarray]:
    """Columns and coefficients, the intercept first, of the model with noise taken off.

    By chance alone, the size of a trait's coefficients (Wald) is about their number. So they are
    multiplied by the share of their size beyond that, or dropped if there is none (James-Stein).
    """
    columns = _columns(sums, groups, levels)
    design = _design(groups, levels, columns)
    coefficients, covariance = _fitted(sums, design)
    shares = np.array([_beyond_noise(c.trait, columns, coefficients, covariance) for c in columns])
    kept = shares > 0
    logs = coefficients[1:][kept] * shares[kept]
    foretold = float((sums.chances * np.exp(design[:, kept] @ logs)).sum())
    intercept = np.log(sums.chances.sum() / foretold)
    return tuple(np.array(columns, dtype=object)[kept]), np.r_[intercept, logs]


def _columns(sums: _Sums, groups: np.ndarray, levels: Sequence[Levels]) -> tuple[Column, ...]:
    """A column for each level with data but the commonest one of each trait."""
    columns: list[Column] = []
    for place, each in enumerate(levels):
        known = groups[:, place] != UNKNOWN
        weight = np.bincount(groups[known, place], sums.chances[known], len(each.words))
        columns += [
            Column(each.trait, int(level), float(weight[level] / weight.sum()))
            for level in np.flatnonzero(weight > 0)
            if level != weight.argmax()
        ]
    return tuple(columns)


def _design(groups: np.ndarray, levels: Sequence[Levels], columns: Sequence[Column]) -> np.ndarray:
    """One row per group, one column per level: whether the group is at it.

    An unknown level is between all levels: it counts neither for nor against.
    """
    place = {each.trait: number for number, each in enumerate(levels)}
    design = np.zeros((len(groups), len(columns)))
    for number, column in enumerate(columns):
        at = groups[:, place[column.trait]]
        design[:, number] = np.where(at == UNKNOWN, column.share, at == column.level)
    return design


def _fitted(sums: _Sums, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients, the intercept first, and covariance of a Poisson regression (Newton's method).

    Amounts and expectations are divided by the dispersion, so that errors are those of customers.
    """
    x = np.column_stack([np.ones(len(design)), design])
    prior = _PRIOR_PRECISION * np.eye(x.shape[1])
    prior[0, 0] = 0.0
    expected = sums.chances * sums.amount.sum() / sums.chances.sum() / sums.spread
    amount = sums.amount / sums.spread
    coefficients = np.zeros(x.shape[1])
    for _ in range(_ITERATIONS):
        mean = expected * np.exp(x @ coefficients)
        information = x.T @ (mean[:, None] * x) + prior
        step = np.linalg.solve(information, x.T @ (amount - mean) - prior @ coefficients)
        coefficients = coefficients + np.clip(step, -_MOST_STEP, _MOST_STEP)
        if np.abs(step).max() < _TOLERANCE:
            break
    return coefficients, np.linalg.inv(information)


def _beyond_noise(
    trait: str,
    columns: Sequence[Column],
    coefficients: np.ndarray,
    covariance: np.ndarray,
) -> float:
    """The share of the size of a trait's coefficients that is more than chance gives, or 0."""
    rows = [number + 1 for number, column in enumerate(columns) if column.trait == trait]
    part = coefficients[rows]
    size = float(part @ np.linalg.solve(covariance[np.ix_(rows, rows)], part))
    return max(0.0, 1 - len(rows) / size) if size > 0 else 0.0

"""The difference between two groups: absolute and relative, adjusted, with intervals.

The values of each group are regressed on what is known from before the start (CUPED) and on the
customer's segment (post-stratification), each centred on both groups together and with slopes of
its own per group (Lin 2013). The difference of the intercepts is the effect on all customers: the
adjustment narrows the interval and does not shift it on average. A ratio of two sums, such as
revenue per booking, becomes one value per customer by the delta method before that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

FEWEST = 30
"""Customers per group for a mean to be close enough to normal."""

_FEWEST_OF_A_STRATUM = 20
_LEVEL = 0.05


@dataclass(frozen=True)
class Effect:
    """What one group did more than the other, with 95 % intervals and the share of variance saved.

    `one` and `other` are the adjusted means, or ratios. The relative difference and its interval
    are missing (NaN) where the other group's mean is not clearly above 0.
    """

    one: float
    other: float
    difference: float
    error: float
    low: float
    high: float
    p_value: float
    relative: float
    relative_low: float
    relative_high: float
    variance_reduction: float


def effect(
    values: np.ndarray,
    treated: np.ndarray,
    before: np.ndarray | None = None,
    strata: np.ndarray | None = None,
    per: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Effect:
    """The effect of being in the group `treated`, a boolean per customer.

    `before` has a column per value from before the start, `strata` the segment of each customer.
    `per` makes it a ratio: the sum of `values` over the sum of `per`. `weights` are above 0: the
    inverse of the probability with which customers got into their group, up to a factor, if it was
    not the same for all. Everything is NaN if a group has fewer than two customers, or nobody
    differs.
    """
    values = values.astype("float64")
    per = None if per is None else per.astype("float64")
    if weights is not None:
        # A weighted mean is a ratio of sums, too.
        values, per = weights * values, weights * (1.0 if per is None else per)
    if min(treated.sum(), (~treated).sum()) < 2:
        return _unknown()
    plain = [_mean(values[group], None if per is None else per[group]) for group in _both(treated)]
    if per is not None:
        values = _linear(values, per, treated, plain)
    columns = _covariates(treated, before, strata)
    if weights is not None:
        columns = _weighted(columns, treated, weights)
    centre = columns.mean(axis=0) if weights is None else np.zeros(columns.shape[1])
    one, other = (_group(values[g], columns[g], centre) for g in _both(treated))
    raw = sum(float(np.var(values[g], ddof=1)) / g.sum() for g in _both(treated))
    # The slopes differ, so it matters a little which customers there are.
    differing = (columns - columns.mean(axis=0)) @ (one.slopes - other.slopes)
    variance = one.variance + other.variance + float(differing.var()) / len(values)
    if not (variance > 0 and raw > 0 and np.isfinite(plain).all()):
        return _unknown(*plain)
    means = [p + g.shift for p, g in zip(plain, (one, other), strict=True)]
    return _with_intervals(means, one, other, variance, 1 - variance / raw)


@dataclass(frozen=True)
class _Group:
    """A group's customers: by how much the adjustment moves its mean, and that mean's variance."""

    shift: float
    slopes: np.ndarray
    variance: float
    freedom: int


def _both(treated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return treated, ~treated


def _mean(values: np.ndarray, per: np.ndarray | None) -> float:
    if per is None:
        return float(values.mean())
    return float(values.sum() / per.sum()) if per.sum() > 0 else float("nan")


def _linear(
    values: np.ndarray, per: np.ndarray, treated: np.ndarray, ratios: list[float]
) -> np.ndarray:
    """Each customer's part in the deviation of their group's ratio, around that ratio."""
    parts = np.empty(len(values))
    for group, ratio in zip(_both(treated), ratios, strict=True):
        parts[group] = ratio + (values[group] - ratio * per[group]) / per[group].mean()
    return parts


def _covariates(
    treated: np.ndarray, before: np.ndarray | None, strata: np.ndarray | None
) -> np.ndarray:
    """The columns to adjust for: earlier values, and a column per large stratum but the last."""
    columns = [] if before is None else [*before.reshape(len(treated), -1).T.astype("float64")]
    if strata is not None:
        names, sizes = np.unique(strata.astype(str), return_counts=True)
        large = [
            name
            for name in names[np.argsort(sizes, kind="stable")]
            if min((strata[g].astype(str) == name).sum() for g in _both(treated))
            >= _FEWEST_OF_A_STRATUM
        ]
        columns += [(strata.astype(str) == name).astype("float64") for name in large[:-1]]
    kept = [c for c in columns if all(c[g].std() > 0 for g in _both(treated))]
    return np.column_stack(kept) if kept else np.empty((len(treated), 0))


def _weighted(columns: np.ndarray, treated: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The columns such that their mean over a group is the weighted one, around that of both."""
    relative = weights / weights.mean()
    around = columns - relative @ columns / len(columns)
    for group in _both(treated):
        around[group] *= (weights[group] / weights[group].mean())[:, None]
    return around


def _group(values: np.ndarray, columns: np.ndarray, centre: np.ndarray) -> _Group:
    size, width = columns.shape
    if not width or size - width < FEWEST:
        return _Group(0.0, np.zeros(width), float(values.var(ddof=1)) / size, size - 1)
    around = columns - columns.mean(axis=0)
    deviations = values - values.mean()
    slopes, _, rank, _ = np.linalg.lstsq(around, deviations, rcond=None)
    freedom = size - int(rank) - 1
    residual = float(((deviations - around @ slopes) ** 2).sum()) / freedom
    shift = float(slopes @ (centre - columns.mean(axis=0)))
    return _Group(shift, slopes, residual / size, freedom)


def _with_intervals(
    means: list[float], one: _Group, other: _Group, variance: float, saved: float
) -> Effect:
    difference, error = means[0] - means[1], float(np.sqrt(variance))
    parts = [(group.variance, group.freedom) for group in (one, other)]
    freedom = sum(v for v, _ in parts) ** 2 / sum(v**2 / f for v, f in parts)
    wide = float(student.isf(_LEVEL / 2, freedom)) * error
    relative = _relative(means, [one.variance, other.variance])
    return Effect(
        means[0],
        means[1],
        difference,
        error,
        difference - wide,
        difference + wide,
        float(2 * student.sf(abs(difference) / error, freedom)),
        relative[0],
        relative[1],
        relative[2],
        saved,
    )


def _relative(means: list[float], variances: list[float]) -> tuple[float, float, float]:
    """The relative difference with its interval, on the scale of logarithms."""
    far = norm.isf(_LEVEL / 2)
    clear = all(m > far * np.sqrt(v) for m, v in zip(means, variances, strict=True))
    if not clear:
        return (float("nan"),) * 3
    middle = np.log(means[0] / means[1])
    wide = far * np.sqrt(sum(v / m**2 for m, v in zip(means, variances, strict=True)))
    low, mid, high = (float(np.expm1(x)) for x in (middle - wide, middle, middle + wide))
    return mid, low, high


def _unknown(one: float = np.nan, other: float = np.nan) -> Effect:
    return Effect(one, other, one - other, *(float("nan"),) * 8)

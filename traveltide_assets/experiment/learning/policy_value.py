"""What a policy would be worth, from a log of another: off-policy evaluation with intervals.

A policy is rows by actions, the probability of each, or one action's place per row. It must not
have been learned from the rows it is valued on: learn it on other folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm

from traveltide_assets.experiment.learning.log import Log, LogError

Method = Literal["inverse_propensity", "self_normalised", "doubly_robust"]
METHODS: tuple[Method, ...] = ("inverse_propensity", "self_normalised", "doubly_robust")


@dataclass(frozen=True)
class PolicyValue:
    """The reward per row that a policy would bring, with an interval.

    `effective_sample_size` is the number of equally weighted rows that tell as much: (Σw)² ÷ Σw².
    """

    method: Method
    value: float
    low: float
    high: float
    standard_error: float
    effective_sample_size: float


def policy_value(
    log: Log,
    policy: np.ndarray,
    method: Method = "doubly_robust",
    expected: np.ndarray | None = None,
    level: float = 0.95,
) -> PolicyValue:
    """The value of a policy. `expected` (rows by actions, cross-fitted) is for doubly robust.

    Raises `LogError` if a method lacks what it needs, or no logged action agrees with the policy
    where the estimate is a mean over those that do.
    """
    weights = log.weights(policy)
    total = weights.sum()
    if method == "self_normalised":
        if total == 0:
            raise LogError("no row of the log has an action that the policy would take")
        value = float(weights @ log.reward / total)
        influence = weights * (log.reward - value) * len(log) / total
    else:
        influence = contributions(log, policy, method, expected)
        value = float(influence.mean())
    error = standard_error(log.by_customer(influence))
    reach = float(norm.ppf((1 + level) / 2)) * error
    effective = float(total**2 / (weights @ weights)) if total else 0.0
    return PolicyValue(method, value, value - reach, value + reach, error, effective)


def contributions(
    log: Log,
    policy: np.ndarray,
    method: Method = "doubly_robust",
    expected: np.ndarray | None = None,
) -> np.ndarray:
    """One number per row whose mean is the policy's value, so that policies can be compared in
    pairs: the standard error of a difference is that of the difference of these."""
    if method == "inverse_propensity":
        return log.weights(policy) * log.reward
    if method == "doubly_robust" and expected is not None:
        return (log.probabilities(policy) * doubly_robust_scores(log, expected)).sum(axis=1)
    raise LogError(f"{method} has no contributions per row, or lacks `expected`")


def doubly_robust_scores(log: Log, expected: np.ndarray) -> np.ndarray:
    """Rows by actions: an unbiased score of what the action would have brought in this row.

    Where a row had no chance of the action, it is a guess: what is expected.
    """
    if expected.shape != (len(log), len(log.actions)):
        raise LogError(f"`expected` of the shape {expected.shape} does not fit this log")
    scores = expected.astype("float64", copy=True)
    rows = np.arange(len(log))
    missed = log.reward - expected[rows, log.action]
    scores[rows, log.action] += missed / log.propensity
    return scores


def standard_error(contributed: np.ndarray) -> float:
    """The standard error of the mean of independent rows."""
    if len(contributed) < 2:
        return float("nan")
    return float(contributed.std(ddof=1) / np.sqrt(len(contributed)))

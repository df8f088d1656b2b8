"""Is there anything to learn: does the effect of an action differ between customers at all?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from traveltide_assets.experiment.learning import policy, reward_model
from traveltide_assets.experiment.learning.log import Log
from traveltide_assets.experiment.learning.policy_value import doubly_robust_scores
from traveltide_assets.stats.holm import holm

_METHODS = (policy.LINEAR, policy.TREES)


@dataclass(frozen=True)
class Heterogeneity:
    """The test of one action against the first.

    `slope` is by how much the real effect rises where the predicted effect is higher by one: 1 if
    the predictions are right, 0 if they are noise. `p_value` is one-sided, `p_holm` corrected over
    the actions.
    """

    action: str
    effect: float
    slope: float
    p_value: float
    p_holm: float


def heterogeneity(log: Log, *, folds: int = 4, seed: int = 0) -> tuple[Heterogeneity, ...]:
    """One result per action but the first: the best linear predictor of Chernozhukov et al.

    Effects are predicted from the features on other folds, by linear and boosted regression
    together. The doubly robust scores are regressed on the predictions, with errors that are robust
    and allow for each fold's being predicted from all others.
    """
    parts = log.folds(folds, seed)
    model = reward_model.boosted_trees
    expected = reward_model.cross_fitted(log, parts, model)
    scores = doubly_robust_scores(log, expected)
    return from_scores(log, scores, predicted(log, scores, expected, parts, seed), parts)


def predicted(
    log: Log, scores: np.ndarray, expected: np.ndarray, parts: np.ndarray, seed: int
) -> np.ndarray:
    """Rows by actions: the effect against the first action, predicted from the other folds."""
    predictions = [
        policy.cross_fitted_effects(method, log, scores, expected, parts, seed)
        for method in _METHODS
    ]
    return np.asarray(np.mean(predictions, axis=0))


def from_scores(
    log: Log, scores: np.ndarray, effects: np.ndarray, parts: np.ndarray
) -> tuple[Heterogeneity, ...]:
    """The same from scores and predicted effects that are known already."""
    found = []
    for place, name in enumerate(log.actions[1:], start=1):
        may = log.possible[:, place]
        real = scores[may, place] - scores[may, 0]
        found.append((name, *_slope(log.rows(may), real, effects[may, place], parts[may])))
    corrected = holm([p_value for *_, p_value in found])
    return tuple(
        Heterogeneity(*result, float(p)) for result, p in zip(found, corrected, strict=True)
    )


def _slope(
    log: Log, effects: np.ndarray, predicted: np.ndarray, parts: np.ndarray
) -> tuple[float, float, float]:
    """Mean effect, slope on the predictions within each fold, and its one-sided p-value."""
    mean = float(effects.mean())
    inside, outcome = predicted.copy(), effects.copy()
    for fold in np.unique(parts):
        rows = parts == fold
        # Between folds, the mean prediction moves against the mean of the fold left out.
        inside[rows] -= inside[rows].mean()
        outcome[rows] -= outcome[rows].mean()
    spread = float(inside @ inside)
    if not spread > 1e-12 * float(effects @ effects):
        return mean, 0.0, 1.0
    slope = float(inside @ outcome / spread)
    deviations = log.by_customer(inside * (outcome - slope * inside))
    error = float(np.sqrt((deviations**2).sum()) / len(deviations) * len(log) / spread)
    # Any two folds are predicted from each other: what both have in common by chance counts twice.
    error *= np.sqrt(2)
    return mean, slope, float(norm.sf(slope / error)) if error > 0 else 1.0

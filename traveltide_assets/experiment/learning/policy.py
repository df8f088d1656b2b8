"""A policy learned from a log: the action with the highest expected net reward, by features.

Effects are regressions of doubly robust scores on the features, or differences of reward models.
Which of them decides is chosen by what its policy brings on rows that it did not see. One of the
candidates treats everybody alike, so learning never has to target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from traveltide_assets.experiment.learning import reward_model
from traveltide_assets.experiment.learning.log import Log, LogError, features_of
from traveltide_assets.experiment.learning.policy_value import doubly_robust_scores
from traveltide_assets.experiment.learning.reward_model import Model, Regressor
from traveltide_assets.stats.threads import one_thread

SAME_FOR_ALL, LINEAR, TREES, REWARDS = (
    "the same for everybody",
    "linear effects",
    "boosted effects",
    "boosted rewards",
)
METHODS = (SAME_FOR_ALL, LINEAR, TREES, REWARDS)


@dataclass(frozen=True)
class Policy:
    """A fitted policy. `tried` is the net reward per row that each method brought, cross-fitted."""

    actions: tuple[str, ...]
    costs: np.ndarray
    method: str
    tried: dict[str, float]
    models: tuple[Regressor, ...]
    constant: np.ndarray

    def effects(self, features: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Rows by actions: expected net reward minus that of the first action."""
        table = features_of(features)
        gross = _effects(self.method, self.models, self.constant, table)
        return gross - (self.costs - self.costs[0])

    def choose(self, features: pd.DataFrame | np.ndarray) -> np.ndarray:
        """The place of the best action per row; the first of equals."""
        return self.effects(features).argmax(axis=1)


def learn(
    log: Log,
    costs: Sequence[float] | np.ndarray | None = None,
    *,
    methods: Sequence[str] = METHODS,
    model: Model | None = None,
    folds: int = 4,
    seed: int = 0,
) -> Policy:
    """The policy with the highest cross-fitted net reward among `methods`.

    `costs` are per action, in units of the reward. `model` is that of the reward; boosted trees if
    not set. `Policy.tried` tells how the methods compare. It is too good for the chosen one by the
    choice: value the policy on other rows, or with `policy_promotion.judge`. Raises `LogError` if
    an action is too rare to learn from, or a method is unknown.
    """
    if unknown := set(methods) - set(METHODS):
        raise LogError(f"unknown methods: {', '.join(sorted(unknown))}; known: {METHODS}")
    made: Model = model or partial(reward_model.boosted_trees, seed)
    parts = log.folds(folds, seed)
    expected = reward_model.cross_fitted(log, parts, made)
    scores = doubly_robust_scores(log, expected)
    prices = np.zeros(len(log.actions)) if costs is None else np.asarray(costs, dtype="float64")
    log.net_of(prices)  # validates them
    tried = {
        method: _brought(method, log, scores, expected, prices, parts, seed) for method in methods
    }
    best = max(tried, key=lambda method: tried[method])
    models = reward_model.fitted(log, made) if best == REWARDS else _fitted(best, log, scores, seed)
    return Policy(log.actions, prices, best, tried, models, _constant(log, scores))


def _brought(
    method: str,
    log: Log,
    scores: np.ndarray,
    expected: np.ndarray,
    costs: np.ndarray,
    parts: np.ndarray,
    seed: int,
) -> float:
    effects = cross_fitted_effects(method, log, scores, expected, parts, seed)
    chosen = log.best(effects - costs)
    rows = np.arange(len(scores))
    return float((scores[rows, chosen] - costs[chosen]).mean())


def cross_fitted_effects(
    method: str,
    log: Log,
    scores: np.ndarray,
    expected: np.ndarray,
    parts: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Rows by actions: the effect against the first action, learned on the other folds."""
    if method == REWARDS:
        return expected - expected[:, :1]
    effects = np.empty_like(scores)
    for fold in np.unique(parts):
        held_out = parts == fold
        rest, known = log.rows(~held_out), scores[~held_out]
        models = _fitted(method, rest, known, seed)
        effects[held_out] = _effects(method, models, _constant(rest, known), log.features[held_out])
    return effects


def _fitted(method: str, log: Log, scores: np.ndarray, seed: int) -> tuple[Regressor, ...]:
    """One model per action but the first, of the rows that had a chance of it."""
    if method == SAME_FOR_ALL:
        return ()
    models = []
    for place in range(1, scores.shape[1]):
        model = reward_model.linear() if method == LINEAR else reward_model.boosted_trees(seed)
        may = log.possible[:, place]
        with one_thread():
            model.fit(log.features[may], scores[may, place] - scores[may, 0])
        models.append(model)
    return tuple(models)


def _effects(
    method: str, models: tuple[Regressor, ...], constant: np.ndarray, features: pd.DataFrame
) -> np.ndarray:
    if method == SAME_FOR_ALL:
        return np.tile(constant, (len(features), 1))
    found = reward_model.predicted(models, features)
    if method == REWARDS:
        return found - found[:, :1]
    return np.column_stack([np.zeros(len(features)), found])


def _constant(log: Log, scores: np.ndarray) -> np.ndarray:
    """The mean effect of each action, over the rows that had a chance of it."""
    return (scores - scores[:, :1]).mean(axis=0, where=log.possible)

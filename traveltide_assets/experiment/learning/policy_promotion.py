"""Promotion: a learned policy must beat every single action and the incumbent, beyond noise.

The learned policy is valued out of fold: in each fold, everything about it (models, method) is
learned from the other folds. So its value is not flattered by having been chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from traveltide_assets.experiment.learning import heterogeneity, policy, reward_model
from traveltide_assets.experiment.learning.heterogeneity import Heterogeneity
from traveltide_assets.experiment.learning.log import Log
from traveltide_assets.experiment.learning.policy import Policy
from traveltide_assets.experiment.learning.policy_value import doubly_robust_scores
from traveltide_assets.experiment.learning.simultaneous import simultaneous_intervals

PROMOTED = "promoted"
NOTHING_TO_GAIN = "nothing to gain by targeting"
TOO_LITTLE_DATA = "too little data"
LEARNED = "learned"
_POWER = 0.8

Learner = Callable[[Log, Sequence[float] | np.ndarray | None, int], Policy]
"""Learns a policy from a log, the costs and a seed."""


@dataclass(frozen=True)
class Judgement:
    """What a log says about a learned policy.

    `scorecard` has a row per policy: net reward per row of the log, with intervals that hold
    together. `gains` has a row per policy that the learned one must beat: by how much it does.
    `decisions` is the learned policy out of fold, as places of actions; `policy` is learned from
    all rows and is what to use after a promotion. `rows_needed` is how many rows of this kind would
    show the gain with a power of 80 %, if it is what it is estimated to be out of fold. It is only
    set if there is too little data, and that gain is above its standard error.
    """

    verdict: str
    in_words: str
    scorecard: pd.DataFrame
    gains: pd.DataFrame
    heterogeneity: tuple[Heterogeneity, ...]
    rows_needed: int | None
    decisions: np.ndarray
    policy: Policy

    @property
    def promoted(self) -> bool:
        return self.verdict == PROMOTED


def judge(
    log: Log,
    costs: Sequence[float] | np.ndarray | None = None,
    *,
    others: Mapping[str, np.ndarray] | None = None,
    incumbent: str | None = None,
    worthwhile: float = 0.1,
    level: float = 0.95,
    folds: int = 4,
    seed: int = 0,
    learner: Learner | None = None,
) -> Judgement:
    """Learn a policy, value it against every single action and `others`, and decide.

    `others` are policies by name (not learned from this log), `incumbent` names the one in use: it
    must be beaten, too. A gain of less than `worthwhile` times the value of the best single action
    is not worth having. Raises `LogError` if the log cannot be learned from.
    """
    learn = learner or _learn
    parts = log.folds(folds, seed + 1)
    decisions = np.empty(len(log), dtype="int64")
    for fold in np.unique(parts):
        held_out = parts == fold
        found, rest = learn(log.rows(~held_out), costs, seed), log.rows(held_out)
        decisions[held_out] = rest.best(found.effects(rest.features))
    expected = reward_model.cross_fitted(log, parts, lambda: reward_model.boosted_trees(seed))
    scores = doubly_robust_scores(log, expected)
    prices = np.zeros(len(log.actions)) if costs is None else np.asarray(costs, dtype="float64")
    policies = {f"always {name}": log.always(place) for place, name in enumerate(log.actions)}
    policies |= others or {}
    policies[LEARNED] = decisions

    def bring(chosen: np.ndarray) -> np.ndarray:
        return log.by_customer((log.probabilities(chosen) * (scores - prices)).sum(axis=1))

    brought = pd.DataFrame({name: bring(chosen) for name, chosen in policies.items()})
    scorecard = simultaneous_intervals(brought, level)
    scorecard["effective_sample_size"] = [_effective(log, chosen) for chosen in policies.values()]
    rivals = [f"always {name}" for name in log.actions] + ([incumbent] if incumbent else [])
    gains = _gains(brought, brought[LEARNED], rivals, level)
    effects = heterogeneity.predicted(log, scores, expected, parts, seed)
    tested = heterogeneity.from_scores(log, scores, effects, parts)
    wide = _gains(brought, bring(log.best(effects - prices)), rivals, level)
    rival = _hardest(scorecard, gains)
    # That a policy hardly targets says little of what targeting would gain.
    sought = max(gains, wide, key=lambda table: float(table.loc[rival, "standard_error"]))
    least = worthwhile * abs(float(scorecard.loc[rival, "value"]))
    verdict = _verdict(gains, sought, rival, least)
    open_yet = verdict == TOO_LITTLE_DATA
    needed, fewest = (
        _rows_needed((gains, sought), len(log), known) if open_yet else None
        for known in ("value", "high")
    )
    return Judgement(
        verdict,
        _in_words(verdict, gains, sought, rival, tested, (needed, fewest), len(log)),
        scorecard,
        gains,
        tested,
        needed,
        decisions,
        learn(log, costs, seed),
    )


def _learn(log: Log, costs: Sequence[float] | np.ndarray | None, seed: int) -> Policy:
    return policy.learn(log, costs, seed=seed)


def _effective(log: Log, chosen: np.ndarray) -> float:
    weights = log.weights(chosen)
    return float(weights.sum() ** 2 / (weights @ weights)) if weights.any() else 0.0


def _gains(
    brought: pd.DataFrame, by: pd.Series | np.ndarray, rivals: list[str], level: float
) -> pd.DataFrame:
    """By how much a policy that brought `by` per row beats each of its rivals."""
    return simultaneous_intervals(
        pd.DataFrame({name: by - brought[name] for name in rivals}), level
    )


def _hardest(scorecard: pd.DataFrame, gains: pd.DataFrame) -> str:
    """The best of those that the learned policy must beat."""
    return str(scorecard.loc[gains.index, "value"].idxmax())


def _verdict(gains: pd.DataFrame, sought: pd.DataFrame, rival: str, least: float) -> str:
    """The verdict. `gains` are those of the learned policy, `sought` of what targets most.

    A gain of less than `least` is not worth having. It is excluded, or a log of this size would
    have shown one.
    """
    if (gains["low"] > 0).all():
        return PROMOTED
    gain, high = sought.loc[rival, ["value", "high"]]
    shown = _reach(sought)[rival] <= least and gain < least
    excluded = high < least or not max(gain, least) > 0
    return NOTHING_TO_GAIN if excluded or shown else TOO_LITTLE_DATA


def _reach(gains: pd.DataFrame) -> pd.Series:
    """The gains that would be shown with the power wanted.

    The intervals hold together, so each must be won by more than one alone would take.
    """
    return gains["high"] - gains["value"] + float(norm.ppf(_POWER)) * gains["standard_error"]


def _rows_needed(tables: Sequence[pd.DataFrame], rows: int, known: str = "value") -> int | None:
    """The rows that show the gains over all rivals, if they are what they are estimated to be.

    With `known` "high" they are as large as their intervals allow.

    Of several policies, it is what the first to be shown takes. None if no gain is
    above its standard error: then nobody can say.
    """
    needed = [
        int(np.ceil(rows * ((_reach(gains) / gains[known]) ** 2).max()))
        for gains in tables
        if (gains[known] > gains["standard_error"]).all()
    ]
    # What they do not show yet takes more than there are.
    return max(min(needed), rows + 1) if needed else None


def _in_words(
    verdict: str,
    gains: pd.DataFrame,
    sought: pd.DataFrame,
    rival: str,
    tested: tuple[Heterogeneity, ...],
    needed: tuple[int | None, int | None],
    rows: int,
) -> str:
    gain, low, high = gains.loc[rival, ["value", "low", "high"]]
    change = f"{gain:+.4g} per row against {rival} ({low:+.4g} to {high:+.4g})"
    if verdict == PROMOTED:
        return f"The learned policy is promoted: {change}, and it beats all it must beat."
    if sought is not gains:
        gain, low, high = sought.loc[rival, ["value", "low", "high"]]
        change += f", {gain:+.4g} ({low:+.4g} to {high:+.4g}) by a policy that targets more"
    if verdict == NOTHING_TO_GAIN:
        return f"There is nothing to gain by targeting: {change}. Use {rival}."
    p_value = min((test.p_holm for test in tested), default=1.0)
    differ = "differ between customers" if p_value <= 0.05 else "are not shown to differ"
    likely, fewest = needed
    takes = (
        "How many rows it takes cannot be said, since no gain is above its standard error"
        if likely is None
        else f"It takes about {likely:,} rows if the gain is as estimated"
    )
    if fewest is not None:
        takes += f"; at least {fewest:,} if it is as large as its interval allows"
    return (
        f"There is too little data to tell whether targeting pays: {change}. Effects {differ} "
        f"(p {p_value:.2g}). {takes}; there are {rows:,}. Use {rival} so far."
    )

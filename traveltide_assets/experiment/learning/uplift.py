"""How well a score orders customers by the effect of one action: uplift curve and Qini.

The score must not have been learned from the rows of the log.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from traveltide_assets.experiment.learning.log import Log, LogError
from traveltide_assets.experiment.learning.policy_value import standard_error


@dataclass(frozen=True)
class Qini:
    """The area between the curve of the score and that of random order, per row of the log.

    In units of the reward: the gain over random order, averaged over all shares of customers who
    could be treated. 0 if the score is noise.
    """

    area: float
    low: float
    high: float
    standard_error: float


def uplift_curve(log: Log, score: np.ndarray, action: int = 1, base: int = 0) -> pd.DataFrame:
    """One row per `share` treated, highest score first: `uplift`, the gain per row of the log.

    `random` is the gain if as many were treated at random. Rows with equal scores are treated
    together. The gain is that of `action` over `base`, by inverse propensity.
    """
    effects = _effects(log, score, action, base)
    table = pd.DataFrame({"score": -np.asarray(score, dtype="float64"), "effect": effects})
    groups = table.groupby("score", sort=True)["effect"].agg(["size", "sum"])
    share = np.concatenate([[0.0], groups["size"].cumsum().to_numpy() / len(log)])
    gain = np.concatenate([[0.0], groups["sum"].cumsum().to_numpy() / len(log)])
    return pd.DataFrame({"share": share, "uplift": gain, "random": share * gain[-1]})


def qini(log: Log, score: np.ndarray, action: int = 1, base: int = 0, level: float = 0.95) -> Qini:
    """The Qini area of a score, with its interval for the given order of the rows."""
    effects = _effects(log, score, action, base)
    below = (rankdata(score) - 0.5) / len(log)  # 0 for the lowest score, 1 for the highest
    # The trapezoids of the curve add up to a weighted mean of the effects.
    area = float((effects * (below - 0.5)).mean())
    error = standard_error(log.by_customer((effects - effects.mean()) * (below - 0.5)))
    reach = float(norm.ppf((1 + level) / 2)) * error
    return Qini(area, area - reach, area + reach, error)


def _effects(log: Log, score: np.ndarray, action: int, base: int) -> np.ndarray:
    if np.shape(score) != (len(log),) or not np.isfinite(score).all():
        raise LogError(f"the score needs one finite number for each of {len(log):,} rows")
    if action == base or not {action, base} <= set(range(len(log.actions))):
        raise LogError(f"choose two different actions of {log.actions}, by their places")
    sign = (log.action == action).astype("float64") - (log.action == base)
    return sign * log.reward / log.propensity

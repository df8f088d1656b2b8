"""Is the new model good enough to take over? Both are asked about customers neither learnt from.

Who is held out follows from the customer alone, so that it is the same customers every month: a
model in service for long has not learnt from them either.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from traveltide_assets.lottery import draws
from traveltide_assets.prediction import models
from traveltide_assets.prediction.predictor import Predictor

COLUMNS = (
    "candidate",
    "in_service",
    "customers",
    "loss_candidate",
    "loss_in_service",
    "loss_majority",
    "difference",
    "difference_low",
    "difference_high",
    "promoted",
    "because",
)
_SALT = "prediction holdout"


def held_out(user_id: pd.Series, share: float) -> np.ndarray:
    """Whether each customer is one that no model of any month learns from."""
    users = user_id.unique()
    return user_id.isin(users[draws(users, _SALT) < share]).to_numpy()


def compete(
    candidate: Predictor,
    in_service: Predictor | None,
    examples: pd.DataFrame,
    share: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """One row: the log losses on held-out customers, their difference, and the decision.

    `examples` has the early features of the month's customers and their `perk`. The candidate is
    promoted if it beats the commonest perk, and is not worse than the model in service, both beyond
    the 95 % interval of a bootstrap over customers.
    """
    outside = held_out(examples["user_id"], share)
    held = examples[outside]
    users = held["user_id"]
    common = examples.loc[~outside, "perk"].value_counts(normalize=True)
    row = {
        "candidate": candidate.version,
        "in_service": None,
        "customers": users.nunique(),
        "loss_candidate": np.nan,
        "loss_in_service": np.nan,
        "loss_majority": np.nan,
        "difference": np.nan,
        "difference_low": np.nan,
        "difference_high": np.nan,
    }
    if held.empty:
        return pd.DataFrame([row | _decided(False, "nobody is held out to judge it on")])
    own = candidate.losses(held, held["perk"])
    label = common.index.get_indexer(held["perk"])
    shares = np.tile([*common, 0.0], (len(held), 1))
    majority = models.losses(label, shares)
    row |= {"loss_candidate": own.mean(), "loss_majority": majority.mean()}
    _, _, high = _paired(own - majority, users, resamples, seed)
    if high >= 0:
        said = "no better than the commonest perk beyond noise"
        return pd.DataFrame([row | _decided(False, said)])
    if in_service is None:
        return pd.DataFrame([row | _decided(True, "better than the commonest perk; the first")])
    if not in_service.reads(held):
        row["in_service"] = in_service.version
        return pd.DataFrame([row | _decided(True, "the model in service asks for other features")])
    theirs = in_service.losses(held, held["perk"])
    mean, low, high = _paired(own - theirs, users, resamples, seed)
    worse = low > 0
    said = "worse than the model in service beyond noise" if worse else "not worse beyond noise"
    row |= {
        "in_service": in_service.version,
        "loss_in_service": theirs.mean(),
        "difference": mean,
        "difference_low": low,
        "difference_high": high,
    }
    return pd.DataFrame([row | _decided(not worse, said)])


def _decided(promoted: bool, because: str) -> dict[str, object]:
    return {"promoted": promoted, "because": because}


def _paired(
    difference: np.ndarray, users: pd.Series, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Mean difference by customer, and the 95 % interval of drawing customers anew."""
    each = pd.Series(difference).groupby(users.to_numpy()).mean().to_numpy()
    size = len(each)
    draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), resamples)
    low, high = np.quantile(draws @ each / size, [0.025, 0.975])
    return float(each.mean()), float(low), float(high)

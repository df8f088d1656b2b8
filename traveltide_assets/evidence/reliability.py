"""Would another half of their visits give the same customers the same group and perk?

A strategy is fitted as it is, on whole histories, and then assigns every customer twice: from the
odd and from the even sessions. Both halves are equally long, so counts are smaller in both alike.
What differs between them is chance; a strategy that follows it would decide otherwise next time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score, cohen_kappa_score

from traveltide_assets.segmentation.strategy import CannotFit, History, Strategy

_ODD, _EVEN = "odd", "even"


def twice(strategy: Strategy, history: History, halves: pd.DataFrame) -> pd.DataFrame:
    """One row per customer with sessions in both halves: `segment` and `perk` from each.

    The columns end in `_odd` and `_even`. `halves` are the rows of `gold/half_features`. Empty if
    the strategy cannot be fitted.
    """
    named = {half: halves[halves["half"] == half].drop(columns="half") for half in (_ODD, _EVEN)}
    both = np.intersect1d(*(frame["user_id"] for frame in named.values()))
    columns = ["user_id", "segment", "perk"]
    try:
        if not len(both):
            raise CannotFit("no customer has sessions in both halves")
        fitted = strategy.fit(history)
        odd, even = (
            fitted.assign(frame[frame["user_id"].isin(both)].reset_index(drop=True))[columns]
            for frame in named.values()
        )
    except CannotFit:
        odd = even = pd.DataFrame(columns=columns)
    return odd.merge(even, on="user_id", suffixes=("_odd", "_even"), validate="one_to_one")


def agreement(assigned: pd.DataFrame) -> dict[str, float]:
    """How far the two assignments of `twice` agree; NaN where there is nothing to agree on.

    Kappa is that of the perks: 1 always the same, 0 no more often than by chance. It is undefined
    if everybody gets one perk.
    """
    if assigned.empty:
        return {"reliability_ari": float("nan"), "reliability_kappa": float("nan")}
    odd, even = _coded(assigned, "perk")
    several = len(np.unique([odd, even])) > 1
    return {
        "reliability_ari": float(adjusted_rand_score(*_coded(assigned, "segment"))),
        "reliability_kappa": float(cohen_kappa_score(odd, even)) if several else float("nan"),
    }


def _coded(assigned: pd.DataFrame, what: str) -> np.ndarray:
    """What is assigned in both halves (rows) as numbers, in the order of the words."""
    # Comparing words again and again takes ten times as long.
    both = pd.concat([assigned[f"{what}_odd"], assigned[f"{what}_even"]]).astype(str)
    return pd.factorize(both, sort=True)[0].reshape(2, -1)


def unreliable(assigned: pd.DataFrame) -> pd.Index:
    """The customers to whom the two halves give different perks, of the result of `twice`."""
    return pd.Index(assigned.loc[assigned["perk_odd"] != assigned["perk_even"], "user_id"])

"""Random assignment to the personalised and the control arm, and checks that it is sound.

The arm depends on the customer and the salt alone. So it is the same in every month, in any order
of rows and in any segment; within each segment the sizes of the arms follow the ratio, up to
chance. Customers whose perk is the control offer are excluded: both arms would be the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chisquare
from sklearn.decomposition import PCA
from statsmodels.stats.multivariate import test_mvmean_2indep as hotelling
from statsmodels.stats.weightstats import ttest_ind

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.experiment.config import Config
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.segmentation.scaling import numeric, standardised
from traveltide_assets.stats import bucketing
from traveltide_assets.stats.holm import holm
from traveltide_assets.stats.threads import one_thread

PERSONALISED, CONTROL = "personalised", "control"
# Arms of a campaign besides those of an experiment.
EXPLORATION, HOLDOUT = "exploration", "holdout"
ARMS = (PERSONALISED, CONTROL)
CONTROL_OFFER = "control_offer"
EVERYBODY = "all customers"
# Perfectly correlated features would make the covariance matrix singular.
_KEPT_VARIANCE = 0.99


class ExperimentError(SettingsError):
    """The experiment cannot be run as configured; the message says what to change."""


def headlines(perks: tuple[Perk, ...], config: Config) -> dict[str, str]:
    """The headline of every perk and of the control offer.

    Raises `ExperimentError` if the control offer is not a perk of the catalogue.
    """
    known = {perk.id: perk.headline for perk in perks}
    if config.control_offer == CONTROL_OFFER:
        return {CONTROL_OFFER: config.control_headline} | known
    if config.control_offer not in known:
        raise ExperimentError(
            f"experiment.control_offer: {config.control_offer} is not in the perk catalogue; "
            f"choose {CONTROL_OFFER} or one of {', '.join(known)}"
        )
    return known


def arms(users: pd.Series, config: Config) -> np.ndarray:
    """The arm of each customer."""
    drawn = bucketing.draws(users, config.salt) < config.ratio
    return np.where(drawn, PERSONALISED, CONTROL)


def assign(customers: pd.DataFrame, config: Config) -> pd.DataFrame:
    """One row per customer in the experiment: `user_id`, `segment`, `perk`, `arm`, `offer`.

    `customers` are those who may be contacted and are not held out, with `user_id`, `segment` and
    `perk`.
    """
    taking_part = customers["perk"] != config.control_offer
    rows = customers.loc[taking_part, ["user_id", "segment", "perk"]]
    rows = rows.sort_values("user_id", ignore_index=True)
    rows["arm"] = arms(rows["user_id"], config)
    rows["offer"] = rows["perk"].where(rows["arm"] == PERSONALISED, config.control_offer)
    return rows


def mismatch(personalised: np.ndarray, ratio: float) -> float:
    """P-value of the sample ratio mismatch: sizes at least this far from the ratio by chance.

    `personalised` says for each customer whether they are in that arm. 1 without customers.
    """
    if not len(personalised):
        return 1.0
    sizes = [personalised.sum(), (~personalised).sum()]
    return float(chisquare(sizes, len(personalised) * np.array([ratio, 1 - ratio])).pvalue)


def mismatches(assignment: pd.DataFrame, ratio: float) -> dict[str, float]:
    """`mismatch` over all customers and by segment. P-values of segments are corrected (Holm)."""
    personalised = (assignment["arm"] == PERSONALISED).to_numpy()
    by_segment = {
        str(name): mismatch(personalised[rows], ratio)
        for name, rows in assignment.groupby("segment").indices.items()
    }
    corrected = holm(list(by_segment.values()))
    return {
        EVERYBODY: mismatch(personalised, ratio),
        **{name: float(p) for name, p in zip(by_segment, corrected, strict=True)},
    }


@dataclass(frozen=True)
class Balance:
    """The balance of the arms in each feature.

    `features` has a row per feature, largest difference first: `difference` in SD, and `p_holm`.
    `p_value` is that of Hotelling's test on all features at once, null with too few customers.
    """

    features: pd.DataFrame
    p_value: float

    @property
    def largest(self) -> float:
        return float(self.features["difference"].abs().max()) if len(self.features) else 0.0

    def beyond(self, limit: float) -> Mapping[str, float]:
        """The features that differ between the arms by more than `limit` SD."""
        found = self.features.loc[self.features["difference"].abs() > limit, "difference"]
        return {str(name): float(value) for name, value in found.items()}


def balance(assignment: pd.DataFrame, features: pd.DataFrame) -> Balance:
    """The balance of the arms in the customers' features from before the experiment."""
    rows = features[features["user_id"].isin(assignment["user_id"])]
    values = standardised(numeric(rows))
    values = values.loc[:, values.std(ddof=0) > 0]
    arm = assignment.set_index("user_id")["arm"][values.index]
    personalised = (arm == PERSONALISED).to_numpy()
    one, other = values[personalised], values[~personalised]
    if min(len(one), len(other)) < 2 or values.empty:
        return Balance(pd.DataFrame({"difference": [], "p_holm": []}, dtype="float64"), np.nan)
    p_values = np.atleast_1d(ttest_ind(one, other, usevar="unequal")[1])
    table = pd.DataFrame(
        {
            "difference": one.mean() - other.mean(),
            "p_holm": holm(np.nan_to_num(p_values, nan=1.0)),
        },
        index=values.columns,
    )
    order = table["difference"].abs().sort_values(ascending=False, kind="stable").index
    return Balance(table.loc[order], _at_once(values, personalised))


def _at_once(values: pd.DataFrame, personalised: np.ndarray) -> float:
    # Also faster: on so few numbers, threads spend most of the time waiting for each other.
    with one_thread():
        scores = PCA(_KEPT_VARIANCE, svd_solver="full").fit_transform(values)
        if len(scores) < 3 * scores.shape[1]:
            return float("nan")
        return float(hotelling(scores[personalised], scores[~personalised]).pvalue)

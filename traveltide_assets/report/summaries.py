"""Small tables of a month, counted when it is decided: pages of a million customers read these."""

from __future__ import annotations

import pandas as pd

from traveltide_assets.report import segment_cards
from traveltide_assets.segmentation.affinities import profiles
from traveltide_assets.segmentation.scaling import standardised
from traveltide_assets.stats import bucketing

ABSENT = "not in the cohort"
"""The perk of who is in the cohort of only one of two months."""
MOST = 50_000
"""Customers that a scenario is computed for: of more, a sample of about this size."""
_TRAITS = 3
_FOR_LIKENESS = 20_000


def sample(features: pd.DataFrame) -> pd.DataFrame:
    """The features of a sample of the customers, the same each time; none if they are few."""
    if len(features) <= MOST:
        return features.iloc[:0]
    chosen = bucketing.draws(features["user_id"], "what if") < MOST / len(features)
    return features[chosen].reset_index(drop=True)


def segment_profiles(features: pd.DataFrame, segments: pd.Series) -> pd.DataFrame:
    """One row per segment and feature: the means, and which features set the segment apart.

    `features` are numeric, by `user_id`; `segments` are those of the same customers, in this order.
    """
    # How alike two features are needs no more customers than these.
    step = max(1, len(features) // _FOR_LIKENESS)
    alike = standardised(features.iloc[::step]).corr().abs()
    deviation = profiles(features.reset_index(), segments)
    telling = {
        (segment, name): place
        for segment in deviation.index
        for place, name in enumerate(
            segment_cards.telling(deviation.loc[[segment]], alike, _TRAITS), 1
        )
    }
    means = features.groupby(segments.to_numpy()).mean()
    rows = _long(means).rename_axis(["segment", "feature"]).reset_index()
    pairs = pd.MultiIndex.from_frame(rows[["segment", "feature"]])
    return rows.assign(
        customers=rows["segment"].map(segments.value_counts()).astype("int64"),
        mean_of_all=rows["feature"].map(features.mean()),
        place=pd.Series(pairs.map(telling), dtype="Int64"),
    )


def perk_moves(
    now: pd.Series,
    before: pd.Series,
    features: pd.DataFrame,
    features_before: pd.DataFrame,
) -> pd.DataFrame:
    """One row per perk of last month, perk of this month and feature: how many, and their means.

    `now` and `before` are perks by `user_id`, empty if last month was not decided. `features` are
    numeric, by `user_id`.
    """
    by = ["perk_before", "perk"]
    pairs = pd.concat([before, now], axis=1, keys=by).fillna(ABSENT).sort_index()
    sessions = [f["total_sessions"].reindex(pairs.index) for f in (features_before, features)]
    sizes = (
        pairs.assign(idle=sessions[0] == sessions[1])
        .groupby(by)["idle"]
        .agg(customers="size", idle="sum")
    )
    means = {
        name: _long(frame.groupby([pairs[each].reindex(frame.index) for each in by]).mean())
        for name, frame in (("mean_before", features_before), ("mean", features))
    }
    spread = features_before.std(ddof=0)
    rows = pd.concat(means, axis=1).rename_axis([*by, "feature"]).reset_index()
    return rows.merge(sizes.reset_index(), on=by).assign(
        sd_before=lambda found: found["feature"].map(spread)
    )


def _long(means: pd.DataFrame) -> pd.Series:
    """A value per row and column, undefined ones too."""
    rows = means.melt(var_name="feature", value_name="mean", ignore_index=False)
    return rows.set_index("feature", append=True)["mean"]

"""Affinities of customer groups to perks, and the assignment of a perk to each group."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from traveltide_assets.catalogue.perks import Perk, alternatives, contributions, features_of
from traveltide_assets.segmentation.scaling import NUMERIC, numeric, standardised

DECIDING = 3
LEFT_OVER = "no feature; other perks suit other segments better"
_BLOCK_VALUES = 2_000_000


def profiles(
    features: pd.DataFrame, groups: pd.Series, names: Iterable[str] | None = None
) -> pd.DataFrame:
    """Mean deviation of each group (row) from the cohort in each feature (column), in SD."""
    members, labels = pd.factorize(groups.to_numpy(), sort=True)
    # A few features at a time: for a million customers, one copy of all features takes 400 MB.
    wanted = [name for name in NUMERIC if name in features] if names is None else list(names)
    step = max(1, _BLOCK_VALUES // max(1, len(features)))
    blocks = [wanted[first : first + step] for first in range(0, len(wanted), step)]
    means = [standardised(numeric(features, block)).groupby(members).mean() for block in blocks]
    return pd.concat(means, axis=1).set_axis(labels, axis=0)


def affinities(profile: pd.DataFrame, perks: tuple[Perk, ...]) -> pd.DataFrame:
    """Affinity of each group (row) to each perk (column), in SD."""
    return pd.DataFrame(
        {perk.id: perk.index_of(profile) for perk in perks},
        index=profile.index,
    )


def assign(affinity: pd.DataFrame) -> pd.Series:
    """The perk of each group: a one-to-one assignment with the highest total affinity.

    If there are more groups than perks, the remaining groups get the perk of their highest
    affinity. The optimum also decides which groups these are, so their order does not matter.
    """
    rows, columns = linear_sum_assignment(affinity.to_numpy(), maximize=True)
    perk = affinity.idxmax(axis=1)
    perk.iloc[rows] = affinity.columns[columns]
    return perk


def runner_up(affinity: pd.DataFrame, perk: pd.Series) -> pd.Series:
    """The perk with the next highest affinity; the assigned perk if there is no other."""
    if affinity.shape[1] == 1:
        return perk
    others = affinity.copy()
    for group, given in perk.items():
        others.loc[group, given] = -np.inf
    return others.idxmax(axis=1)


def deciding(profile: pd.DataFrame, perk: pd.Series, perks: tuple[Perk, ...]) -> pd.Series:
    """The features that favour the perk of each group most: `name (+1.2 SD), ...`.

    A group may have no such feature: the one-to-one assignment then gave each perk that suits it
    better to another group.
    """
    by_id = {entry.id: entry for entry in perks}
    return pd.Series(
        {
            group: _strongest(profile.loc[[group], list(by_id[given].features)], by_id[given])
            for group, given in perk.items()
        },
        dtype=object,
    )


def assignments(
    features: pd.DataFrame, customers: pd.DataFrame, perks: tuple[Perk, ...]
) -> pd.DataFrame:
    """One row per customer: segment, perk, runner-up, reason and the segment's affinities.

    `features` needs only the features that the perks use. The runner-up belongs to the same program
    as the assigned perks.
    """
    merged = customers.merge(features[["user_id"]], on="user_id", validate="one_to_one")
    groups = features[["user_id"]].merge(merged, on="user_id", validate="one_to_one")["segment"]
    affinity = affinities(profiles(features, groups, sorted(features_of(perks))), perks)
    perk = merged.groupby("segment")["perk"].first()
    second = runner_up(affinity[alternatives(perks, perk)], perk)
    # Names of segments are looked up once per segment, not once per customer and column.
    place, segments = pd.factorize(merged["segment"])
    own = affinity.assign(runner_up=second).reindex(segments)
    return merged.rename(columns={"reason": "deciding_features"}).assign(
        runner_up=own["runner_up"].array.take(place),
        **{f"affinity_{name}": own[name].to_numpy()[place] for name in affinity},
    )


def _strongest(profile: pd.DataFrame, perk: Perk) -> str:
    """The features of a group (the only row) that speak for the perk most, with their deviations.

    A deviation that is written as zero speaks for nothing.
    """
    deviation = profile.to_numpy()[0]
    contribution = contributions(profile, perk).to_numpy()[0]
    ranked = np.argsort(-contribution, kind="stable")
    favourable = ranked[(contribution[ranked] > 0) & (deviation[ranked].round(2) != 0)][:DECIDING]
    names = profile.columns
    return ", ".join(f"{names[i]} ({deviation[i]:+.2f} SD)" for i in favourable) or LEFT_OVER

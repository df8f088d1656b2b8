"""Perk affinity: customers are ranked for each perk and get the one they rank highest for.

This is a fuzzy segmentation: each customer belongs to every perk to a degree, and most of all to
the perk assigned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, Program, features_of, of_program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.affinities import DECIDING
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.segmentation.scaling import numeric
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.stats.percentiles import percentile_rank

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

_NEUTRAL = 0.5  # The percentile rank in the middle of the cohort.
_NO_SIGNAL = "nothing known speaks for it"
# Sums of shares differ in their last bits. Rounding gives customers of equal behaviour equal
# indices.
_DECIMALS = 12


@dataclass(frozen=True)
class AffinityStrategy:
    """The fuzzy segmentation over the classic perks of a catalogue.

    A perk's index is the weighted mean of the customer's percentile ranks in its features. A rank
    is inverted (1 - rank) if the weight is negative; an undefined feature gets the median's rank.
    """

    perks: tuple[Perk, ...]
    name: str = "perk_affinity"
    title: str = "Perk ranking"
    description: str = "Everybody is ranked for each perk and gets the one they rank highest for"
    learns_from_outcomes: bool = False
    program: Program = "classic"

    @property
    def extra_columns(self) -> tuple[Column, ...]:
        return tuple(
            Column(f"membership_{perk.id}", "float64", f"Degree of membership: {perk.id}")
            for perk in self.perks
        )

    @property
    def inputs(self) -> frozenset[str]:
        return features_of(self.perks)

    def reseeded(self, seed: int) -> AffinityStrategy:
        """The strategy itself, which has no random part."""
        return self

    def fit(self, history: History) -> FittedAffinity:
        """Learn the distribution of features and indices over the cohort (one row per customer)."""
        values = numeric(history.features)[sorted(self.inputs)]
        features = {name: np.sort(column.dropna().to_numpy()) for name, column in values.items()}
        index = _indices(_evidence(history.features, features), features, self.perks)
        return FittedAffinity(
            self.perks, features, {p: np.sort(index[p].to_numpy()) for p in index}
        )


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> AffinityStrategy:
    """The strategy for the classic perks of a catalogue; `PerkError` if there are none."""
    return AffinityStrategy(of_program(perks, "classic"))


@dataclass(frozen=True)
class FittedAffinity:
    """The cohort's sorted values of each feature, and of each perk's index."""

    perks: tuple[Perk, ...]
    features: dict[str, np.ndarray]
    index: dict[str, np.ndarray]

    def ranks(self, features: pd.DataFrame) -> pd.DataFrame:
        """Rank of each customer (row, as in `features`) in the cohort for each perk (column).

        Rank 1 has the highest index; customers with equal indices share the mean of their ranks.
        """
        index = _indices(_evidence(features, self.features), self.features, self.perks)
        size = len(next(iter(self.index.values())))
        # Ranks are whole or half numbers; rounding removes the error in the last bits.
        return ((1 - self._percentiles(index)) * size + 0.5).round(1)

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: `ASSIGNMENT` and the memberships.

        `membership_<perk>` is the customer's percentile rank for the perk, divided by the sum of
        their ranks for all perks; a row's memberships add up to 1. `score` is the membership of
        the assigned perk. `reason` lists the features that favoured it, with their percentiles.
        """
        evidence = _evidence(features, self.features)
        index = _indices(evidence, self.features, self.perks)
        percentiles = self._percentiles(index).to_numpy()
        best = _best(percentiles, index.to_numpy())
        membership = _shares(percentiles)
        assigned = pd.DataFrame(
            {
                "user_id": features["user_id"].to_numpy(),
                "segment": np.array([_segment(perk) for perk in self.perks], dtype=object)[best],
                "perk": np.array(list(index.columns), dtype=object)[best],
                "score": membership[np.arange(len(best)), best],
                "reason": "",
            }
        )
        for position, perk in enumerate(self.perks):
            given = best == position
            assigned.loc[given, "reason"] = _reasons(evidence[given], perk)
            assigned[f"membership_{perk.id}"] = membership[:, position]
        return assigned

    def _percentiles(self, index: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {perk: percentile_rank(index[perk].to_numpy(), self.index[perk]) for perk in index}
        )


def _evidence(features: pd.DataFrame, cohort: dict[str, np.ndarray]) -> pd.DataFrame:
    """Percentile rank of each customer (row) in each feature (column), NaN where undefined."""
    values = numeric(features)
    return pd.DataFrame(
        {name: percentile_rank(values[name].to_numpy(), known) for name, known in cohort.items()},
        index=range(len(features)),
    )


def _indices(
    evidence: pd.DataFrame, cohort: dict[str, np.ndarray], perks: tuple[Perk, ...]
) -> pd.DataFrame:
    """Index of each customer (row) for each perk (column), from 0 to 1."""
    known = evidence.fillna({name: _middle(values) for name, values in cohort.items()})
    return pd.DataFrame(
        {
            perk.id: sum(
                abs(weight) * _for(known[name], weight) for name, weight in perk.features.items()
            )
            / sum(map(abs, perk.features.values()))
            for perk in perks
        },
        index=evidence.index,
    ).round(_DECIMALS)


def _middle(cohort: np.ndarray) -> float:
    """Percentile rank of the cohort's median, used for customers with an undefined value.

    It is not 0.5 if most customers have the same value, such as no cancellations. With 0.5,
    customers without a trip would rank above those who have never cancelled one.
    """
    if not len(cohort):
        return _NEUTRAL
    return float(percentile_rank(np.array([np.median(cohort)]), cohort)[0])


def _for(percentiles: pd.Series, weight: float) -> pd.Series:
    """How strongly a feature favours a perk that gives it this weight, from 0 to 1."""
    return percentiles if weight > 0 else 1 - percentiles


def _best(percentiles: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Position of the perk each customer ranks highest for.

    Ties are broken by index, then by position.
    """
    highest = percentiles == percentiles.max(axis=1, keepdims=True)
    return np.where(highest, index, -1.0).argmax(axis=1)


def _shares(percentiles: np.ndarray) -> np.ndarray:
    total = percentiles.sum(axis=1, keepdims=True)
    even = np.full_like(percentiles, 1 / percentiles.shape[1])
    return np.divide(percentiles, total, out=even, where=total > 0)


def _segment(perk: Perk) -> str:
    return perk.audience[:1].upper() + perk.audience[1:]


def _reasons(evidence: pd.DataFrame, perk: Perk) -> list[str]:
    """The features that favour the perk in each row, strongest first, with their percentiles."""
    names = [name for name, weight in perk.features.items() if weight]
    weights = np.array([perk.features[name] for name in names])
    percentile = evidence[names].to_numpy()
    strength = np.abs(weights) * (np.where(weights > 0, percentile, 1 - percentile) - _NEUTRAL)
    strength = np.nan_to_num(strength)
    order = np.argsort(-strength, axis=1, kind="stable")[:, :DECIDING]
    return [
        ", ".join(
            f"{LABELS[names[i]]} (percentile {100 * row[i]:.0f})" for i in top if for_perk[i] > 0
        )
        or _NO_SIGNAL
        for row, for_perk, top in zip(percentile, strength, order, strict=True)
    ]

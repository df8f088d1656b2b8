"""Perk affinity: everybody is ranked for each perk and gets the one they rank highest for.

A fuzzy segmentation: each customer belongs to every perk to a degree, and most to the one given.
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
from traveltide_assets.stats.percentiles import standing

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

_NEUTRAL = 0.5  # The standing of somebody whom as many exceed as do not.
_NO_SIGNAL = "nothing known speaks for it"
# Sums of shares differ in their last bits; so rounded, equal behaviour gives equal indices.
_DECIMALS = 12


@dataclass(frozen=True)
class AffinityStrategy:
    """The fuzzy segmentation over the classic perks of the catalogue given.

    A perk's index is the weighted mean of its features, each as the share of the cohort below
    the customer (turned round where the weight is negative, the median's where undefined).
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
        """The strategy itself: nothing about it is random."""
        return self

    def fit(self, history: History) -> FittedAffinity:
        """Learn how features and indices are distributed over the cohort (one row each)."""
        values = numeric(history.features)[sorted(self.inputs)]
        features = {name: np.sort(column.dropna().to_numpy()) for name, column in values.items()}
        index = _indices(_evidence(history.features, features), features, self.perks)
        return FittedAffinity(
            self.perks, features, {p: np.sort(index[p].to_numpy()) for p in index}
        )


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> AffinityStrategy:
    """The strategy for the classic perks of a catalogue."""
    return AffinityStrategy(of_program(perks, "classic"))


@dataclass(frozen=True)
class FittedAffinity:
    """The cohort's sorted values of each feature, and of each perk's index."""

    perks: tuple[Perk, ...]
    features: dict[str, np.ndarray]
    index: dict[str, np.ndarray]

    def ranks(self, features: pd.DataFrame) -> pd.DataFrame:
        """Rank of each customer (row, as in `features`) for each perk (column) in the cohort.

        1 is the highest index; customers of equal index share the middle of their ranks.
        """
        index = _indices(_evidence(features, self.features), self.features, self.perks)
        size = len(next(iter(self.index.values())))
        # Shared ranks are whole or half numbers; the product is so but for its last bits.
        return ((1 - self._standing(index)) * size + 0.5).round(1)

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: `ASSIGNMENT` and the memberships.

        `membership_<perk>` is the perk's part of the customer's standings (the share of the
        cohort ranked below them for each perk); a row's memberships add up to 1. `score` is the
        membership of the perk given, `reason` the features that made it with their percentiles.
        """
        evidence = _evidence(features, self.features)
        index = _indices(evidence, self.features, self.perks)
        standings = self._standing(index)
        best = _best(standings.to_numpy(), index.to_numpy())
        membership = _shares(standings.to_numpy())
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

    def _standing(self, index: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {perk: standing(index[perk].to_numpy(), self.index[perk]) for perk in index}
        )


def _evidence(features: pd.DataFrame, cohort: dict[str, np.ndarray]) -> pd.DataFrame:
    """Standing of each customer (row) in each feature (column), NaN where undefined."""
    values = numeric(features)
    return pd.DataFrame(
        {name: standing(values[name].to_numpy(), known) for name, known in cohort.items()},
        index=range(len(features)),
    )


def _indices(
    evidence: pd.DataFrame, cohort: dict[str, np.ndarray], perks: tuple[Perk, ...]
) -> pd.DataFrame:
    """Index of each customer (row) for each perk (column), 0 to 1."""
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
    """Standing of the median customer, which those have of whom a feature is not known.

    Where most have the same value (no cancellation, say), that is not 0.5: customers without a trip
    would otherwise stand above those who have never cancelled one.
    """
    if not len(cohort):
        return _NEUTRAL
    return float(standing(np.array([np.median(cohort)]), cohort)[0])


def _for(standings: pd.Series, weight: float) -> pd.Series:
    """How much the feature speaks for a perk that weighs it so."""
    return standings if weight > 0 else 1 - standings


def _best(standings: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Position of the perk each customer ranks highest for; ties by index, then by position."""
    highest = standings == standings.max(axis=1, keepdims=True)
    return np.where(highest, index, -1.0).argmax(axis=1)


def _shares(standings: np.ndarray) -> np.ndarray:
    total = standings.sum(axis=1, keepdims=True)
    even = np.full_like(standings, 1 / standings.shape[1])
    return np.divide(standings, total, out=even, where=total > 0)


def _segment(perk: Perk) -> str:
    return perk.audience[:1].upper() + perk.audience[1:]


def _reasons(evidence: pd.DataFrame, perk: Perk) -> list[str]:
    """The features that speak for the perk in each row, loudest first, with their percentiles."""
    names = [name for name, weight in perk.features.items() if weight]
    weights = np.array([perk.features[name] for name in names])
    percentile = evidence[names].to_numpy()
    speaks = np.abs(weights) * (np.where(weights > 0, percentile, 1 - percentile) - _NEUTRAL)
    speaks = np.nan_to_num(speaks)
    order = np.argsort(-speaks, axis=1, kind="stable")[:, :DECIDING]
    return [
        ", ".join(
            f"{LABELS[names[i]]} (percentile {100 * row[i]:.0f})" for i in loudest if said[i] > 0
        )
        or _NO_SIGNAL
        for row, said, loudest in zip(percentile, speaks, order, strict=True)
    ]

"""Propensity: for each perk, a model of the behaviour it speaks to, learnt from what came after.

The models see customers as of a cut and learn what they did per opportunity from the cut on. A
model's deviations from the average are scaled by how far they came true for customers it had not
seen, so that noise keeps near the average. Each customer then gets the perk whose behaviour is
expected to exceed the average most, also those of whom nothing above the average is expected:
they are a segment of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from traveltide_assets.catalogue.perks import Perk, Program, of_program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.scaling import NUMERIC, numeric
from traveltide_assets.segmentation.strategy import ASSIGNMENT, CannotFit, History
from traveltide_assets.stats.threads import one_thread
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets.transforms.outcomes import OUTCOMES

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

# Counts and sums grow with the history, and the models learn from a shorter one than they are
# applied to; shares, means, scores and the profile do not grow.
_TIMELESS = tuple(
    feature.name
    for feature in CATALOGUE
    if feature.name in NUMERIC
    and feature.name != "tenure_months"
    and (feature.source in ("users", "features") or feature.nullable or feature.maximum is not None)
)
_DESCRIPTIONS = {outcome.name: outcome.description for outcome in OUTCOMES}

NO_PREFERENCE = "No clear preference"
NEAREST = "nothing is expected above the average; this comes nearest to it"
_FOLDS = 3
_BINS = 32


class TooLittleHistory(CannotFit):
    """There is nothing to learn from; the message says what is missing."""


@dataclass(frozen=True)
class PropensityStrategy:
    """Small gradient-boosted trees per perk; weak signals leave everybody near the average."""

    perks: tuple[Perk, ...]
    seed: int
    name: str = "propensity"
    title: str = "Propensity"
    description: str = (
        "For each perk a model of the behaviour it speaks to, trained on what customers did after "
        "a cut; each customer gets the perk whose behaviour is expected to exceed the average most."
    )
    learns_from_outcomes: bool = True
    program: Program = "classic"
    extra_columns: tuple[Column, ...] = ()

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(_TIMELESS)

    def fit(self, history: History) -> FittedPropensity:
        if history.earlier is None or history.outcomes is None or history.earlier.empty:
            raise TooLittleHistory("propensity needs customers as of a cut and what they did since")
        known = history.earlier.merge(history.outcomes, on="user_id", validate="one_to_one")
        bins = Bins.of(known[history.earlier.columns])
        inputs = bins.place(known)
        folds = self._folds(inputs)
        experts = {}
        for perk in self.perks:
            amount = known[f"{perk.outcome}_amount"].to_numpy(dtype=np.float64)
            chances = known[f"{perk.outcome}_opportunities"].to_numpy(dtype=np.float64)
            rows = chances > 0
            fold = folds[rows]
            if all(amount[rows][fold != number].sum() > 0 for number in range(_FOLDS)):
                rate = amount[rows] / chances[rows]
                experts[perk.id] = self._expert(inputs[rows], rate, chances[rows], fold)
        if not any(expert.trust > 0 for expert in experts.values()):
            raise TooLittleHistory("too few did after the cut what any perk speaks to")
        return FittedPropensity(self.perks, bins, experts)

    def _folds(self, inputs: np.ndarray) -> np.ndarray:
        """The fold of each row; copies of a customer, as a bootstrap draws them, share one."""
        _, customer = np.unique(np.nan_to_num(inputs, nan=-1), axis=0, return_inverse=True)
        drawn = np.random.default_rng(self.seed).permutation(int(customer.max()) + 1)
        return (drawn % _FOLDS)[customer]

    def _expert(
        self, inputs: np.ndarray, rate: np.ndarray, chances: np.ndarray, fold: np.ndarray
    ) -> Expert:
        average = float(np.average(rate, weights=chances))
        unseen = np.empty_like(rate)
        for number in range(_FOLDS):
            inside = fold == number
            model = self._trained(inputs[~inside], rate[~inside], chances[~inside])
            unseen[inside] = _predicted(model, inputs[inside])
        return Expert(
            model=self._trained(inputs, rate, chances),
            average=average,
            trust=_trust(unseen / average, rate / average, chances),
        )

    def _trained(
        self, inputs: np.ndarray, rate: np.ndarray, chances: np.ndarray
    ) -> HistGradientBoostingRegressor:
        # A feature without any value cannot be binned; without any difference it is not used.
        inputs = np.where(np.isnan(inputs).all(axis=0), 0.0, inputs)
        # One thread, because several add up in an order of their own.
        with one_thread():
            return self._model().fit(inputs, rate, sample_weight=chances)

    def reseeded(self, seed: int) -> PropensityStrategy:
        return replace(self, seed=seed)

    def _model(self) -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(
            loss="poisson",
            max_iter=15,
            learning_rate=0.2,
            max_leaf_nodes=8,
            min_samples_leaf=100,
            max_bins=_BINS,
            l2_regularization=10.0,
            early_stopping=False,
            random_state=self.seed,
        )


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> PropensityStrategy:
    """The strategy for the classic perks of a catalogue."""
    return PropensityStrategy(of_program(perks, "classic"), settings.seed)


@dataclass(frozen=True)
class Bins:
    """Where a value lies among the customers learnt from: in which of equally full bins.

    Trees split between such bins anyway, but scikit-learn makes them anew for each of some 36
    models: on 5,998 customers `fit` takes 0.67 CPU s with these bins and 2.6 s without. Undefined
    values stay undefined.
    """

    edges: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, features: pd.DataFrame) -> Bins:
        values = _inputs(features).quantile(np.arange(1, _BINS) / _BINS, interpolation="lower")
        return cls(tuple(np.unique(column.dropna()) for _, column in values.items()))

    def place(self, features: pd.DataFrame) -> np.ndarray:
        """The bin of each feature (column) of each customer (row), from 0."""
        values = _inputs(features).to_numpy()
        placed = np.column_stack(
            [np.searchsorted(edges, values[:, i]) for i, edges in enumerate(self.edges)]
        ).astype(np.float64)
        placed[np.isnan(values)] = np.nan
        return placed


@dataclass(frozen=True)
class Expert:
    """The model of one behaviour, its average, and how far its predictions are to be trusted.

    `trust` is 1 where customers the model had not seen deviated as predicted, 0 where not at all.
    """

    model: HistGradientBoostingRegressor
    average: float
    trust: float

    def lift(self, inputs: np.ndarray) -> np.ndarray:
        """Expected behaviour of each row over the average, drawn in by lack of trust."""
        return 1 + self.trust * (_predicted(self.model, inputs) / self.average - 1)


@dataclass(frozen=True)
class FittedPropensity:
    """An expert for each perk that there is anything to learn about."""

    perks: tuple[Perk, ...]
    bins: Bins
    experts: dict[str, Expert]

    def lifts(self, features: pd.DataFrame) -> pd.DataFrame:
        """Expected behaviour of each customer (row) over the average, by perk (column)."""
        inputs = self.bins.place(features)
        return pd.DataFrame({perk: expert.lift(inputs) for perk, expert in self.experts.items()})

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """The columns of `ASSIGNMENT`; `score` is the expected lift over the average."""
        lifts = self.lifts(features)
        perk = lifts.idxmax(axis=1)
        score = lifts.max(axis=1)
        by_id = {entry.id: entry for entry in self.perks}
        averages = perk.map({name: expert.average for name, expert in self.experts.items()})
        outcome = perk.map({name: _DESCRIPTIONS[entry.outcome] for name, entry in by_id.items()})
        segment = perk.map({name: f"Likely: {entry.title}" for name, entry in by_id.items()})
        reason = [
            f"expected {value:.2f} {what}, {times:.2f} times the average" if times > 1 else NEAREST
            for value, what, times in zip(score * averages, outcome, score, strict=True)
        ]
        return pd.DataFrame(
            {
                "user_id": features["user_id"].to_numpy(),
                "segment": segment.where(score > 1, NO_PREFERENCE),
                "perk": perk,
                "score": score,
                "reason": reason,
            }
        )[list(ASSIGNMENT)]


def _inputs(features: pd.DataFrame) -> pd.DataFrame:
    return numeric(features)[list(_TIMELESS)]


def _predicted(model: HistGradientBoostingRegressor, inputs: np.ndarray) -> np.ndarray:
    with one_thread():
        return np.asarray(model.predict(inputs))


def _trust(predicted: np.ndarray, actual: np.ndarray, weights: np.ndarray) -> float:
    """Slope of actual on predicted lifts, from 0 to 1."""
    centred = predicted - np.average(predicted, weights=weights)
    spread = float((weights * centred**2).sum())
    slope = float((weights * centred * actual).sum()) / spread if spread > 0 else 0.0
    return min(max(slope, 0.0), 1.0)

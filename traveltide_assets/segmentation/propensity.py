"""Propensity: for each perk, a model of the behaviour that it rewards.

The models see customers as of a cut and learn their outcomes per opportunity after it. Predicted
deviations from the average are shrunk by how well they held for customers that the model had not
seen, so that noise stays near the average. Each customer gets the perk with the highest expected
lift. Customers without an expected lift above 1 also get a perk, but form a separate segment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from traveltide_assets.catalogue.perks import NO_OUTCOME, Perk, Program, of_program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.scaling import NUMERIC, numeric
from traveltide_assets.segmentation.strategy import ASSIGNMENT, CannotFit, History
from traveltide_assets.stats.threads import one_thread
from traveltide_assets.transforms.features.catalogue import OWN
from traveltide_assets.transforms.outcomes import OUTCOMES

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

# Counts and sums grow with the length of the history, and the models learn from a shorter history
# than they are applied to. Shares, means, scores and demographics do not grow.
_TIMELESS = tuple(
    feature.name
    for feature in OWN
    if feature.name in NUMERIC
    and feature.name != "tenure_months"
    and (feature.source in ("users", "features") or feature.nullable or feature.maximum is not None)
)
_OUTCOMES = {outcome.name: outcome for outcome in OUTCOMES}

NO_PREFERENCE = "No clear preference"
NEAREST = "nothing is expected above the average; this comes nearest to it"
_FOLDS = 3
_BINS = 32


class TooLittleHistory(CannotFit):
    """There is too little data to learn from; the message says what is missing."""


@dataclass(frozen=True)
class PropensityStrategy:
    """Small gradient-boosted trees per perk; weak signals leave all customers near the average."""

    perks: tuple[Perk, ...]
    seed: int
    features: tuple[str, ...] = _TIMELESS
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
        return frozenset(self.features)

    def fit(self, history: History) -> FittedPropensity:
        """One expert per perk with enough outcomes; `TooLittleHistory` if none can be trusted."""
        if history.earlier is None or history.outcomes is None or history.earlier.empty:
            raise TooLittleHistory(
                "propensity needs features of customers as of a cut and their outcomes since"
            )
        known = history.earlier.merge(history.outcomes, on="user_id", validate="one_to_one")
        bins = Bins.of(known, self.features)
        inputs = bins.place(known)
        folds = self._folds(inputs)
        experts = {}
        for perk in self.perks:
            if perk.outcome == NO_OUTCOME:
                continue
            amount = known[f"{perk.outcome}_amount"].to_numpy(dtype=np.float64)
            chances = known[f"{perk.outcome}_opportunities"].to_numpy(dtype=np.float64)
            rows = chances > 0
            fold = folds[rows]
            if all(
                (fold == number).any() and amount[rows][fold != number].sum() > 0
                for number in range(_FOLDS)
            ):
                rate = amount[rows] / chances[rows]
                experts[perk.id] = self._expert(inputs[rows], rate, chances[rows], fold)
        if not any(expert.trust > 0 for expert in experts.values()):
            raise TooLittleHistory("no perk has enough of its outcome after the cut to learn from")
        return FittedPropensity(self.perks, bins, experts)

    def _folds(self, inputs: np.ndarray) -> np.ndarray:
        """The fold of each row. Copies of a customer in a bootstrap draw share a fold."""
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
        trust = _trust(unseen / average, rate / average, chances)
        # Without trust nothing that a model says would count.
        model = self._trained(inputs, rate, chances) if trust > 0 else None
        return Expert(model, average, trust)

    def _trained(
        self, inputs: np.ndarray, rate: np.ndarray, chances: np.ndarray
    ) -> HistGradientBoostingRegressor:
        # A feature without any value cannot be binned. As a constant it is simply not used.
        inputs = np.where(np.isnan(inputs).all(axis=0), 0.0, inputs)
        # Several threads add in varying order; with one thread a fit is repeatable.
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
    """The strategy for the classic perks of a catalogue; `PerkError` if there are none."""
    features = settings.policy.allowed(_TIMELESS)
    return PropensityStrategy(of_program(perks, "classic"), settings.seed, features)


@dataclass(frozen=True)
class Bins:
    """Quantile bins of each feature over the customers in the training data.

    Trees split between such bins anyway, but scikit-learn would compute them for each of some 36
    models: on 5,998 customers `fit` takes 0.67 CPU s with these bins and 2.6 s without. Undefined
    values stay undefined.
    """

    names: tuple[str, ...]
    edges: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, features: pd.DataFrame, names: tuple[str, ...]) -> Bins:
        """The bins of the named features in a frame with one row per customer."""
        values = numeric(features, names)
        cuts = values.quantile(np.arange(1, _BINS) / _BINS, interpolation="lower")
        return cls(names, tuple(np.unique(column.dropna()) for _, column in cuts.items()))

    def place(self, features: pd.DataFrame) -> np.ndarray:
        """The bin, from 0, of each feature (column) of each customer (row)."""
        values = numeric(features, self.names).to_numpy()
        placed = np.column_stack(
            [np.searchsorted(edges, values[:, i]) for i, edges in enumerate(self.edges)]
        ).astype(np.float64)
        placed[np.isnan(values)] = np.nan
        return placed


@dataclass(frozen=True)
class Expert:
    """The model of one behaviour, the average, and how far predictions can be trusted.

    `trust` is 1 if unseen customers deviated from the average as predicted, and 0 if their
    deviations were unrelated to the prediction. There is then no model.
    """

    model: HistGradientBoostingRegressor | None
    average: float
    trust: float

    def lift(self, inputs: np.ndarray) -> np.ndarray:
        """Expected behaviour of each row divided by the average, shrunk towards 1 by `trust`."""
        if self.model is None:
            return np.ones(len(inputs))
        return 1 + self.trust * (_predicted(self.model, inputs) / self.average - 1)


@dataclass(frozen=True)
class FittedPropensity:
    """One expert per perk with enough data to learn from."""

    perks: tuple[Perk, ...]
    bins: Bins
    experts: dict[str, Expert]

    def lifts(self, features: pd.DataFrame) -> pd.DataFrame:
        """Expected lift of each customer (row) over the average, by perk (column)."""
        inputs = self.bins.place(features)
        return pd.DataFrame({perk: expert.lift(inputs) for perk, expert in self.experts.items()})

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: the columns of `ASSIGNMENT`.

        `score` is the expected lift over the average.
        """
        lifts = self.lifts(features)
        perk = lifts.idxmax(axis=1)
        score = lifts.max(axis=1)
        by_id = {entry.id: entry for entry in self.perks}
        averages = perk.map({name: expert.average for name, expert in self.experts.items()})
        outcome = perk.map({name: _OUTCOMES[by_id[name].outcome] for name in self.experts})
        segment = perk.map({name: f"Likely: {entry.title}" for name, entry in by_id.items()})
        reason = [
            f"expected {what.in_words(value)}, {times:.2f} times the average"
            if times > 1
            else NEAREST
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


def _predicted(model: HistGradientBoostingRegressor, inputs: np.ndarray) -> np.ndarray:
    with one_thread():
        return np.asarray(model.predict(inputs))


def _trust(predicted: np.ndarray, actual: np.ndarray, weights: np.ndarray) -> float:
    """Slope of the regression of actual on predicted lifts, clipped to 0 to 1."""
    centred = predicted - np.average(predicted, weights=weights)
    spread = float((weights * centred**2).sum())
    slope = float((weights * centred * actual).sum()) / spread if spread > 0 else 0.0
    return min(max(slope, 0.0), 1.0)

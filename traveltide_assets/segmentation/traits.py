"""Traits: what customers with a profile do more than others, and perks handed out by that.

For each perk a small additive model of the traits learns from what customers have done so far
(`behaviour`, `trait_levels`, `trait_model`). A perk whose model does not hold for unseen customers
has no signal and is not handed out. The perks with a signal are distributed over groups of
customers with equal traits (`allocation`): a group may get a perk if it is expected to exceed the
average in its behaviour, and the sum of the expected lifts is as high as the bounds of the shares
allow. Customers of whom nothing speaks for any perk are a segment of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, Program, of_program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation import tables, trait_model, trait_words
from traveltide_assets.segmentation.config import Traits
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.segmentation.trait_allocation import NOBODY, allocate
from traveltide_assets.segmentation.trait_behaviour import INPUTS, SO_FAR, Observed, observed
from traveltide_assets.segmentation.trait_levels import Levels, levels_of
from traveltide_assets.segmentation.trait_model import Effects
from traveltide_assets.transforms.outcomes import OUTCOMES

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

NO_PREFERENCE = "No preference known"
_OUTCOMES = {outcome.name: outcome for outcome in OUTCOMES}
# Equal lifts differ in their last bits.
_DECIMALS = 9


@dataclass(frozen=True)
class TraitStrategy:
    """Perks by age, marriage, children and open trips, as far as past behaviour supports them.

    `traits` are the features that may count, none of them forbidden.
    """

    perks: tuple[Perk, ...]
    traits: tuple[str, ...]
    config: Traits
    seed: int
    name: str = "traits"
    title: str = "Traits"
    description: str = (
        "For each perk a small model of what customers with the same age, marriage, children and "
        "open trips have done; perks with a signal are distributed over groups of customers, and "
        "customers without a known preference are told apart"
    )
    learns_from_outcomes: bool = False
    program: Program = "classic"

    @property
    def extra_columns(self) -> tuple[Column, ...]:
        return tuple(tables.preference(perk.id) for perk in self.perks)

    @property
    def inputs(self) -> frozenset[str]:
        return INPUTS | frozenset(self.traits)

    def reseeded(self, seed: int) -> TraitStrategy:
        return replace(self, seed=seed)

    def fit(self, history: History) -> FittedTraits:
        """The models of all perks, and the perk of each group of customers in the history.

        The models learn from customers who were not mailed.
        """
        features = history.features
        learnt_from = features[~features["user_id"].isin(history.mailed)]
        seen = {
            perk.id: observed(perk.outcome, learnt_from)
            for perk in self.perks
            if perk.outcome in SO_FAR
        }
        levels = tuple(
            made
            for trait in self.traits
            if (made := levels_of(trait, learnt_from, list(seen.values()))) is not None
        )
        signals = self._signals(learnt_from, seen, levels)
        groups, group = np.unique(_placed(features, levels), axis=0, return_inverse=True)
        sizes = np.bincount(group.reshape(-1), minlength=len(groups))
        lifts = _lifts(signals, groups, levels)
        given = self._allocated(lifts, sizes)
        return FittedTraits(
            self.perks,
            levels,
            signals,
            self.config.default_perk or self._most_supported(signals, lifts, sizes),
            groups,
            sizes,
            lifts,
            given,
        )

    def _signals(
        self, features: pd.DataFrame, seen: Mapping[str, Observed], levels: tuple[Levels, ...]
    ) -> dict[str, Effects]:
        """The effects of the perks whose model holds for customers it has not seen."""
        if not levels or features.empty:
            return {}
        placed, twins = _placed(features, levels), _twins(features)
        learnt = {
            perk: trait_model.learn(each, placed, twins, levels, self.seed)
            for perk, each in seen.items()
        }
        return {
            perk: effects
            for perk, effects in learnt.items()
            if effects is not None and trait_model.is_beyond_noise(effects, self.config.alpha)
        }

    def _most_supported(
        self, signals: Mapping[str, Effects], lifts: pd.DataFrame, sizes: np.ndarray
    ) -> str:
        """The perk with the clearest signal of those that speak for more than a few customers.

        The first of the catalogue if there is none.
        """
        wide = ((lifts > 1).to_numpy() * sizes[:, None]).sum(axis=0)
        few = self.config.min_share * sizes.sum()
        common = [perk for perk, customers in zip(lifts, wide, strict=True) if customers >= few]
        return max(common, key=lambda perk: signals[perk].z, default=self.perks[0].id)

    def _allocated(self, lifts: pd.DataFrame, sizes: np.ndarray) -> np.ndarray:
        """The perk of each group, as a position in the columns of `lifts`."""
        values = lifts.to_numpy()
        speaks_for = ((values > 1) * sizes[:, None]).sum(axis=0)
        least = np.minimum(self.config.min_share * sizes.sum(), speaks_for)
        most = np.full(lifts.shape[1], self.config.max_share * sizes.sum())
        return allocate(sizes, np.where(values > 1, values, np.nan), least, most)


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> TraitStrategy:
    """The strategy for the classic perks of a catalogue; `PerkError` if there are none."""
    allowed = settings.policy.allowed(settings.traits.features)
    return TraitStrategy(of_program(perks, "classic"), allowed, settings.traits, settings.seed)


@dataclass(frozen=True)
class FittedTraits:
    """The effects of each perk with a signal, and the perk of each group.

    `groups` has the levels of each group (row), `lifts` its expected lift for each perk with a
    signal, and `given` the position of its perk among these, or `NOBODY`.
    """

    perks: tuple[Perk, ...]
    levels: tuple[Levels, ...]
    signals: dict[str, Effects]
    default: str
    groups: np.ndarray
    sizes: np.ndarray
    lifts: pd.DataFrame
    given: np.ndarray

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: `ASSIGNMENT` and the preferences.

        `score` is the expected lift over the average, and 1 for customers without a preference.
        """
        placed = _placed(features, self.levels)
        kinds, kind = np.unique(placed, axis=0, return_inverse=True)
        kind = kind.reshape(-1)
        lifts = _lifts(self.signals, kinds, self.levels)
        given = self._given(kinds, lifts)
        # A last row for customers without a preference.
        names, named = list(lifts), self._segments()
        perk = np.array([*names, self.default], dtype=object)[given]
        segment = np.array([*(named.get(n, "") for n in names), NO_PREFERENCE], dtype=object)[given]
        score = np.column_stack([lifts.to_numpy(), np.ones(len(kinds))])[
            np.arange(len(kinds)), given
        ]
        reason = np.array(
            [
                self._reason(kinds[i], None if g == NOBODY else names[g], score[i])
                for i, g in enumerate(given)
            ],
            dtype=object,
        )
        preferences = {
            f"preference_{each.id}": (
                lifts[each.id].to_numpy() if each.id in lifts else np.full(len(kinds), np.nan)
            )[kind]
            for each in self.perks
        }
        assigned = pd.DataFrame(
            {
                "user_id": features["user_id"].to_numpy(),
                "segment": segment[kind],
                "perk": perk[kind],
                "score": score[kind],
                "reason": reason[kind],
                **preferences,
            }
        )
        return assigned[[*ASSIGNMENT, *preferences]]

    def _given(self, kinds: np.ndarray, lifts: pd.DataFrame) -> np.ndarray:
        """The perk of each kind of customer: that of its group, or the best for a new kind."""
        known = {tuple(row): int(g) for row, g in zip(self.groups, self.given, strict=True)}
        values = np.column_stack([lifts.to_numpy(), np.ones(len(kinds))])
        best = np.where(values.max(axis=1) > 1, values.argmax(axis=1), NOBODY)
        return np.array(
            [known.get(tuple(row), int(new)) for row, new in zip(kinds, best, strict=True)],
            dtype=np.int64,
        )

    def _segments(self) -> dict[str, str]:
        """The name of the segment of each perk."""
        names = [*self.lifts, NO_PREFERENCE]
        labels = [names[given] for given in self.given]
        return trait_words.sentences(self.groups, self.sizes, labels, self.levels)

    def _reason(self, kind: np.ndarray, perk: str | None, lift: float) -> str:
        if perk is None:
            return "nothing known speaks for a perk; customers like them get this one"
        effects = self.signals[perk]
        outcome = {each.id: each.outcome for each in self.perks}[perk]
        said = trait_words.of_levels(kind, self.levels, effects.speaking(kind, self.levels))
        who, expected = said or "customers like them", lift * effects.average
        behaviour = _OUTCOMES[outcome].in_words(expected)
        return f"{who}: expected {behaviour}, {lift:.2f} times the average"


def _placed(features: pd.DataFrame, levels: tuple[Levels, ...]) -> np.ndarray:
    """The levels of each customer (row) by trait (column)."""
    if not levels:
        return np.zeros((len(features), 0), dtype=np.int64)
    return np.column_stack([each.place(features) for each in levels])


def _lifts(
    signals: Mapping[str, Effects], groups: np.ndarray, levels: tuple[Levels, ...]
) -> pd.DataFrame:
    """Expected lift of each group (row) for each perk with a signal (column)."""
    return pd.DataFrame(
        {perk: effects.lift(groups, levels).round(_DECIMALS) for perk, effects in signals.items()},
        index=range(len(groups)),
    )


def _twins(features: pd.DataFrame) -> np.ndarray:
    """A number per customer that copies of the customer in a bootstrap draw share."""
    values = features[sorted(INPUTS)].astype("float64").fillna(-1.0).to_numpy()
    _, twins = np.unique(values, axis=0, return_inverse=True)
    return twins.reshape(-1)

"""Traits in levels: age in bands found by the data, yes or no, and each value of a text.

A customer's levels are all that the strategy of traits knows of a customer. Customers with the same
levels form a group and are treated alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from traveltide_assets.segmentation.trait_behaviour import OPEN_LONG_LEAD, Observed
from traveltide_assets.transforms.features.catalogue import CATALOGUE

UNKNOWN = -1
_FEATURES = {feature.name: feature for feature in CATALOGUE}
# Bands end at multiples of this, because people think in such ages.
_STEP = 5
_MOST_BANDS = 5
# A further boundary must add this share to what the boundaries so far explain.
_GAIN = 0.1
_SMALLEST_BAND = 0.03
_WORDS = {
    "married": ("not married", "married"),
    "has_children": ("without children", "with children"),
    OPEN_LONG_LEAD: (
        "without an open trip booked long ahead",
        "with an open trip booked long ahead",
    ),
}


@dataclass(frozen=True)
class Levels:
    """The levels of one trait: `words` of each, and how a value is placed.

    A number is placed by `edges`, the first values of all bands but the lowest; a text by `values`;
    yes and no, and a number of open trips (none or some), need neither.
    """

    trait: str
    words: tuple[str, ...]
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()

    def place(self, features: pd.DataFrame) -> np.ndarray:
        """The level, from 0, of each customer; `UNKNOWN` without a value."""
        column = features[self.trait]
        if self.values:
            return pd.Index(self.values).get_indexer(column)
        numbers = column.astype("float64").to_numpy(na_value=np.nan)
        placed = (
            np.searchsorted(self.edges, numbers, side="right") if self.edges else numbers > 0
        ).astype(np.int64)
        placed[np.isnan(numbers)] = UNKNOWN
        return placed


def levels_of(trait: str, features: pd.DataFrame, seen: Sequence[Observed]) -> Levels | None:
    """The levels of a trait among customers; None if all of them are at one level.

    `seen` are the behaviours that bands of a number are to tell apart.
    """
    feature = _FEATURES[trait]
    if feature.type == "string":
        values = tuple(sorted(set(features[trait].dropna())))
        made = Levels(trait, tuple(f"{feature.label} {value}" for value in values), values=values)
    elif feature.type == "boolean" or feature.open_trips:
        no, yes = _WORDS.get(trait, (f"no {feature.label}", feature.label))
        made = Levels(trait, (no, yes))
    else:
        edges = bands(features[trait].astype("float64").to_numpy(na_value=np.nan), seen)
        made = Levels(trait, _bands_in_words(edges, trait), edges=edges)
    return made if len(made.words) > 1 else None


def bands(values: np.ndarray, seen: Sequence[Observed]) -> tuple[float, ...]:
    """The boundaries between bands of a number that tell behaviour apart best.

    For every number of bands, dynamic programming finds the boundaries that explain most, summed
    over the behaviours. A further boundary must add a tenth to what is explained.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return ()
    edges = np.arange(_STEP * np.ceil(known.min() / _STEP), known.max() + 1, _STEP)
    cell = np.searchsorted(edges, values, side="right")
    size = np.bincount(cell[~np.isnan(values)], minlength=len(edges) + 1)
    cost = _costs(cell, size, ~np.isnan(values), seen)
    chosen: tuple[int, ...] = ()
    explained = 0.0
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    whole = cost[0, len(size)]
    for _ in range(_MOST_BANDS):
        best = _one_band_more(best, cost)
        if len(size) not in best:
            continue
        total, starts = best[len(size)]
        gain = whole - total
        if len(starts) > 1 and gain <= max(explained * (1 + _GAIN), len(seen) * np.log(len(known))):
            break
        chosen, explained = starts[1:], gain
    return tuple(float(edges[start - 1]) for start in chosen)


def _one_band_more(
    best: dict[int, tuple[float, tuple[int, ...]]], cost: np.ndarray
) -> dict[int, tuple[float, tuple[int, ...]]]:
    """The least cost of the cells up to each end with one band more, and where its bands start."""
    found: dict[int, tuple[float, tuple[int, ...]]] = {}
    for end in range(1, cost.shape[1]):
        tried = [
            (total + cost[start, end], (*starts, start))
            for start, (total, starts) in best.items()
            if start < end and np.isfinite(cost[start, end])
        ]
        if tried:
            found[end] = min(tried)
    return found


def _costs(
    cell: np.ndarray, size: np.ndarray, known: np.ndarray, seen: Sequence[Observed]
) -> np.ndarray:
    """Deviance of each band from one cell to before another; infinite if it has too few customers.

    The deviance of a behaviour is divided by its dispersion, so that behaviours can be added.
    """
    ends = len(size) + 1
    cost = np.zeros((ends, ends))
    for behaviour in seen:
        rows = known[behaviour.customer]
        at, amount, chances = (
            values[rows]
            for values in (cell[behaviour.customer], behaviour.amount, behaviour.chances)
        )
        spread = dispersion(amount, chances)
        if spread <= 0:
            continue
        a, n = (np.cumsum(np.bincount(at, v, len(size))) for v in (amount, chances))
        a, n = (np.subtract.outer(s, s).T for s in (np.r_[0, a], np.r_[0, n]))
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = np.where(a > 0, a * np.log(a / n) - a, 0.0)
        cost -= 2 * explained / spread
    customers = np.subtract.outer(np.r_[0, np.cumsum(size)], np.r_[0, np.cumsum(size)]).T
    cost[customers < _SMALLEST_BAND * size.sum()] = np.inf
    cost[0, -1] = cost[0, -1] if np.isfinite(cost[0, -1]) else 0.0
    return cost


def dispersion(amount: np.ndarray, chances: np.ndarray) -> float:
    """How much more amounts vary between customers than counts would by chance; 0 without any."""
    if not amount.sum() > 0:
        return 0.0
    expected = chances * amount.sum() / chances.sum()
    return float(((amount - expected) ** 2 / expected).mean())


def _bands_in_words(edges: tuple[float, ...], trait: str) -> tuple[str, ...]:
    if not edges:
        return ("any",)
    unit = "" if trait == "age" else f"{_FEATURES[trait].label} "
    between = [f"{unit}{low:.0f} to {high - 1:.0f}" for low, high in pairwise(edges)]
    return (f"{unit}under {edges[0]:.0f}", *between, f"{unit}{edges[-1]:.0f} and over")

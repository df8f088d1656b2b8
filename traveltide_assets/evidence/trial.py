"""What the back-test tries perks on: customers as of each cut, and the perks they would have had.

A strategy sees what was known before a cut, and never what the customers that it gives perks to did
after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.evidence.config import Config
from traveltide_assets.evidence.lifts import Done
from traveltide_assets.segmentation.strategy import CannotFit, History, Strategy
from traveltide_assets.stats.side_by_side import ALONE, Processes

_ROUND_VALUES = 6_000_000


@dataclass(frozen=True)
class Past:
    """What is known as of a cut, and what followed it, each with one row per customer.

    `cut` is the last month before the cut. Customers without sessions before it have no row in
    `earlier`.
    """

    cut: str
    earlier: pd.DataFrame
    outcomes: pd.DataFrame


@dataclass(frozen=True)
class BackTest:
    """The customers of all cuts, what was known of them and what they did, and their resamples.

    `users` are the customers, in order. In `pasts`, both frames have the same customers in the
    same order; `rows` are their places in `users`, cut by cut. Each row of `weights` is a bootstrap
    draw of customers, `strata` says who had equally many sessions before each cut, and `fold` puts
    each customer into the same fold at every cut.
    """

    users: np.ndarray
    pasts: tuple[Past, ...]
    rows: tuple[np.ndarray, ...]
    weights: np.ndarray
    strata: np.ndarray
    fold: np.ndarray
    config: Config
    seed: int

    @classmethod
    def prepare(cls, pasts: Sequence[Past], config: Config, seed: int) -> BackTest:
        """At most `config.sample_rows` customers seen before a cut, ordered by `user_id`."""
        rng = np.random.default_rng(seed)
        every = [past.earlier["user_id"].to_numpy() for past in pasts]
        users = np.unique(np.concatenate(every)) if every else np.array([], dtype="int64")
        if len(users) > config.sample_rows:
            users = users[np.sort(rng.permutation(len(users))[: config.sample_rows])]
        kept = tuple(_of(users, past) for past in pasts)
        rows = tuple(np.searchsorted(users, past.earlier["user_id"]) for past in kept)
        sessions = np.zeros((len(users), len(kept)), dtype="int64")
        for place, (past, at) in enumerate(zip(kept, rows, strict=True)):
            sessions[at, place] = past.earlier["total_sessions"]
        _, strata = np.unique(sessions, axis=0, return_inverse=True)
        weights = np.empty((config.resamples, len(users)), dtype=np.float32)
        for draw in weights:
            draw[:] = np.bincount(rng.integers(0, len(draw), len(draw)), minlength=len(draw))
        fold = np.random.default_rng(seed).permutation(len(users)) % config.folds
        return cls(users, kept, rows, weights, strata.ravel(), fold, config, seed)

    def permutations(self) -> Iterator[np.ndarray]:
        """All `config.permutations` of the customers within strata, in rounds.

        A round has `config.resamples` of them, or fewer if they would take too much memory.
        """
        rng, order = np.random.default_rng(self.seed + 1), np.argsort(self.strata, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.strata[order])) + 1)
        most = min(self.config.resamples, max(100, _ROUND_VALUES // max(1, len(self.users))))
        for done in range(0, self.config.permutations, most):
            count = min(most, self.config.permutations - done)
            permuted = np.empty((count, len(self.users)), dtype=np.intp)
            for rows in groups:
                permuted[:, rows] = rng.permuted(np.tile(rows, (count, 1)), axis=1)
            yield permuted

    def done(self, outcome: str) -> Done:
        """Amount and opportunities of an outcome; 0 for customers who were not there at a cut."""
        amount, chances = np.zeros((2, len(self.pasts), len(self.users)))
        for place, (past, at) in enumerate(zip(self.pasts, self.rows, strict=True)):
            amount[place, at] = past.outcomes[f"{outcome}_amount"]
            chances[place, at] = past.outcomes[f"{outcome}_opportunities"]
        return Done(amount, chances)

    def given(self, assigned: Sequence[pd.Series], perk: str) -> np.ndarray:
        """Whether each customer (column) was given the perk at each cut (row)."""
        given = np.zeros((len(self.pasts), len(self.users)), dtype=bool)
        for place, (perks, at) in enumerate(zip(assigned, self.rows, strict=True)):
            given[place, at] = (perks == perk).to_numpy()
        return given


def _of(users: np.ndarray, past: Past) -> Past:
    """The rows of these customers as of a cut, in order."""
    earlier = past.earlier[past.earlier["user_id"].isin(users)]
    earlier = earlier.sort_values("user_id").reset_index(drop=True)
    outcomes = earlier[["user_id"]].merge(past.outcomes, on="user_id", validate="one_to_one")
    if len(outcomes) < len(earlier):
        raise ValueError(f"customers as of {past.cut} have no outcomes after it")
    return Past(past.cut, earlier, outcomes)


Tried = Mapping[str, Sequence[pd.Series]]
"""By strategy and cut, the perk of each customer known then; null without a perk."""


def assign_from_past(strategy: Strategy, back_test: BackTest) -> list[pd.Series]:
    """The perk of each customer at each cut, from what was known then; null without a perk."""
    return assign_all_from_past({strategy.name: strategy}, back_test)[strategy.name]


def assign_all_from_past(
    strategies: Mapping[str, Strategy], back_test: BackTest, processes: Processes = ALONE
) -> dict[str, list[pd.Series]]:
    """What each strategy would have given each customer at each cut.

    A strategy that learns from outcomes is cross-fitted: it assigns perks to customers that it was
    not fitted on, at no cut. One that cannot be fitted on a short history assigns no perks then.
    """
    parts = [
        (name, place, inside)
        for name, strategy in strategies.items()
        for place, at in enumerate(back_test.rows)
        for inside in _parts(strategy, back_test.fold[at])
    ]
    pasts = back_test.pasts
    found = processes.each(_given, [(strategies[name], pasts[at], who) for name, at, who in parts])
    unfit = {part[:2] for part, given in zip(parts, found, strict=True) if given is None}
    tried = {
        name: [pd.Series(index=past.earlier.index, dtype=object) for past in pasts]
        for name in strategies
    }
    for (name, place, inside), given in zip(parts, found, strict=True):
        if (name, place) not in unfit:
            tried[name][place][inside] = given
    return tried


def _parts(strategy: Strategy, fold: np.ndarray) -> list[np.ndarray]:
    """The customers (as masks) that are given perks by one fit: a fold, or all of them."""
    if strategy.learns_from_outcomes or not len(fold):
        return [fold == number for number in np.unique(fold)]
    return [np.full(len(fold), True)]


def _given(strategy: Strategy, past: Past, inside: np.ndarray) -> np.ndarray | None:
    """The perks of the customers inside, fitted on the others; None if it cannot be fitted.

    A strategy that does not learn from outcomes is fitted on all.
    """
    earlier, outside = past.earlier, ~inside
    history = History(earlier)
    if strategy.learns_from_outcomes:
        history = History(earlier[outside], earlier[outside], past.outcomes[outside])
    try:
        fitted = strategy.fit(history)
        return fitted.assign(earlier[inside].reset_index(drop=True))["perk"].to_numpy()
    except CannotFit:
        return None

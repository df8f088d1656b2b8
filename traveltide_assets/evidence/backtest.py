"""The back-test: assign perks from data before a cut, and measure behaviour after it.

Behaviour is measured per opportunity (bags per flight, not bags), so that activity is not mistaken
for preference. The cohort rule requires a total number of sessions, cancellations included, so
customers with few sessions before the cut have many after it, and vice versa. The permutation test
therefore permutes only among customers with equally many sessions before the cut.
`lift_by_activity` is the mean lift of these permutations: what the number of sessions alone
explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import NO_OUTCOME, Perk
from traveltide_assets.evidence.config import Config
from traveltide_assets.evidence.tables import PERK_EVIDENCE
from traveltide_assets.segmentation.scaling import numeric, standardised
from traveltide_assets.segmentation.strategy import CannotFit, History, Strategy
from traveltide_assets.stats.holm import holm
from traveltide_assets.stats.threads import one_thread

SUPPORTED, NOT_SUPPORTED, TOO_LITTLE = "supported", "not supported", "too little data"
NOT_TRIED = "not tried"
_STRONG_SD = 1.0
# Columns measured for each strategy and perk; `p_holm` and `verdict` are added later.
_MEASURED = PERK_EVIDENCE.column_names[1:-2]


@dataclass(frozen=True)
class BackTest:
    """Customers as of a cut, their outcomes after it, and the resamples that all strategies share.

    `earlier` and `outcomes` have one row per customer, in the same order. Each row of `weights` is
    a bootstrap draw, each row of `permutations` a permutation of the customers within strata.
    """

    earlier: pd.DataFrame
    outcomes: pd.DataFrame
    weights: np.ndarray
    permutations: np.ndarray
    config: Config
    seed: int

    @classmethod
    def prepare(
        cls, earlier: pd.DataFrame, outcomes: pd.DataFrame, config: Config, seed: int
    ) -> BackTest:
        """The customers seen before the cut, at most `config.sample_rows`, ordered by `user_id`."""
        rng = np.random.default_rng(seed)
        earlier = earlier.sort_values("user_id").reset_index(drop=True)
        if len(earlier) > config.sample_rows:
            rows = np.sort(rng.permutation(len(earlier))[: config.sample_rows])
            earlier = earlier.iloc[rows].reset_index(drop=True)
        outcomes = earlier[["user_id"]].merge(outcomes, on="user_id", validate="one_to_one")
        strata = earlier["total_sessions"].to_numpy()
        permutations = np.empty((config.permutations, len(earlier)), dtype=np.uint16)
        for sessions in np.unique(strata):
            rows = np.flatnonzero(strata == sessions).astype(np.uint16)
            permutations[:, rows] = rng.permuted(np.tile(rows, (config.permutations, 1)), axis=1)
        weights = np.empty((config.resamples, len(earlier)), dtype=np.float32)
        for draw in weights:
            draw[:] = np.bincount(rng.integers(0, len(draw), len(draw)), minlength=len(draw))
        return cls(earlier, outcomes, weights, permutations, config, seed)


def assign_from_past(strategy: Strategy, back_test: BackTest) -> pd.Series:
    """The perk of each customer, from what was known at the cut; null without a perk.

    A strategy that learns from outcomes is cross-fitted: it assigns perks to customers that it was
    not fitted on. A strategy that cannot be fitted on such a short history assigns no perks.
    """
    earlier, outcomes = back_test.earlier, back_test.outcomes
    perk = pd.Series(index=earlier.index, dtype=object)
    if earlier.empty:
        return perk
    try:
        if not strategy.learns_from_outcomes:
            return strategy.fit(History(earlier)).assign(earlier)["perk"].reset_index(drop=True)
        folds = back_test.config.folds
        fold = np.random.default_rng(back_test.seed).permutation(len(earlier)) % folds
        for number in range(folds):
            inside, outside = fold == number, fold != number
            history = History(earlier[outside], earlier[outside], outcomes[outside])
            assigned = strategy.fit(history).assign(earlier[inside].reset_index(drop=True))
            perk[inside] = assigned["perk"].to_numpy()
    except CannotFit:
        return pd.Series(index=earlier.index, dtype=object)
    return perk


def run(
    strategies: Mapping[str, Strategy],
    earlier: pd.DataFrame,
    later: pd.DataFrame,
    perks: Sequence[Perk],
    config: Config,
    seed: int,
) -> pd.DataFrame:
    """Back-test all strategies: assign from `earlier` features, measure on `later` outcomes.

    Returns the rows of `judge`.
    """
    back_test = BackTest.prepare(earlier, later, config, seed)
    assigned = {name: assign_from_past(each, back_test) for name, each in strategies.items()}
    return judge(assigned, back_test, perks)


def judge(
    assigned: Mapping[str, pd.Series], back_test: BackTest, perks: Sequence[Perk]
) -> pd.DataFrame:
    """One row per strategy and perk it assigns: lift with interval, p-values and verdict.

    `assigned` has the perk of each customer of the back-test, by strategy. P-values are corrected
    over all rows with enough data, because the report names the findings of every strategy.
    """
    rows = [
        {"strategy": strategy, **row}
        for perk in perks
        for strategy, row in _measured(perk, assigned, back_test).items()
    ]
    table = pd.DataFrame(rows, columns=["strategy", *_MEASURED])
    if not rows:  # Without rows, pandas cannot infer the types.
        table = table.astype(dict.fromkeys(_MEASURED[2:], "float64"))
    limits = back_test.config
    enough = (table["customers"] >= limits.min_customers) & (
        table[["opportunities", "opportunities_others"]].min(axis=1) >= limits.min_opportunities
    )
    table["p_holm"] = holm(table["p_value"].where(enough).to_numpy())
    supported = enough & (table["p_holm"] <= limits.alpha) & (table["lift_low"] > 1)
    untried = table["outcome"] == NO_OUTCOME
    table["verdict"] = np.select(
        [untried, ~enough, supported], [NOT_TRIED, TOO_LITTLE, SUPPORTED], NOT_SUPPORTED
    )
    order = {strategy: place for place, strategy in enumerate(assigned)}
    return table.sort_values("strategy", key=lambda names: names.map(order), kind="stable")


def perk_signals(features: pd.DataFrame, perks: Sequence[Perk]) -> pd.DataFrame:
    """One row per perk: how many customers signal it strongly, and the most similar other perk.

    A perk is compared only with perks of its own programs, because only these are alternatives.
    """
    deviations = standardised(numeric(features))
    index = pd.DataFrame({perk.id: perk.index_of(deviations) for perk in perks})
    correlation = index.corr(method="spearman").fillna(0.0)
    rows = []
    for perk in perks:
        rivals = [p.id for p in perks if p is not perk and set(p.programs) & set(perk.programs)]
        others = correlation.loc[rivals, perk.id]
        twin = others.abs().idxmax() if len(others) else None
        strong = index[perk.id] >= _STRONG_SD
        rows.append(
            {
                "perk": perk.id,
                "strong_customers": int(strong.sum()),
                "strong_share": float(strong.mean()),
                "most_redundant_with": twin,
                "rank_correlation": float(others[twin]) if twin else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def _measured(
    perk: Perk, assigned: Mapping[str, pd.Series], back_test: BackTest
) -> dict[str, dict[str, object]]:
    """The measures of a perk by strategy, for the strategies that assign it to anybody."""
    groups = {name: (given == perk.id).to_numpy() for name, given in assigned.items()}
    groups = {name: given for name, given in groups.items() if given.any()}
    if not groups:
        return {}
    if perk.outcome == NO_OUTCOME:
        return {name: _untried(perk, given) for name, given in groups.items()}
    done = back_test.outcomes[[f"{perk.outcome}_amount", f"{perk.outcome}_opportunities"]]
    amount, chances = done.to_numpy(dtype=np.float64).T
    given = np.stack(list(groups.values()))
    with one_thread():
        draws = _bootstrap_lifts(amount, chances, given, back_test.weights)
        permuted = _permuted_lifts(amount, chances, given, back_test)
    return {
        name: _summarised(perk, amount, chances, groups[name], draws[i], permuted[i])
        for i, name in enumerate(groups)
    }


def _untried(perk: Perk, given: np.ndarray) -> dict[str, object]:
    """The measures of a perk that no behaviour speaks to: how many would get it, and nothing else.

    Figures stay NaN, so it counts in no correction.
    """
    figures = dict.fromkeys(_MEASURED[5:], float("nan"))
    counts = {"customers": int(given.sum()), "opportunities": 0, "opportunities_others": 0}
    return {"perk": perk.id, "outcome": NO_OUTCOME, **counts, **figures}


def _summarised(
    perk: Perk,
    amount: np.ndarray,
    chances: np.ndarray,
    given: np.ndarray,
    draws: np.ndarray,
    permuted: np.ndarray,
) -> dict[str, object]:
    lift = _lift(amount, chances, given)
    low, high = np.nanquantile(draws, [0.025, 0.975]) if np.isfinite(draws).any() else (np.nan,) * 2
    return {
        "perk": perk.id,
        "outcome": perk.outcome,
        "customers": int(given.sum()),
        "opportunities": int(chances[given].sum()),
        "opportunities_others": int(chances[~given].sum()),
        "mean": _ratio(amount[given].sum(), chances[given].sum()),
        "mean_others": _ratio(amount[~given].sum(), chances[~given].sum()),
        "lift": lift,
        "lift_low": float(low),
        "lift_high": float(high),
        "lift_by_activity": float(np.nanmean(permuted)) if np.isfinite(lift) else float("nan"),
        "p_value": _p_value(lift, permuted),
    }


def _ratio(amount: float, chances: float) -> float:
    return float(amount / chances) if chances > 0 else float("nan")


def _lift(amount: np.ndarray, chances: np.ndarray, given: np.ndarray) -> float:
    others = _ratio(amount[~given].sum(), chances[~given].sum())
    mean = _ratio(amount[given].sum(), chances[given].sum())
    return mean / others if others > 0 else float("nan")


def _bootstrap_lifts(
    amount: np.ndarray, chances: np.ndarray, given: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Lift of each group (row of `given`) in each draw (row of `weights`)."""
    parts = np.concatenate([amount * given, chances * given, amount * ~given, chances * ~given])
    return _lifts(*np.split(weights @ parts.astype(np.float32).T, 4, axis=1)).T


def _permuted_lifts(
    amount: np.ndarray, chances: np.ndarray, given: np.ndarray, back_test: BackTest
) -> np.ndarray:
    """Lift of each group (row of `given`) in each permutation.

    The first `config.resamples` permutations decide: only if one of the groups is significant in
    these are all permutations used.
    """
    first, alpha = back_test.config.resamples, back_test.config.alpha
    permuted = _lifts_permuted(amount, chances, given, back_test.permutations[:first])
    lifts = [_lift(amount, chances, members) for members in given]
    if not any(_p_value(*each) <= alpha for each in zip(lifts, permuted, strict=True)):
        return permuted
    more = [
        _lifts_permuted(amount, chances, given, back_test.permutations[start : start + first])
        for start in range(first, len(back_test.permutations), first)
    ]
    return np.hstack([permuted, *more])


def _lifts_permuted(
    amount: np.ndarray, chances: np.ndarray, given: np.ndarray, permutations: np.ndarray
) -> np.ndarray:
    """Lift of each group (row of `given`) with outcomes permuted by each row of `permutations`."""
    members = given.T.astype(np.float64)
    a, n = amount[permutations] @ members, chances[permutations] @ members
    return _lifts(a, n, amount.sum() - a, chances.sum() - n).T


def _lifts(a: np.ndarray, n: np.ndarray, b: np.ndarray, m: np.ndarray) -> np.ndarray:
    """(a / n) / (b / m), NaN where undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lifts = (a / n) / (b / m)
    return np.where(np.isfinite(lifts), lifts, np.nan)


def _p_value(lift: float, permuted: np.ndarray) -> float:
    """One-sided p-value: the share of permutations with at least this lift.

    A permutation with an undefined lift counts as one that reaches it.
    """
    if not np.isfinite(lift):
        return float("nan")
    # A permutation that changes nothing sums in another order. It must not fall short because of
    # rounding.
    reached = np.nan_to_num(permuted, nan=np.inf) >= lift * (1 - 1e-9)
    return float((1 + reached.sum()) / (1 + len(permuted)))

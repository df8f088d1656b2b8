"""Does the data support a perk? Assign it from the past, measure the behaviour in what followed.

The measure is per opportunity (bags per flight, not bags), so activity does not pose as
preference. The cohort rule asks for a number of sessions in all, cancellations included, so
customers with few of them before the cut have many after it, and the other way round. Chance is
therefore judged by shuffling perks only among customers with equally many sessions before the cut;
`lift_by_activity` is the mean lift of these shuffles: what the number of sessions alone explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.evidence.config import Config
from traveltide_assets.evidence.tables import PERK_EVIDENCE
from traveltide_assets.segmentation.scaling import numeric, standardised
from traveltide_assets.segmentation.strategy import CannotFit, History, Strategy
from traveltide_assets.stats.holm import holm
from traveltide_assets.stats.threads import one_thread

SUPPORTED, NOT_SUPPORTED, TOO_LITTLE = "supported", "not supported", "too little data"
_STRONG_SD = 1.0
# Columns that are measured of a strategy and perk, before they are corrected and judged.
_MEASURED = PERK_EVIDENCE.column_names[1:-2]


@dataclass(frozen=True)
class Trial:
    """Customers as of a cut, what they did since, and the resamples every strategy shares.

    `weights` holds a bootstrap draw per row, `shuffles` a permutation within strata per row.
    """

    earlier: pd.DataFrame
    outcomes: pd.DataFrame
    weights: np.ndarray
    shuffles: np.ndarray
    config: Config
    seed: int

    @classmethod
    def prepare(
        cls, earlier: pd.DataFrame, outcomes: pd.DataFrame, config: Config, seed: int
    ) -> Trial:
        """Customers seen by the cut, at most `sample_rows` of them, in order of `user_id`."""
        rng = np.random.default_rng(seed)
        earlier = earlier.sort_values("user_id").reset_index(drop=True)
        if len(earlier) > config.sample_rows:
            rows = np.sort(rng.permutation(len(earlier))[: config.sample_rows])
            earlier = earlier.iloc[rows].reset_index(drop=True)
        outcomes = earlier[["user_id"]].merge(outcomes, on="user_id", validate="one_to_one")
        strata = earlier["total_sessions"].to_numpy()
        shuffles = np.empty((config.shuffles, len(earlier)), dtype=np.uint16)
        for sessions in np.unique(strata):
            rows = np.flatnonzero(strata == sessions).astype(np.uint16)
            shuffles[:, rows] = rng.permuted(np.tile(rows, (config.shuffles, 1)), axis=1)
        weights = np.empty((config.resamples, len(earlier)), dtype=np.float32)
        for draw in weights:
            draw[:] = np.bincount(rng.integers(0, len(draw), len(draw)), minlength=len(draw))
        return cls(earlier, outcomes, weights, shuffles, config, seed)


def assign_from_past(strategy: Strategy, trial: Trial) -> pd.Series:
    """The perk of each customer of the trial from what was known at the cut; null if none.

    A strategy that learns from outcomes is fitted on other customers than those it assigns. One
    that cannot be fitted on so short a past gives nobody a perk.
    """
    earlier, outcomes = trial.earlier, trial.outcomes
    perk = pd.Series(index=earlier.index, dtype=object)
    if earlier.empty:
        return perk
    try:
        if not strategy.learns_from_outcomes:
            return strategy.fit(History(earlier)).assign(earlier)["perk"].reset_index(drop=True)
        fold = np.random.default_rng(trial.seed).permutation(len(earlier)) % trial.config.folds
        for number in range(trial.config.folds):
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
    """`judge` of every strategy: assigned from `earlier` features, measured on `later` outcomes."""
    trial = Trial.prepare(earlier, later, config, seed)
    assigned = {name: assign_from_past(each, trial) for name, each in strategies.items()}
    return judge(assigned, trial, perks)


def judge(assigned: Mapping[str, pd.Series], trial: Trial, perks: Sequence[Perk]) -> pd.DataFrame:
    """One row per strategy and perk it gives: lift with interval, p-values and verdict.

    `assigned` holds each strategy's perk of each customer of the trial. P-values are corrected over
    all rows with enough data, because the report names whatever any strategy found.
    """
    rows = [
        {"strategy": strategy, **row}
        for perk in perks
        for strategy, row in _measured(perk, assigned, trial).items()
    ]
    table = pd.DataFrame(rows, columns=["strategy", *_MEASURED])
    if not rows:  # Columns without a row have no type of their own.
        table = table.astype(dict.fromkeys(_MEASURED[2:], "float64"))
    limits = trial.config
    enough = (table["customers"] >= limits.min_customers) & (
        table[["opportunities", "opportunities_others"]].min(axis=1) >= limits.min_opportunities
    )
    table["p_holm"] = holm(table["p_value"].where(enough).to_numpy())
    supported = enough & (table["p_holm"] <= limits.alpha) & (table["lift_low"] > 1)
    table["verdict"] = np.select([~enough, supported], [TOO_LITTLE, SUPPORTED], NOT_SUPPORTED)
    order = {strategy: place for place, strategy in enumerate(assigned)}
    return table.sort_values("strategy", key=lambda names: names.map(order), kind="stable")


def perk_signals(features: pd.DataFrame, perks: Sequence[Perk]) -> pd.DataFrame:
    """One row per perk: how many customers signal it strongly, and which perk says the same.

    Perks are compared with those of their own programs: nobody chooses between the others.
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
    perk: Perk, assigned: Mapping[str, pd.Series], trial: Trial
) -> dict[str, dict[str, object]]:
    """The measures of a perk by strategy, for those that give it to anybody."""
    groups = {name: (given == perk.id).to_numpy() for name, given in assigned.items()}
    groups = {name: given for name, given in groups.items() if given.any()}
    if not groups:
        return {}
    done = trial.outcomes[[f"{perk.outcome}_amount", f"{perk.outcome}_opportunities"]]
    amount, chances = done.to_numpy(dtype=np.float64).T
    given = np.stack(list(groups.values()))
    with one_thread():
        draws = _bootstrap_lifts(amount, chances, given, trial.weights)
        shuffled = _all_shuffled(amount, chances, given, trial)
    return {
        name: _summarised(perk, amount, chances, groups[name], draws[i], shuffled[i])
        for i, name in enumerate(groups)
    }


def _summarised(
    perk: Perk,
    amount: np.ndarray,
    chances: np.ndarray,
    given: np.ndarray,
    draws: np.ndarray,
    shuffled: np.ndarray,
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
        "lift_by_activity": float(np.nanmean(shuffled)) if np.isfinite(lift) else float("nan"),
        "p_value": _chance(lift, shuffled),
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


def _all_shuffled(
    amount: np.ndarray, chances: np.ndarray, given: np.ndarray, trial: Trial
) -> np.ndarray:
    """`_shuffled_lifts` of some shuffles, or of all if some group is rarely exceeded in these."""
    some = trial.config.resamples
    shuffled = _shuffled_lifts(amount, chances, given, trial.shuffles[:some])
    lifts = [_lift(amount, chances, members) for members in given]
    if not any(_chance(*each) <= trial.config.alpha for each in zip(lifts, shuffled, strict=True)):
        return shuffled
    blocks = range(some, len(trial.shuffles), some)
    more = [
        _shuffled_lifts(amount, chances, given, trial.shuffles[start : start + some])
        for start in blocks
    ]
    return np.hstack([shuffled, *more])


def _shuffled_lifts(
    amount: np.ndarray, chances: np.ndarray, given: np.ndarray, shuffles: np.ndarray
) -> np.ndarray:
    """Lift of each group (row of `given`) with what followed shuffled (row of `shuffles`)."""
    members = given.T.astype(np.float64)
    a, n = amount[shuffles] @ members, chances[shuffles] @ members
    return _lifts(a, n, amount.sum() - a, chances.sum() - n).T


def _lifts(a: np.ndarray, n: np.ndarray, b: np.ndarray, m: np.ndarray) -> np.ndarray:
    """(a / n) / (b / m), null where it has no value."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lifts = (a / n) / (b / m)
    return np.where(np.isfinite(lifts), lifts, np.nan)


def _chance(lift: float, shuffled: np.ndarray) -> float:
    """Share of shuffles with at least this lift: the p-value of "higher than among the others".

    A shuffle without a value counts as one that reaches it.
    """
    if not np.isfinite(lift):
        return float("nan")
    # Shuffles that change nothing add up in another order, and must not fall short by a rounding.
    reached = np.nan_to_num(shuffled, nan=np.inf) >= lift * (1 - 1e-9)
    return float((1 + reached.sum()) / (1 + len(shuffled)))

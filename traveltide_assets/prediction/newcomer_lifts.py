"""How much more customers do of what their perk rewards: the measure of every predictor.

A predictor is judged on what customers did after their n-th session, per opportunity. For a perk,
*lift* is what those who were given it did, divided by what the others did. *Gain* compares perks
whose behaviours have different units: by how many standard deviations of behaviour those who were
given a perk did more of what it rewards than all customers did, mean over the customers. One perk
for everybody has a gain of 0, whichever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.prediction import behaviour_model, early
from traveltide_assets.prediction.behaviour_model import (
    KINDS,
    NOTHING,
    PROFILE_ONLY,
    WITH_SESSIONS,
    Observed,
)
from traveltide_assets.prediction.config import Config
from traveltide_assets.prediction.later import AFTER_CUT
from traveltide_assets.prediction.models import MAJORITY, RULES
from traveltide_assets.prediction.tables import LIFTS
from traveltide_assets.stats.threads import one_thread

ALL = -1
ALL_PERKS = "all perks"
NO_PERK = -1
_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Judged:
    """What customers did after their n-th session: a row per customer and n, a column per perk."""

    user_id: np.ndarray
    sessions_seen: np.ndarray
    amount: np.ndarray
    chances: np.ndarray


@dataclass(frozen=True)
class Gains:
    """The gain of each answer (column) in each bootstrap draw (row), and measured, by n.

    `ALL` is the mean over every n.
    """

    names: tuple[str, ...]
    measured: Mapping[int, np.ndarray]
    draws: Mapping[int, np.ndarray]

    def apart(self, n: int, name: str, other: str) -> tuple[float, float, float]:
        """By how much the gain of an answer exceeds another's, and the 95 % interval of that."""
        a, b = self.names.index(name), self.names.index(other)
        low, high = np.quantile(self.draws[n][:, a] - self.draws[n][:, b], _ENDS)
        return float(self.measured[n][a] - self.measured[n][b]), float(low), float(high)


def known_by_n(
    features: pd.DataFrame, later: pd.DataFrame, names: Sequence[str], perks: Sequence[Perk]
) -> dict[int, Observed]:
    """What was known of customers after n sessions and what they did later, by n."""
    both = features.merge(later, on=["user_id", early.SEEN], validate="one_to_one")
    return {
        int(n): Observed(early.inputs(rows, tuple(names)), *_did(rows, perks))
        for n, rows in both.groupby(early.SEEN)
    }


def judged(rows: pd.DataFrame, perks: Sequence[Perk]) -> Judged:
    """What the customers of a frame did; it has the columns of `early_outcomes`."""
    return Judged(rows["user_id"].to_numpy(), rows[early.SEEN].to_numpy(), *_did(rows, perks))


def whole(later: pd.DataFrame) -> pd.DataFrame:
    """One row per customer and n: the outcomes on both sides of the inner cut together."""
    return later.drop(columns=AFTER_CUT).groupby(["user_id", early.SEEN], as_index=False).sum()


def of_side(later: pd.DataFrame, after_cut: bool) -> pd.DataFrame:
    """One row per customer and n: the outcomes on one side of the inner cut."""
    return later[later[AFTER_CUT] == after_cut].drop(columns=AFTER_CUT)


def _did(rows: pd.DataFrame, perks: Sequence[Perk]) -> tuple[np.ndarray, np.ndarray]:
    return (
        rows[[f"{perk.outcome}_amount" for perk in perks]].to_numpy(dtype=np.float64),
        rows[[f"{perk.outcome}_opportunities" for perk in perks]].to_numpy(dtype=np.float64),
    )


def forward(
    known: pd.DataFrame,
    later: pd.DataFrame,
    names: Sequence[str],
    perks: Sequence[Perk],
    config: Config,
    seed: int,
) -> tuple[pd.DataFrame, str]:
    """Both kinds of model and both baselines beside each other, and the kind to use.

    Cross-fitted: each model learns from what other customers did before the inner cut, and is
    judged on what its customers did after it. The first sessions are used only if they beat the
    profile beyond noise, and a model only if it beats one perk for everybody. Rows are those of
    `LIFTS`.
    """
    past, future = of_side(later, False), of_side(later, True)
    rows = known.merge(future, on=["user_id", early.SEEN], validate="one_to_one")
    users = np.sort(known["user_id"].unique())
    fold = dict(
        zip(users, np.random.default_rng(seed).permutation(len(users)) % config.folds, strict=True)
    )
    of_row, of_known = rows["user_id"].map(fold).to_numpy(), known["user_id"].map(fold).to_numpy()
    answers = {kind: np.full(len(rows), NO_PERK) for kind in KINDS}
    for number in range(config.folds):
        learnt = known_by_n(known[of_known != number], past, names, perks)
        for kind in KINDS if learnt else ():
            model = behaviour_model.fit(kind, learnt, names, seed)
            for n in behaviour_model.EACH_N:
                at = (of_row == number) & (rows[early.SEEN] == n).to_numpy()
                if at.any():
                    deviations = model.deviations(n, early.inputs(rows[at], tuple(names)))
                    answers[kind][at] = behaviour_model.best_perk(deviations, model.signal[n])
    answers |= baselines(rows, perks)
    table, gains = measure(answers, judged(rows, perks), perks, config.resamples, seed)
    return table, _kind(gains)


def _kind(gains: Gains) -> str:
    if not gains.measured:
        return NOTHING
    sessions = gains.apart(ALL, WITH_SESSIONS, PROFILE_ONLY)[1] > 0
    kind = WITH_SESSIONS if sessions else PROFILE_ONLY
    return kind if gains.apart(ALL, kind, MAJORITY)[1] > 0 else NOTHING


def baselines(rows: pd.DataFrame, perks: Sequence[Perk]) -> dict[str, np.ndarray]:
    """The answers that need no model: one perk for everybody, and the strategy's rules."""
    names = pd.Index([perk.id for perk in perks])
    common = rows.drop_duplicates("user_id")["perk"].value_counts()
    most = int(np.argmax([common.get(name, 0) for name in names]))
    return {RULES: names.get_indexer(rows["ruled"]), MAJORITY: np.full(len(rows), most)}


def measure(
    answers: Mapping[str, np.ndarray],
    did: Judged,
    perks: Sequence[Perk],
    resamples: int,
    seed: int,
) -> tuple[pd.DataFrame, Gains]:
    """The lifts and gains of answers: positions of perks, one per row of `did`.

    The table has the columns of `LIFTS`: a row per answer, n and perk given, and a row over all
    perks. Intervals are of a bootstrap over customers.
    """
    users, place = np.unique(did.user_id, return_inverse=True)
    rng = np.random.default_rng(seed)
    size = len(users)
    drawn = (
        rng.multinomial(size, np.full(size, 1 / size), resamples)
        if size
        else np.zeros((resamples, 0))
    )
    # The first draw is the customers as they are.
    weights = np.vstack([np.ones(size), drawn]).astype(np.float32)
    found, rows = {}, []
    for n in np.unique(did.sessions_seen):
        at = did.sessions_seen == n
        shares, lifts, gains = {}, {}, {}
        for name, answer in answers.items():
            shares[name], lifts[name], gains[name] = _measured(
                answer[at], did.amount[at], did.chances[at], weights[:, place[at]]
            )
            rows += list(
                _rows(
                    name,
                    int(n),
                    answer[at],
                    did.amount[at],
                    did.chances[at],
                    lifts[name],
                    gains[name],
                    perks,
                )
            )
        found[int(n)] = np.column_stack(
            [(np.nan_to_num(gains[name]) * shares[name]).sum(axis=1) for name in answers]
        )
    if found:
        found[ALL] = np.mean(list(found.values()), axis=0)
    rows += [
        _overall(name, n, did, drawn_gains[:, position])
        for n, drawn_gains in found.items()
        for position, name in enumerate(answers)
    ]
    table = pd.DataFrame(rows, columns=list(LIFTS.column_names))
    return table, Gains(
        tuple(answers),
        {n: values[0] for n, values in found.items()},
        {n: values[1:] for n, values in found.items()},
    )


def _measured(
    answer: np.ndarray, amount: np.ndarray, chances: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By draw (row) and perk (column): share of customers, lift and standardised deviation."""
    perks = amount.shape[1]
    given = answer[:, None] == np.arange(perks)
    columns = np.hstack([given, amount * given, chances * given, amount, chances])
    with one_thread():
        sums = (weights @ columns.astype(np.float32)).astype(np.float64)
    count, a, c, total, whole_chances = np.split(sums, 5, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = (a / c) / ((total - a) / (whole_chances - c))
        average = total / whole_chances
        rate = amount / np.maximum(chances, 1)
        spread = np.sqrt((chances * (rate - average[0]) ** 2).sum(axis=0) / chances.sum(axis=0))
        gain = (a / c - average) / spread
    clean = [np.where(np.isfinite(values), values, np.nan) for values in (lift, gain)]
    # A draw may have none of the few customers of a late n: then there is no gain in it either.
    whole = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    return count / whole, clean[0], clean[1]


def _rows(
    name: str,
    n: int,
    answer: np.ndarray,
    amount: np.ndarray,
    chances: np.ndarray,
    lifts: np.ndarray,
    gains: np.ndarray,
    perks: Sequence[Perk],
) -> Iterator[dict[str, object]]:
    """A row for each perk that an answer gives to anybody."""
    for position, perk in enumerate(perks):
        given = answer == position
        if given.any():
            yield {
                "model": name,
                "sessions_seen": n,
                "perk": perk.id,
                "customers": int(given.sum()),
                "opportunities": int(chances[given, position].sum()),
                "mean": _ratio(amount[given, position], chances[given, position]),
                "mean_others": _ratio(amount[~given, position], chances[~given, position]),
                **_interval("lift", lifts[:, position]),
                **_interval("gain", gains[:, position]),
            }


def _overall(name: str, n: int, did: Judged, gains: np.ndarray) -> dict[str, object]:
    at = (did.sessions_seen == n) | (n == ALL)
    return {
        "model": name,
        "sessions_seen": n,
        "perk": ALL_PERKS,
        "customers": len(np.unique(did.user_id[at])),
        "opportunities": None,
        **_interval("gain", gains),
    }


def _interval(name: str, draws: np.ndarray) -> dict[str, float]:
    known = draws[1:][np.isfinite(draws[1:])]
    low, high = np.quantile(known, _ENDS) if len(known) else (np.nan, np.nan)
    return {name: float(draws[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _ratio(amount: np.ndarray, chances: np.ndarray) -> float:
    return float(amount.sum() / chances.sum()) if chances.sum() > 0 else float("nan")

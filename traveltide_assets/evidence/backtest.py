"""The back-test: perks are assigned from data before a cut, and behaviour is measured after it.

Behaviour is measured per opportunity (bags per flight, not bags), so that activity is not mistaken
for preference. The cohort rule requires a total number of sessions, cancellations included, so
customers with few sessions before the cut have many after it, and vice versa. The permutation test
therefore permutes only among customers with equally many sessions before each cut.
`lift_by_activity` is the mean lift of these permutations: what the number of sessions alone
explains.

Perks are tried at several cuts; `lifts.py` combines them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from traveltide_assets.catalogue.perks import NO_OUTCOME, Perk
from traveltide_assets.evidence.config import Config
from traveltide_assets.evidence.lifts import Chance, Done, by_chance
from traveltide_assets.evidence.tables import (
    CONTRADICTED,
    EVIDENCE_BY_CUT,
    NOT_SUPPORTED,
    NOT_TRIED,
    PERK_EVIDENCE,
    PERKS_TRIED,
    SUPPORTED,
    TOO_LITTLE,
)
from traveltide_assets.evidence.trial import BackTest, Past, Tried, assign_all_from_past
from traveltide_assets.schema.table import Table
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.stats.holm import holm
from traveltide_assets.stats.side_by_side import ALONE, Processes
from traveltide_assets.stats.threads import one_thread

_POWER = 0.8


@dataclass(frozen=True)
class Judged:
    """The evidence: `pooled` over the cuts, `by_cut`, and the perks `tried` on each customer."""

    pooled: pd.DataFrame
    by_cut: pd.DataFrame
    tried: pd.DataFrame


def run(
    strategies: Mapping[str, Strategy],
    pasts: Sequence[Past],
    perks: Sequence[Perk],
    config: Config,
    seed: int,
    processes: Processes = ALONE,
) -> Judged:
    """Back-test all strategies at all cuts.

    Cuts before which nobody had a session are left out. A perk of a strategy's program that it gave
    to nobody at any cut, or that no behaviour speaks to, is a row with the verdict *not tried*.
    """
    back_test = BackTest.prepare([p for p in pasts if len(p.earlier)], config, seed)
    tried = assign_all_from_past(strategies, back_test, processes)
    pooled, by_cut = judge(tried, back_test, perks)
    programs = {name: each.program for name, each in strategies.items()}
    return Judged(with_untried(pooled, programs, perks), by_cut, perks_tried(tried, back_test))


def judge(
    tried: Tried, back_test: BackTest, perks: Sequence[Perk]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per strategy and perk it gave: lift with interval, p-values, verdict; and by cut.

    *Too little data* is the verdict where few did it at all, and where nothing is found that only a
    lift above `config.max_detectable` would have shown.

    P-values are corrected over all rows with enough opportunities, in both directions, because the
    report names the findings of every strategy.
    """
    rows, cuts = [], []
    groups = _groups(tried, back_test, perks)
    tested = [(back_test.done(name), np.stack([*given.values()])) for name, given in groups.items()]
    with one_thread():
        chances = by_chance(tested, back_test.permutations())
    for (outcome, given), (done, _), chance in zip(groups.items(), tested, chances, strict=True):
        for row, at_cuts in _measured(outcome, given, done, chance, back_test):
            rows.append(row)
            cuts += at_cuts
    limits = back_test.config
    if not rows:
        return _empty(PERK_EVIDENCE), _empty(EVIDENCE_BY_CUT)
    table = pd.DataFrame(rows, columns=[*PERK_EVIDENCE.column_names])
    enough = (table["customers"] >= limits.min_customers) & (
        table[["opportunities", "opportunities_others"]].min(axis=1) >= limits.min_opportunities
    )
    both = pd.concat([table["p_value"].where(enough), table["p_below"].where(enough)])
    above, below = np.split(holm(both.to_numpy()), 2)
    table["p_holm"] = np.fmin(above, below)
    table["detectable_lift"] = _detectable(table["detectable_lift"], int(enough.sum()), limits)
    enough &= table["fewest_events"] >= limits.min_events
    table["verdict"] = np.select(
        [
            ~enough,
            (above <= limits.alpha) & (table["lift_low"] > 1),
            (below <= limits.alpha) & (table["lift_high"] < 1),
            ~(table["detectable_lift"] <= limits.max_detectable),
        ],
        [TOO_LITTLE, SUPPORTED, CONTRADICTED, TOO_LITTLE],
        NOT_SUPPORTED,
    )
    order = {perk.id: place for place, perk in enumerate(perks)}
    strategies = {name: place for place, name in enumerate(tried)}
    places = [table["strategy"].map(strategies), table["perk"].map(order)]
    by_cut = pd.DataFrame(cuts, columns=[*EVIDENCE_BY_CUT.column_names])
    return table.iloc[np.lexsort(places[::-1])].reset_index(drop=True), by_cut


def with_untried(
    judged: pd.DataFrame, programs: Mapping[str, str], perks: Sequence[Perk]
) -> pd.DataFrame:
    """The evidence with a row for each other perk that a strategy may give.

    It gave them to nobody, or their outcome is `NO_OUTCOME`.
    """
    known = set(zip(judged["strategy"], judged["perk"], strict=True))
    counts = ("cuts", "customers", "opportunities", "opportunities_others", "events")
    rows = [
        {"strategy": name, "perk": perk.id, "outcome": perk.outcome, "verdict": NOT_TRIED}
        | dict.fromkeys((*counts, "events_others"), 0)
        for name, program in programs.items()
        for perk in perks
        if program in perk.programs and (name, perk.id) not in known
    ]
    missing = pd.DataFrame(rows, columns=judged.columns).astype(judged.dtypes)
    parts = [part for part in (judged, missing) if len(part)]
    if not parts:
        return judged
    order = {name: place for place, name in enumerate(programs)}
    return pd.concat(parts, ignore_index=True).sort_values(
        "strategy", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )


def perks_tried(tried: Tried, back_test: BackTest) -> pd.DataFrame:
    """One row per strategy, cut and customer: the perk that the strategy would have given."""
    frames = [
        pd.DataFrame(
            {"strategy": name, "cut": past.cut, "user_id": past.earlier["user_id"], "perk": perk}
        ).dropna(subset="perk")
        for name, assigned in tried.items()
        for past, perk in zip(back_test.pasts, assigned, strict=True)
    ]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return _empty(PERKS_TRIED)
    return pd.concat(frames, ignore_index=True)


_Groups = Mapping[tuple[str, str], np.ndarray]
"""By strategy and perk, whether each customer (column) was given it at each cut (row)."""


def _groups(tried: Tried, back_test: BackTest, perks: Sequence[Perk]) -> dict[str, _Groups]:
    """By outcome that perks have, the groups that were given one of these; some were, in each."""
    found: dict[str, _Groups] = {}
    for outcome in dict.fromkeys(perk.outcome for perk in perks if perk.outcome != NO_OUTCOME):
        groups = {
            (strategy, perk.id): back_test.given(assigned, perk.id)
            for perk in perks
            if perk.outcome == outcome
            for strategy, assigned in tried.items()
        }
        if given := {key: group for key, group in groups.items() if group.any()}:
            found[outcome] = given
    return found


def _measured(
    outcome: str, groups: _Groups, done: Done, chance: Sequence[Chance], back_test: BackTest
) -> Iterator[tuple[dict[str, object], list[dict[str, object]]]]:
    """The measures of the groups of an outcome: over all cuts, and at each cut."""
    given = np.stack([*groups.values()])
    with one_thread():
        sums, draws = done.sums(given), done.drawn(given, back_test.weights)
    by_cut, drawn, drawn_by_cut = sums.by_cut(), draws.pooled(), draws.by_cut()
    lifts = sums.pooled()
    for i, (strategy, perk) in enumerate(groups):
        named = {"strategy": strategy, "perk": perk, "outcome": outcome}
        low, high = _interval(drawn[i])
        yield (
            named
            | _counted(done, given[i])
            | {
                "lift": float(lifts[i]),
                "lift_low": low,
                "lift_high": high,
                "lift_by_activity": chance[i].mean,
                "detectable_lift": _relative_sd(chance[i]),
                "p_value": chance[i].above,
                "p_below": chance[i].below,
            },
            [
                named
                | {"cut": past.cut}
                | _counted(Done(done.amount[[k]], done.chances[[k]]), given[i][[k]])
                | {
                    "lift": float(by_cut[i, k]),
                    **dict(
                        zip(
                            ("lift_low", "lift_high"),
                            _interval(drawn_by_cut[i, :, k]),
                            strict=True,
                        )
                    ),
                }
                for k, past in enumerate(back_test.pasts)
                if given[i][k].any()
            ],
        )


def _counted(done: Done, given: np.ndarray) -> dict[str, object]:
    """Customers, opportunities, events and means of a group and of the others, over the cuts.

    An event is a customer who did it at least once. A side without any may still say something, if
    its share of all opportunities leads one to expect some: `fewest_events` is the smaller side's
    number of events, seen or expected.
    """
    did = done.amount > 0
    events, others = int((did & given).any(0).sum()), int((did & ~given).any(0).sum())
    a, n = done.amount[given].sum(), done.chances[given].sum()
    b, m = done.amount[~given].sum(), done.chances[~given].sum()
    every = int(did.any(0).sum())
    share = n / max(n + m, 1)
    return {
        "cuts": int(given.any(1).sum()),
        "customers": int(given.any(0).sum()),
        "opportunities": int(n),
        "opportunities_others": int(m),
        "events": events,
        "events_others": others,
        "fewest_events": float(min(max(events, every * share), max(others, every * (1 - share)))),
        "mean": float(a / n) if n > 0 else float("nan"),
        "mean_others": float(b / m) if m > 0 else float("nan"),
    }


def _interval(draws: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of bootstrap draws."""
    if not np.isfinite(draws).any():
        return float("nan"), float("nan")
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _relative_sd(chance: Chance) -> float:
    return chance.sd / chance.mean if chance.mean > 0 else float("nan")


def _detectable(relative_sd: pd.Series, tests: int, limits: Config) -> pd.Series:
    """The smallest lift that these customers would have shown in four of five cases.

    At the level of the strictest test of the family, in both directions.
    """
    level = limits.alpha / max(2 * tests, 1)
    return 1 + (norm.isf(level) + norm.ppf(_POWER)) * relative_sd


def _empty(table: Table) -> pd.DataFrame:
    """No rows, with the types of a table, which pandas cannot infer without rows."""
    return table.arrow_schema.empty_table().to_pandas()

"""Steady offers: a customer keeps last month's perk unless another one is clearly better.

How much better is said by what the deciding strategy expects of each perk (`preference_<perk>`), or
by the affinities of the customer's segment if it expects nothing. While an experiment runs, the
perk and the segment of its start hold: they are what it compares.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

FIRST = "no perk last month"
SAME = "the same as last month"
HELD = "the experiment's perk, held from its start"
KEPT = "last month's perk is kept: the runner-up is not better by more than the margin"
CLEARLY_BETTER = "better than last month's perk by more than the margin"
WITHDRAWN = "last month's perk is no longer handed out"
_AVERAGE = 1.0


def steadied(
    own: pd.DataFrame,
    before: pd.DataFrame | None,
    start: pd.DataFrame | None,
    offered: Collection[str],
    margin: float,
) -> pd.DataFrame:
    """The rows of `own`, the strategy's assignments of a month, with perks that last.

    `before` are the assignments of the month before, `start` those that a running experiment began
    with; None without either. A perk that is not `offered` any more is not kept. A kept perk makes
    the strategy's own perk the runner-up. The column `steadiness` says what happened, and why.
    """
    own_perk = own["perk"]
    last = _of(own, before, "perk")
    known = last.notna()
    same = known & (last == own_perk)
    gain = _gain(own, own_perk, last, offered)
    keep = known & ~same & (gain <= margin)
    lost = known & ~same & np.isnan(gain)
    begun = _of(own, start, "perk")
    holds = begun.notna()
    steadiness = _words({HELD: holds, FIRST: ~known, SAME: same, KEPT: keep, WITHDRAWN: lost})
    perk = own_perk.mask(keep, last).mask(holds, begun)
    changed = perk != own_perk
    return own.assign(
        perk=perk,
        segment=own["segment"].mask(holds, _of(own, start, "segment")),
        runner_up=own["runner_up"].mask(changed, own_perk),
        deciding_features=own["deciding_features"].mask(changed, steadiness),
        steadiness=steadiness,
    )


def _words(conditions: Mapping[str, pd.Series]) -> pd.Series:
    """The words of the first condition that holds for each customer; `CLEARLY_BETTER` if none."""
    words = [*conditions, CLEARLY_BETTER]
    codes = np.select([*conditions.values()], range(len(conditions)), len(conditions))
    index = next(iter(conditions.values())).index
    return pd.Series(pd.Categorical.from_codes(codes, words), index).astype("str")


def _of(own: pd.DataFrame, other: pd.DataFrame | None, column: str) -> pd.Series:
    """A column of another month for the same customers; missing for those who are not in it."""
    if other is None:
        return pd.Series(np.nan, own.index, dtype="str")
    return own["user_id"].map(other.set_index("user_id")[column])


def _gain(
    own: pd.DataFrame, now: pd.Series, last: pd.Series, offered: Collection[str]
) -> np.ndarray:
    """How much better each customer's perk is than last month's; NaN if that is not handed out.

    A customer without a known preference gets a perk that nothing is expected of: the average. It
    is no better than another perk that nothing is expected of.
    """
    new, old = _value(own, now, offered), _value(own, last, offered)
    neither = np.isnan(new) & np.isnan(old) & last.isin(list(offered)).to_numpy()
    return np.where(neither, 0.0, np.where(np.isnan(new), _AVERAGE, new) - old)


def _value(own: pd.DataFrame, perks: pd.Series, offered: Collection[str]) -> np.ndarray:
    """What is expected of a perk of each customer; NaN if nothing is, or it is not offered."""
    expects = bool(own.filter(like="preference_").notna().any(axis=None))
    value = np.full(len(own), np.nan)
    for perk in offered:
        rows = (perks == perk).to_numpy()
        column = f"preference_{perk}" if expects else f"affinity_{perk}"
        value[rows] = own.loc[rows, column] if column in own else np.nan
    return value

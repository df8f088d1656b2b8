"""Which share of customers should get a perk by chance, in words, and whether that would pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.experiment.learning.policy_promotion import NOTHING_TO_GAIN, PROMOTED

_MONTHS = 12
"""What takes longer to learn is not recommended."""
_PER_PERK = 100
_MOST, _STEP = 0.5, 0.05
_IT_DECIDES = "It decides from the next month on. Keep"
_LET_IT_DECIDE = 'Let it decide (strategy = "learned") and keep'


@dataclass(frozen=True)
class Reach:
    """A month's customers: who is written to, who is held out, and how many perks may be drawn."""

    written_to: int
    held_out: int
    perks: int


def advise(policies: pd.DataFrame, share: float, reach: Reach, learns: bool = False) -> str:
    """The advice on `exploration.share` (`share`). `policies` is `gold/policy_scorecard`.

    `learns` says whether the learned policy decides already, as soon as one is promoted.
    """
    if not reach.written_to:
        return "Nobody is written to, so nothing can be learned."
    if policies.empty:
        return _begin(share, reach)
    verdict, customers = policies["verdict"].iloc[0], int(policies["customers"].iloc[0])
    if verdict == PROMOTED:
        return (
            f"{_IT_DECIDES if learns else _LET_IT_DECIDE} "
            f"{_setting(max(share, _STEP))}: only what is drawn by chance shows whether it still "
            "pays."
        )
    if verdict == NOTHING_TO_GAIN:
        return (
            "More exploration would not pay: a gain worth having is excluded. "
            f"{_setting(0)} costs nothing."
        )
    needed = policies["rows_needed"].iloc[0]
    if not np.isfinite(needed):
        return _unknown(share)
    return _go_on(int(needed) - customers, share, reach)


def _begin(share: float, reach: Reach) -> str:
    """The advice before anything was learned."""
    wanted = reach.perks * _PER_PERK
    if share > 0:
        return (
            f"Keep {_setting(share)}: about {share * reach.written_to:,.0f} customers a month get "
            "a perk by chance. They are read when their campaign is closed."
        )
    best = _rounded(wanted / reach.written_to)
    months = int(np.ceil(wanted / (min(best, _MOST) * reach.written_to)))
    return (
        f"Set {_setting(min(best, _MOST))}: without it nobody can learn which perk works for "
        f"whom. It draws {_PER_PERK} customers for each of {reach.perks} perks in "
        f"{_counted(months)}."
    )


def _unknown(share: float) -> str:
    """The advice while nothing can be said of the gain."""
    said = (
        "So far, the gain of choosing for each customer is estimated to be less than its standard "
        "error, so nobody can say how much more it takes."
    )
    if share > 0:
        return f"{said} Keep {_setting(share)} as long as single perks are still to be compared."
    return f"{said} Set {_setting(_STEP)} only if single perks are still to be compared."


def _go_on(more: int, share: float, reach: Reach) -> str:
    """The advice while there is too little data, and `more` customers are needed."""
    at = {each: _months(more, each, reach) for each in (share, _MOST)}
    if share > 0 and at[share] <= _MONTHS:
        return f"Keep {_setting(share)}: at that it takes {_counted(at[share])} more."
    if at[_MOST] > _MONTHS:
        return (
            f"It would take {_counted(at[_MOST])} more even if half of the customers explored, so "
            "exploring to choose for each customer does not pay with so few; to compare single "
            "perks it may."
        )
    best = _rounded((more / _MONTHS - reach.held_out) / reach.written_to)
    said = f" instead of {_counted(at[share])}" if share > 0 else ""
    return f"Set {_setting(best)}: it takes {_counted(_months(more, best, reach))} more{said}."


def _months(more: int, share: float, reach: Reach) -> int:
    """Months until as many more customers are in the log: those who explored and the held-out."""
    monthly = share * reach.written_to + reach.held_out
    return max(1, int(np.ceil(more / max(monthly, 1.0))))


def _rounded(share: float) -> float:
    """A share rounded up to a step, above 0."""
    return max(1, int(np.ceil(share / _STEP - 1e-9))) * _STEP


def _setting(share: float) -> str:
    return f"exploration.share = {share:.2g}"


def _counted(months: int) -> str:
    return "1 month" if months == 1 else f"{months} months"

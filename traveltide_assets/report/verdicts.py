"""What the evidence says about each perk, in sentences that claim no more than the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from traveltide_assets.catalogue.perks import NO_OUTCOME
from traveltide_assets.evidence.tables import (
    CONTRADICTED,
    NOT_SUPPORTED,
    NOT_TRIED,
    SUPPORTED,
    TOO_LITTLE,
)
from traveltide_assets.report import words

_SYMBOLS = {
    SUPPORTED: "✓",
    CONTRADICTED: "↓",
    NOT_SUPPORTED: "✗",
    TOO_LITTLE: "?",
    NOT_TRIED: "?",
}
_NOTABLE_ACTIVITY = 0.05


@dataclass(frozen=True)
class Verdict:
    """The verdict on one perk of one strategy: what it rests on, in a sentence and in short."""

    name: str
    sentence: str
    short: str

    @property
    def symbol(self) -> str:
        return _SYMBOLS[self.name]

    @property
    def css(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def supported(self) -> bool:
        return self.name == SUPPORTED


def of_strategy(
    evidence: pd.DataFrame, strategy: str, alpha: float | None = None
) -> dict[str, Verdict]:
    """The verdict on each perk that the strategy may give, by perk.

    `alpha` is the limit that the corrected p-values were held against, to be said where it is
    known.
    """
    rows = evidence[evidence["strategy"] == strategy]
    return {
        row["perk"]: Verdict(row["verdict"], _sentence(row, alpha), _in_short(row, alpha))
        for _, row in rows.iterrows()
    }


def not_tried(outcome: str | None = None) -> Verdict:
    """The verdict on a perk that the strategy gave to no one as of any cut.

    Or on one that no behaviour speaks to, by its `outcome`.
    """
    if outcome == NO_OUTCOME:
        return Verdict(
            NOT_TRIED,
            "No behaviour in the data speaks to this perk, so it cannot be tried.",
            "Nobody can say yet: no behaviour in the data speaks to it.",
        )
    return Verdict(
        NOT_TRIED,
        "On the data known then, the strategy would have given it to no one, so there is nothing "
        "to compare.",
        "Nobody can say yet: on the data of earlier months nobody would have been given it.",
    )


def supported_by(evidence: pd.DataFrame) -> dict[str, list[str]]:
    """The strategies for which a perk is supported, for each perk that any strategy gave."""
    supported = evidence[evidence["verdict"] == SUPPORTED]
    return {
        perk: list(supported.loc[supported["perk"] == perk, "strategy"])
        for perk in dict.fromkeys(evidence["perk"])
    }


def _in_short(row: pd.Series, alpha: float | None) -> str:
    if row["verdict"] == NOT_TRIED:
        return not_tried(row["outcome"]).short
    if row["verdict"] == TOO_LITTLE:
        return "Too early to say: too few customers had the chance to show it so far."
    given, others = (words.outcome(row["outcome"], row[c]) for c in ("mean", "mean_others"))
    compared = f"{words.OUTCOME_NAMES[row['outcome']]}: {given} against {others}"
    if row["verdict"] == SUPPORTED:
        return f"Customers chosen like this did more of it later ({compared}): more than chance."
    if row["verdict"] == CONTRADICTED:
        return f"Careful: customers chosen like this did less of it later ({compared})."
    if _stands_apart(row):
        more = "more" if row["lift"] > 1 else "less"
        return (
            f"Customers chosen like this did {more} of it later ({compared}), but that may be "
            f"chance ({_chance(row, alpha)}): an idea to try."
        )
    return (
        f"Customers chosen like this did about as much of it later as others ({compared}): an "
        "idea to try."
    )


def _stands_apart(row: pd.Series) -> bool:
    """Whether the interval of the lift, which knows of no other tests, leaves out 1."""
    return bool(row["lift_high"] < 1 or row["lift_low"] > 1)


def _chance(row: pd.Series, alpha: float | None) -> str:
    limit = "" if alpha is None else f"; the limit is {words.decimal(alpha, 3)}"
    return f"corrected p-value {words.decimal(row['p_holm'], 3)}{limit}"


def _sentence(row: pd.Series, alpha: float | None) -> str:
    if row["verdict"] == NOT_TRIED:
        return not_tried(row["outcome"]).sentence
    if row["verdict"] == TOO_LITTLE:
        return _too_little(row)
    measured = words.OUTCOME_NAMES[row["outcome"]]
    given, others = (words.outcome(row["outcome"], row[c]) for c in ("mean", "mean_others"))
    compared = (
        f"{measured[0].upper()}{measured[1:]}: {given} among those the perk would have gone to, "
        f"{others} among the others, {words.times(row['lift'], row['lift_low'], row['lift_high'])}."
    )
    tested = f"{row['customers']:,} customers who would have been given it then"
    return (
        f"{compared} {_judgement(row, alpha)} (Back-tested on the {tested}; those given it today "
        "may differ.)"
    )


def _too_little(row: pd.Series) -> str:
    detectable = row["detectable_lift"]
    if _stands_apart(row):
        times = words.times(row["lift"], row["lift_low"], row["lift_high"])
        shown = f" What they did stands out ({times}), but so few are no basis for a verdict."
    elif math.isnan(detectable):
        shown = ""
    else:
        shown = f" Only a lift of {words.decimal(detectable)} or more would have shown."
    return (
        f"Too little data: it would have gone to {row['customers']:,} customers, with "
        f"{row['opportunities']:,} opportunities to show what they do (the others had "
        f"{row['opportunities_others']:,}); {row['events']:,} of them did it at all, and "
        f"{row['events_others']:,} of the others.{shown}"
    )


def _judgement(row: pd.Series, alpha: float | None) -> str:
    activity = row["lift_by_activity"]
    share = (
        f" The number of sessions alone would produce a lift of {words.decimal(activity)}."
        if not math.isnan(activity) and abs(activity - 1) > _NOTABLE_ACTIVITY
        else ""
    )
    if row["verdict"] == SUPPORTED:
        return f"That is more than chance explains.{share}"
    if row["verdict"] == CONTRADICTED:
        return f"They did this less than the others, and by more than chance explains.{share}"
    if _stands_apart(row):
        side, direction = ("above", "high") if row["lift_low"] > 1 else ("below", "low")
        return (
            f"On its own the lift is {side} 1, but among all the lifts tested, equally active "
            f"customers reach one so {direction} too often by chance ({_chance(row, alpha)})."
            f"{share}"
        )
    return f"That is no more than chance produces.{share}{_power(row)}"


def _power(row: pd.Series) -> str:
    detectable = row["detectable_lift"]
    if math.isnan(detectable):
        return ""
    return f" A lift of {words.decimal(detectable)} would have shown."

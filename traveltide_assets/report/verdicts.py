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
    """The verdict on one perk of one strategy, with a sentence that explains it."""

    name: str
    sentence: str

    @property
    def symbol(self) -> str:
        return _SYMBOLS[self.name]

    @property
    def css(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def supported(self) -> bool:
        return self.name == SUPPORTED


def of_strategy(evidence: pd.DataFrame, strategy: str) -> dict[str, Verdict]:
    """The verdict on each perk that the strategy may give, by perk."""
    rows = evidence[evidence["strategy"] == strategy]
    return {row["perk"]: Verdict(row["verdict"], _sentence(row)) for _, row in rows.iterrows()}


def not_tried(outcome: str | None = None) -> Verdict:
    """The verdict on a perk that the strategy gave to no one as of any cut.

    Or on one that no behaviour speaks to, by its `outcome`.
    """
    if outcome == NO_OUTCOME:
        return Verdict(
            NOT_TRIED, "No behaviour in the data speaks to this perk, so it cannot be tried."
        )
    return Verdict(
        NOT_TRIED,
        "On the data known then, the strategy would have given it to no one, so there is nothing "
        "to compare.",
    )


def supported_by(evidence: pd.DataFrame) -> dict[str, list[str]]:
    """The strategies for which a perk is supported, for each perk that any strategy gave."""
    supported = evidence[evidence["verdict"] == SUPPORTED]
    return {
        perk: list(supported.loc[supported["perk"] == perk, "strategy"])
        for perk in dict.fromkeys(evidence["perk"])
    }


def _sentence(row: pd.Series) -> str:
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
        f"{compared} {_judgement(row)} (Back-tested on the {tested}; those given it today may "
        "differ.)"
    )


def _too_little(row: pd.Series) -> str:
    detectable = row["detectable_lift"]
    shown = (
        ""
        if math.isnan(detectable)
        else f" Only a lift of {words.decimal(detectable)} or more would have shown."
    )
    return (
        f"Too little data: it would have gone to {row['customers']:,} customers, with "
        f"{row['opportunities']:,} opportunities to show what they do (the others had "
        f"{row['opportunities_others']:,}); {row['events']:,} of them did it at all, and "
        f"{row['events_others']:,} of the others.{shown}"
    )


def _judgement(row: pd.Series) -> str:
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
    if row["lift_high"] < 1 or row["lift_low"] > 1:
        side, direction = ("above", "high") if row["lift_low"] > 1 else ("below", "low")
        return (
            f"The lift is {side} 1, but equally active customers reach one so {direction} too "
            f"often by chance (corrected p-value {words.decimal(row['p_holm'])}).{share}"
        )
    return f"That is no more than chance produces.{share}{_power(row)}"


def _power(row: pd.Series) -> str:
    detectable = row["detectable_lift"]
    if math.isnan(detectable):
        return ""
    return f" A lift of {words.decimal(detectable)} would have shown."

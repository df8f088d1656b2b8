"""What the evidence says of each perk, in sentences that claim no more than the verdict does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from traveltide_assets.evidence.backtest import NOT_SUPPORTED, SUPPORTED, TOO_LITTLE
from traveltide_assets.report import words

NOT_TRIED = "not tried"
_SYMBOLS = {SUPPORTED: "✓", NOT_SUPPORTED: "✗", TOO_LITTLE: "?", NOT_TRIED: "?"}
_NOTABLE_ACTIVITY = 0.05


@dataclass(frozen=True)
class Verdict:
    """One perk of one strategy: the verdict's words, its symbol, and a sentence that explains."""

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
    """The verdict of each perk that the strategy gave as of the cut, by perk."""
    rows = evidence[evidence["strategy"] == strategy]
    return {row["perk"]: Verdict(row["verdict"], _sentence(row)) for _, row in rows.iterrows()}


def not_tried() -> Verdict:
    """The verdict on a perk that the strategy gave to nobody as of the cut."""
    return Verdict(
        NOT_TRIED,
        "With what was known then, the strategy would have given it to nobody, so there is nothing "
        "to compare.",
    )


def supported_by(evidence: pd.DataFrame) -> dict[str, list[str]]:
    """For each perk that any strategy gave: the strategies for which it is supported."""
    supported = evidence[evidence["verdict"] == SUPPORTED]
    return {
        perk: list(supported.loc[supported["perk"] == perk, "strategy"])
        for perk in dict.fromkeys(evidence["perk"])
    }


def _sentence(row: pd.Series) -> str:
    if row["verdict"] == TOO_LITTLE:
        return (
            f"Too little data: it would have gone to {row['customers']:,} customers, who had "
            f"{row['opportunities']:,} occasions to show what they do (the others "
            f"{row['opportunities_others']:,})."
        )
    measured = words.OUTCOME_NAMES[row["outcome"]]
    given, others = (words.outcome(row["outcome"], row[c]) for c in ("mean", "mean_others"))
    compared = (
        f"{measured[0].upper()}{measured[1:]}: {given} among those the perk would have gone to, "
        f"{others} among the others, {words.times(row['lift'], row['lift_low'], row['lift_high'])}."
    )
    tried = f"{row['customers']:,} customers who would have had it then"
    return f"{compared} {_judgement(row)} (Tried on the {tried}; today's are not all the same.)"


def _judgement(row: pd.Series) -> str:
    activity = row["lift_by_activity"]
    share = (
        f" The number of sessions alone would give {words.decimal(activity)} times."
        if not math.isnan(activity) and abs(activity - 1) > _NOTABLE_ACTIVITY
        else ""
    )
    if row["verdict"] == SUPPORTED:
        return f"That is more than chance explains.{share}"
    if row["lift_high"] < 1:
        return f"They did it less than the others, not more.{share}"
    if row["lift_low"] > 1:
        return (
            "Above 1, yet equally active customers reach this too often by chance "
            f"(corrected p-value {words.decimal(row['p_holm'])}).{share}"
        )
    return f"No more than chance produces.{share}"

"""The report's first section, for the head of marketing: who gets what, why, what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from traveltide_assets.evidence.tables import (
    CONTRADICTED,
    NOT_SUPPORTED,
    NOT_TRIED,
    SUPPORTED,
    TOO_LITTLE,
)
from traveltide_assets.report import verdicts, words
from traveltide_assets.report.material import Material
from traveltide_assets.report.scorecard_section import row_of
from traveltide_assets.report.verdicts import Verdict
from traveltide_assets.segmentation.propensity import NO_PREFERENCE

_PHRASES = {
    "Close to average": "those close to the average customer",
    NO_PREFERENCE: "those of whom nothing is expected above the average",
}
_LIKELY = "Likely: "
_MANY = {"high": "many", "low": "few"}
# Below this agreement, other visits of the same customers would give many another perk.
_DOUBTFUL_KAPPA = 0.4


@dataclass(frozen=True)
class Offer:
    """A perk and the customers of one segment who get it, in words."""

    perk: str
    customers: str
    share: str
    who: str
    why: str
    verdict: Verdict


def plain(m: Material, judged: Mapping[str, Verdict]) -> dict[str, Any]:
    """What the section says: an `Offer` per segment, and sentences on what is not known."""
    size = max(len(m.assignments), 1)
    supported = [perk for perk, verdict in judged.items() if verdict.supported]
    backed = int(m.assignments["perk"].isin(supported).sum())
    return {
        "offers": _offers(m, judged),
        "everybody": words.counted(len(m.assignments), "active customer"),
        "backed": f"{backed:,}",
        "backed_share": words.percent(backed / size),
        "none_backed": backed == 0,
        "because": str(m.choice["because"].iloc[0]),
        "unknown": _unknown(m, judged),
    }


def in_words(segment: str) -> str:
    """A segment's name as a phrase: `High checked bags, low trips` becomes many bags, few trips."""
    if segment in _PHRASES:
        return _PHRASES[segment]
    if segment.startswith(_LIKELY):
        return "those of whom it is expected most, by what customers like them did"
    parts = segment.lower().split(", ")
    if not all(part.startswith(("high ", "low ")) for part in parts):
        return segment
    return f"those with {words.listed([_amount(part) for part in parts])}"


def _amount(part: str) -> str:
    """`high checked bags` as `many checked bags`; what cannot be counted stays high or low."""
    level, _, label = part.partition(" ")
    head, *_ = label.split(" per ")
    counted = any(word.endswith("s") and not word.endswith("ss") for word in head.split())
    return f"{_MANY[level] if counted else level} {label}"


def _offers(m: Material, judged: Mapping[str, Verdict]) -> list[Offer]:
    evidence = m.evidence[m.evidence["strategy"] == m.strategy].set_index("perk")
    groups = m.assignments.groupby(["perk", "segment"]).size().sort_values(ascending=False)
    return [
        Offer(
            perk=m.titles[perk],
            customers=f"{count:,}",
            share=words.percent(count / len(m.assignments)),
            who=in_words(segment),
            why=_why(evidence.loc[perk] if perk in evidence.index else None),
            verdict=judged.get(perk, verdicts.not_tried()),
        )
        for (perk, segment), count in groups.items()
    ]


def _why(row: pd.Series | None) -> str:
    if row is None or row["verdict"] == NOT_TRIED:
        return (
            "Nobody can say yet whether they want it: on the data of earlier months nobody would "
            "have been given it."
        )
    if row["verdict"] == TOO_LITTLE:
        return "Nobody can say yet whether they want it: too few customers have done it so far."
    outcome = words.OUTCOME_NAMES[row["outcome"]]
    given, others = (words.outcome(row["outcome"], row[c]) for c in ("mean", "mean_others"))
    compared = f"{outcome}: {given}, against {others} among all others"
    return {
        SUPPORTED: f"Customers chosen like this did more of it in the months that followed "
        f"({compared}). That is more than chance explains.",
        CONTRADICTED: f"Careful: customers chosen like this did less of it in the months that "
        f"followed ({compared}). They seem to want it less than others do.",
        NOT_SUPPORTED: f"Customers chosen like this did about as much of it as the others in the "
        f"months that followed ({compared}). Take it as an idea to try, not as a finding.",
    }[row["verdict"]]


def _unknown(m: Material, judged: Mapping[str, Verdict]) -> list[str]:
    """Sentences on what the data does not tell."""
    row = row_of(m.scorecard, m.strategy)
    said = [
        "Whether a perk changes what customers do. So far the data shows who does what anyway; "
        "only the experiment shows what a perk brings, and what it costs.",
    ]
    open_perks = sorted(
        m.titles[perk]
        for perk, verdict in judged.items()
        if verdict.name in (NOT_SUPPORTED, TOO_LITTLE, NOT_TRIED)
    )
    if open_perks:
        said.append(f"Who wants these perks more than others: {words.listed(open_perks)}.")
    if pd.notna(row["untried_share"]) and row["untried_share"] > 0:
        said.append(
            f"{words.percent(row['untried_share'])} of the customers get another perk today than "
            "when the perks were tried. What the figures say was measured on others."
        )
    kappa = row["reliability_kappa"]
    if pd.notna(kappa) and kappa < _DOUBTFUL_KAPPA:
        said.append(
            "Whether the same customers would get the same perk from other visits: decided from "
            f"every other visit, perks agree little beyond chance ({words.decimal(kappa)} of 1)."
        )
    return said

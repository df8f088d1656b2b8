"""The report's first page: what was decided, for whom, how sure that is, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from traveltide_assets.evidence.tables import NOT_SUPPORTED, NOT_TRIED, TOO_LITTLE
from traveltide_assets.report import segment_words, verdicts, words
from traveltide_assets.report.material import Material
from traveltide_assets.report.scorecard_section import recommended, row_of
from traveltide_assets.report.verdicts import Verdict

# Below this agreement, other visits of the same customers would give many another perk.
_DOUBTFUL_KAPPA = 0.4
# A perk is said to go to one segment if it holds this share of its customers.
_NEARLY_ALL = 0.95
_NAMED = 2


@dataclass(frozen=True)
class Offer:
    """A perk that customers get: how many, who they are, and what supports it."""

    perk: str
    customers: str
    share: str
    width: float
    who: str
    verdict: Verdict


def context(m: Material, judged: Mapping[str, Verdict]) -> dict[str, Any]:
    """What the page says: an `Offer` per perk that somebody gets, what is not known, what next."""
    size = max(len(m.assignments), 1)
    given = set(m.assignments["perk"])
    supported = [perk for perk in given if perk in judged and judged[perk].supported]
    backed = int(m.assignments["perk"].isin(supported).sum())
    best = recommended(m.scorecard)
    return {
        "offers": _offers(m, judged),
        "everybody": words.counted(len(m.assignments), "active customer"),
        "given": words.counted(len(given), "perk"),
        "backed": f"{backed:,}",
        "backed_share": words.percent(backed / size),
        "all_backed": 0 < backed == len(m.assignments),
        "none_backed": backed == 0,
        "because": str(m.choice["because"].iloc[0]),
        "unknown": _unknown(m, judged),
        "better": m.strategies[best[0]] if best and best[0] != m.in_scorecard else None,
        "better_id": best[0] if best else None,
        "experiment_set": m.settings.experiment.start is not None,
        "written_to": f"{m.campaign['customers']['written_to']:,}",
    }


def _offers(m: Material, judged: Mapping[str, Verdict]) -> list[Offer]:
    counts = m.assignments["perk"].value_counts()
    return [
        Offer(
            perk=m.titles[perk],
            customers=f"{count:,}",
            share=words.percent(count / len(m.assignments)),
            width=float(100 * count / counts.max()),
            who=_who(m.assignments.loc[m.assignments["perk"] == perk, "segment"]),
            verdict=judged.get(perk, verdicts.not_tried()),
        )
        for perk, count in counts.items()
    ]


def _who(segments: pd.Series) -> str:
    """The segments of a perk's customers: the largest two, and whether there are others."""
    sizes = segments.value_counts() / len(segments)
    if sizes.iloc[0] >= _NEARLY_ALL:
        return segment_words.called(str(sizes.index[0]))
    largest = [
        f"{segment_words.called(str(name))} ({words.percent(share)})"
        for name, share in sizes.head(_NAMED).items()
    ]
    return "; ".join([*largest, "others"] if len(sizes) > _NAMED else largest)


def _unknown(m: Material, judged: Mapping[str, Verdict]) -> list[str]:
    """Sentences on what the data does not tell."""
    row = row_of(m.scorecard, m.in_scorecard)
    said = ["Whether a perk changes what customers do: only the experiment shows what it brings."]
    given = set(m.assignments["perk"])
    open_perks = sorted(
        m.titles[perk]
        for perk in given
        if judged.get(perk, verdicts.not_tried()).name in (NOT_SUPPORTED, TOO_LITTLE, NOT_TRIED)
    )
    if open_perks:
        said.append(f"Who wants these perks more than others do: {words.listed(open_perks)}.")
    if pd.notna(row["untried_share"]) and row["untried_share"] > 0:
        said.append(
            f"How {words.percent(row['untried_share'])} of the customers take to their perk: when "
            "perks were tried, they would have got another."
        )
    kappa = row["reliability_kappa"]
    if pd.notna(kappa) and kappa < _DOUBTFUL_KAPPA:
        said.append(
            "Whether the same customers would get the same perk from other visits: decided from "
            f"every other visit, perks agree little beyond chance ({words.decimal(kappa)} of 1)."
        )
    return said

"""The report's section on what changed: who is offered another perk than last month, and why."""

from __future__ import annotations

from typing import Any

import pandas as pd

from traveltide_assets.campaign.invitations import CHANGES, MOVED
from traveltide_assets.experiment.assignment import CONTROL_OFFER
from traveltide_assets.report import words
from traveltide_assets.report.disclosure import FEWEST
from traveltide_assets.report.heat import HeatRow
from traveltide_assets.report.material import Material
from traveltide_assets.report.segment_words import called
from traveltide_assets.schema.months import shift

_MOST = 12


def context(m: Material) -> dict[str, Any]:
    """What the template shows: moves between perks with their reasons, and between segments."""
    compared = m.campaign["changes"]["compared_with"]
    return {
        "compared_with": None if compared is None else words.month_name(compared),
        "numbers": {}
        if compared is None
        else {kind: f"{m.campaign['changes'][kind]:,}" for kind in CHANGES},
        "moves": _moves(m),
        "migration": _migration(m),
    }


def _moves(m: Material) -> list[dict[str, str]]:
    """The largest moves from one offer to another, each with its reason."""
    moved = m.changes[m.changes["change"] == MOVED]
    sizes = moved.groupby(["perk_before", "perk", "reason"]).size()
    largest = sizes[sizes >= FEWEST].sort_values(ascending=False, kind="stable").head(_MOST)
    return [
        {
            "before": _title(m, str(before)),
            "now": _title(m, str(now)),
            "customers": f"{size:,}",
            "why": f"{str(reason)[:1].upper()}{str(reason)[1:]}",
        }
        for (before, now, reason), size in largest.items()
    ]


def _title(m: Material, offer: str) -> str:
    return "Control offer" if offer == CONTROL_OFFER else m.titles.get(offer, offer)


def _migration(m: Material) -> dict[str, Any] | None:
    """Where last month's customers of each segment are now; None if that month was not decided."""
    if m.before is None:
        return None
    both = m.before.merge(m.assignments, on="user_id", how="outer", suffixes=("_before", ""))
    before = both["segment_before"].map(called, na_action="ignore").fillna("New to the cohort")
    now = both["segment"].map(called, na_action="ignore").fillna("Left the cohort")
    table = pd.crosstab(before, now)
    shares = table.div(table.sum(axis=1), axis=0)
    stayed = both.dropna(subset=["segment", "segment_before"])
    return {
        "month": words.month_name(shift(m.month, -1)),
        "columns": list(table.columns),
        "rows": [
            HeatRow(
                name,
                tuple(
                    (f"{table.loc[name, column]:,}", float(shares.loc[name, column]))
                    for column in table.columns
                ),
            )
            for name in table.index
        ],
        "both": f"{len(stayed):,}",
        "same": words.percent(float((stayed["segment"] == stayed["segment_before"]).mean())),
    }

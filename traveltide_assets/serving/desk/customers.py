"""The page *Customers*: who they are, in sentences and in linked charts."""

from __future__ import annotations

from typing import Any

from traveltide_assets.report import phrases, words
from traveltide_assets.report.disclosure import FEWEST
from traveltide_assets.serving.desk import charts
from traveltide_assets.serving.desk.counts import Group, averages, by_dimension
from traveltide_assets.serving.desk.decision import Decision
from traveltide_assets.serving.desk.selection import Selection

_PERKS = 3


def context(decision: Decision, selection: Selection, month: str | None) -> dict[str, Any]:
    """What the template shows of the selected customers; `month` is that of the address."""
    others = {} if month is None else {"month": month}
    mask = selection.mask(decision)
    selected = int(mask.sum())
    enough = selected >= FEWEST
    return {
        "customers": len(decision.people),
        "selected": selected if enough else None,
        "share": phrases.share(selected / max(len(decision.people), 1)) if enough else None,
        "restricted": bool(selection.conditions),
        "fewest": FEWEST,
        "conditions": [
            {
                "says": said,
                "without": f"/customers?{selection.without(key).query(**others)}",
            }
            for (key, _), said in zip(selection.conditions, selection.words(decision), strict=True)
        ],
        "averages": averages(decision, mask) if enough else [],
        "charts": [
            {
                "key": dimension.key,
                "label": dimension.label,
                "spec": charts.groups(groups),
                "rows": [_row(selection, dimension.key, group, others) for group in groups],
            }
            for dimension, groups in by_dimension(decision, selection)
        ],
        "segments": segments(decision),
        "query": selection.query(**others),
        "clear": f"/customers?{Selection().query(**others)}",
    }


def _row(selection: Selection, key: str, group: Group, others: dict[str, str]) -> dict[str, Any]:
    return {
        "group": group,
        "share": words.NONE if group.share is None else phrases.share(group.share, 1),
        "whole": words.NONE if group.whole is None else phrases.share(group.whole, 1),
        "toggle": f"/customers?{selection.toggled(key, group.group).query(**others)}",
    }


def segments(decision: Decision) -> list[dict[str, Any]]:
    """Each segment of at least ten customers, largest first, with sentences about it."""
    given = decision.assignments
    sizes = given["segment"].value_counts()
    perks = given.value_counts(["segment", "perk"])
    told = decision.profiles.dropna(subset="place").sort_values("place")
    return [
        {
            "name": decision.says("segment", segment),
            "customers": f"{sizes[segment]:,}",
            "share": phrases.share(sizes[segment] / len(given)),
            "sentences": [
                phrases.of_segment(row.feature, row.mean, row.mean_of_all)
                for row in told[told["segment"] == segment].itertuples()
            ],
            "perks": words.listed([decision.title(p) for p in perks[segment].index[:_PERKS]]),
            "select": Selection.of([("segment", segment)]).query(),
        }
        for segment in decision.groups("segment")
        if sizes[segment] >= FEWEST
    ]

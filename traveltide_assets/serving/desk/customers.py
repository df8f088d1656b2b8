"""The page *Customers*: who they are, in sentences and in linked charts."""

from __future__ import annotations

import functools
from typing import Any

from traveltide_assets.report import phrases, segment_cards, words
from traveltide_assets.report.disclosure import FEWEST
from traveltide_assets.segmentation.affinities import profiles
from traveltide_assets.segmentation.scaling import standardised
from traveltide_assets.serving.desk import charts
from traveltide_assets.serving.desk.counts import Group, averages, by_dimension
from traveltide_assets.serving.desk.decision import Decision
from traveltide_assets.serving.desk.selection import Selection

_TRAITS = 3
_FOR_LIKENESS = 20_000


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


@functools.lru_cache(maxsize=2)
def segments(decision: Decision) -> list[dict[str, Any]]:
    """Each segment of at least ten customers, largest first, with sentences about it."""
    features, given = decision.features, decision.people["segment"]
    # How alike two features are needs no more customers than these.
    step = max(1, len(features) // _FOR_LIKENESS)
    alike = standardised(features.iloc[::step]).corr().abs()
    profile = profiles(features.reset_index(), given)
    everybody, means = decision.averages, decision.averages_by_segment
    sizes = given.value_counts()
    found = []
    for segment in decision.groups("segment"):
        if sizes[segment] < FEWEST:
            continue
        telling = segment_cards.telling(profile.loc[[segment]], alike, _TRAITS)
        perks = decision.people.loc[decision.people["segment"] == segment, "perk"].value_counts()
        found.append(
            {
                "name": decision.says("segment", segment),
                "customers": f"{sizes[segment]:,}",
                "share": phrases.share(sizes[segment] / len(given)),
                "sentences": [
                    phrases.of_segment(name, means.loc[segment, name], everybody[name])
                    for name in telling
                ],
                "perks": words.listed([decision.title(p) for p in perks.index[:_TRAITS]]),
                "select": Selection.of([("segment", segment)]).query(),
            }
        )
    return found

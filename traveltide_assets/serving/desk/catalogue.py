"""The page *Catalogue and rules*: perks and rule files as a marketer reads them."""

from __future__ import annotations

from typing import Any

from traveltide_assets.catalogue.perks import StoredPerk, load_perks
from traveltide_assets.catalogue.rule_conditions import Segment
from traveltide_assets.report import phrases, words
from traveltide_assets.report.disclosure import told
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.segmentation.rule_groups import RuleStrategy
from traveltide_assets.serving.desk.decision import Decision
from traveltide_assets.settings import Settings

_SIGNS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def context(decision: Decision, settings: Settings) -> dict[str, Any]:
    """What the template shows: the release's perks, and the rule files of this installation."""
    given = told(decision.assignments["perk"].value_counts().to_dict())
    return {
        "perks": [_perk(perk, given.get(perk.id, 0)) for perk in decision.perks.values()],
        "rules": _rules(decision, settings),
    }


def _perk(perk: StoredPerk, customers: int | None) -> dict[str, Any]:
    speaks = [LABELS[name] for name, weight in perk.features.items() if weight > 0]
    against = [LABELS[name] for name, weight in perk.features.items() if weight < 0]
    return {
        "id": perk.id,
        "title": perk.title,
        "audience": perk.audience,
        "headline": perk.headline,
        "speaks": words.listed(speaks) if speaks else None,
        "against": words.listed(against) if against else None,
        "customers": customers,
    }


def _rules(decision: Decision, settings: Settings) -> list[dict[str, Any]]:
    strategies = build_strategies(settings, load_perks(settings.perks_file))
    return [
        {
            "name": name,
            "title": strategy.title,
            "description": strategy.description,
            "decides": name == decision.strategy,
            "segments": [
                {
                    "name": segment.name,
                    "description": segment.description,
                    "perk": decision.title(segment.perk),
                    "conditions": _conditions(segment),
                    "joined": "any of these" if segment.any else "all of these",
                }
                for segment in strategy.segments
            ],
        }
        for name, strategy in strategies.items()
        if isinstance(strategy, RuleStrategy)
    ]


def _conditions(segment: Segment) -> list[str]:
    """The conditions of a segment in words; quantiles as shares of the cohort."""
    said = []
    for condition in segment.conditions:
        if condition.quantile is not None:
            label, sign = LABELS[condition.feature], condition.comparison
            above = sign.startswith(">")
            share = phrases.share(1 - condition.quantile if above else condition.quantile)
            said.append(f"{label}: among the {share} with the {'most' if above else 'least'}")
            continue
        text = condition.words
        for written, word in _SIGNS.items():
            text = text.replace(f" {written} ", f": {word} ")
        said.append(text)
    return said

"""Puts the report together: the month's frames in, one self-contained HTML page out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2

from traveltide_assets.evidence.config import LEARNED
from traveltide_assets.experiment import learned_policy
from traveltide_assets.report import (
    bars,
    campaign_section,
    changes_section,
    chapters,
    evidence_section,
    experiment_section,
    first_page,
    next_section,
    offers_section,
    page_pictures,
    prediction_section,
    quality_section,
    scorecard_section,
    segment_cards,
    verdicts,
    words,
)
from traveltide_assets.report.charts import svg
from traveltide_assets.report.material import Material
from traveltide_assets.report.scorecard_section import recommended, row_of
from traveltide_assets.transforms.cohort import describe

_TEMPLATES = Path(__file__).parent


def render(material: Material, explorer: str | None = None) -> str:
    """The report as one HTML page: no scripts, no requests, the same bytes for the same input.

    `explorer` is the SHA-256 of the explorer that lies beside it, if there is one.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": words.percent, "decimal": words.decimal, "svg": svg}
    return environment.get_template("report.html.j2").render(**context(material), explorer=explorer)


def context(material: Material) -> dict[str, Any]:
    """What the template shows, by the names it uses."""
    order = [name for name in material.strategies if name in set(material.scorecard["strategy"])]
    m = replace(
        material, scorecard=material.scorecard.set_index("strategy").loc[order].reset_index()
    )
    perks = {perk.id: perk for perk in m.perks}
    alpha = m.settings.evidence.alpha
    judged = verdicts.of_strategy(m.evidence, m.strategy, alpha)
    return {
        "notice": m.notice,
        "month": words.month_name(m.month),
        "month_id": m.month,
        "as_of": words.last_day(m.month),
        "evidence_months": m.settings.evidence.months,
        "alpha": words.percent(alpha, 1),
        "limit": words.decimal(alpha, 3),
        "cohort": describe(m.settings.cohort, m.month),
        "min_sessions": m.settings.cohort.min_sessions,
        "customers": len(m.assignments),
        "forbidden": quality_section.forbidden(m.settings.policy),
        "strategy": m.strategies[m.strategy],
        "strategy_id": m.strategy,
        "strategy_description": _description(m).rstrip("."),
        "because": str(m.choice["because"].iloc[0]),
        "chapters": chapters.of(m, judged),
        "first": first_page.context(m, judged),
        "changes": changes_section.context(m),
        "cards": segment_cards.build(m.features, m.assignments, perks, judged),
        "scorecard": scorecard_section.measures(m.scorecard),
        "short_scorecard": scorecard_section.telling(m.scorecard),
        "strategies": [m.strategies[name] for name in m.scorecard["strategy"]],
        "recommended": [m.strategies[name] for name in recommended(m.scorecard)],
        "same_perk": scorecard_section.agreement(m, "same_perk_share", words.percent),
        "same_groups": scorecard_section.agreement(m, "adjusted_rand_index", words.decimal),
        "cuts": evidence_section.cuts(m),
        "evidence": evidence_section.evidence(m),
        "signals": evidence_section.signals(m),
        "dbscan": scorecard_section.dbscan(m.dbscan),
        "pictures": page_pictures.pictures(m),
        "bars": bars.build(m.exploration),
        "quality": quality_section.quality(m.quality),
        "limits": quality_section.limits(m.settings.checks),
        "campaign": campaign_section.context(m.campaign, m.titles),
        "experiment": experiment_section.context(
            m.plan, m.readout, m.status, m.settings.experiment
        ),
        "offers": offers_section.context(m),
        "next": next_section.context(m),
        "prediction": prediction_section.context(m.card, m.titles, m.strategies),
    }


def _description(m: Material) -> str:
    if m.strategy == LEARNED:
        return learned_policy.DESCRIPTION
    return str(row_of(m.scorecard, m.strategy)["description"])

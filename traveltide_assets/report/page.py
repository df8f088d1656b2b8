"""Puts the report together: the month's frames in, one self-contained HTML page out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2

from traveltide_assets.report import (
    bars,
    campaign_section,
    evidence_section,
    experiment_section,
    pictures_section,
    plain_section,
    prediction_section,
    quality_section,
    scorecard_section,
    segment_cards,
    summary_section,
    verdicts,
    words,
)
from traveltide_assets.report.charts import svg
from traveltide_assets.report.material import Material
from traveltide_assets.report.scorecard_section import recommended, row_of
from traveltide_assets.transforms.cohort import describe

_TEMPLATES = Path(__file__).parent


def render(material: Material) -> str:
    """The report as one HTML page: no scripts, no requests, the same bytes for the same input."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": words.percent, "decimal": words.decimal, "svg": svg}
    return environment.get_template("report.html.j2").render(context(material))


def context(material: Material) -> dict[str, Any]:
    """What the template shows, by the names it uses."""
    order = [name for name in material.strategies if name in set(material.scorecard["strategy"])]
    m = replace(
        material, scorecard=material.scorecard.set_index("strategy").loc[order].reset_index()
    )
    perks = {perk.id: perk for perk in m.perks}
    judged = verdicts.of_strategy(m.evidence, m.strategy)
    return {
        "notice": m.notice,
        "month": words.month_name(m.month),
        "as_of": words.last_day(m.month),
        "evidence_months": m.settings.evidence.months,
        "alpha": words.percent(m.settings.evidence.alpha, 1),
        "cohort": describe(m.settings.cohort, m.month),
        "min_sessions": m.settings.cohort.min_sessions,
        "customers": len(m.assignments),
        "forbidden": summary_section.forbidden(m.settings.policy),
        "strategy": m.strategies[m.strategy],
        "strategy_id": m.strategy,
        "strategy_description": row_of(m.scorecard, m.strategy)["description"].rstrip("."),
        "perk_rows": summary_section.perk_rows(m, judged),
        "summary": summary_section.summary(m, judged),
        "cards": segment_cards.build(m.features, m.assignments, perks, judged),
        "scorecard": scorecard_section.measures(m.scorecard),
        "strategies": [m.strategies[name] for name in m.scorecard["strategy"]],
        "recommended": [m.strategies[name] for name in recommended(m.scorecard)],
        "same_perk": scorecard_section.agreement(m, "same_perk_share", words.percent),
        "same_groups": scorecard_section.agreement(m, "adjusted_rand_index", words.decimal),
        "cuts": evidence_section.cuts(m),
        "plain": plain_section.plain(m, judged),
        "evidence": evidence_section.evidence(m),
        "signals": evidence_section.signals(m),
        "dbscan": scorecard_section.dbscan(m.dbscan),
        "pictures": pictures_section.pictures(m),
        "migration": pictures_section.migration(m),
        "bars": bars.build(m.exploration),
        "quality": quality_section.quality(m.quality),
        "limits": quality_section.limits(m.settings.checks),
        "campaign": campaign_section.context(m.campaign, m.titles),
        "experiment": experiment_section.context(
            m.plan, m.readout, m.status, m.settings.experiment
        ),
        "prediction": prediction_section.context(m.card, m.titles, m.strategies),
    }

"""Puts the report together: the month's frames in, one self-contained HTML page out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.defs.config import Checks
from traveltide_assets.evidence.backtest import SUPPORTED
from traveltide_assets.prediction.card import Card
from traveltide_assets.report import (
    campaign,
    cards,
    charts,
    experiment,
    pictures,
    prediction,
    verdicts,
    words,
)
from traveltide_assets.report.verdicts import Verdict
from traveltide_assets.schema.months import shift
from traveltide_assets.segmentation.affinities import profiles
from traveltide_assets.segmentation.scaling import numeric, standardised
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.cohort import describe

_TEMPLATES = Path(__file__).parent
_PROFILE_FEATURES = 9


@dataclass(frozen=True)
class Material:
    """Everything the report is made of; frames as the lake's contracts describe them.

    `before` holds last month's segments of the deciding strategy, none if there are none. `places`
    are the k-means segments, for the picture. `quality` has a row per source table: `table`,
    `read`, `processed`, `quarantined` and `undated` rows. `campaign` is the campaign's manifest,
    `status` says what can be read of the experiment. `card` is none in a month without a model.
    """

    month: str
    settings: Settings
    perks: tuple[Perk, ...]
    features: pd.DataFrame
    assignments: pd.DataFrame
    before: pd.DataFrame | None
    places: pd.DataFrame
    diagnostics: pd.DataFrame
    scorecard: pd.DataFrame
    agreement: pd.DataFrame
    evidence: pd.DataFrame
    signals: pd.DataFrame
    dbscan: pd.DataFrame
    exploration: pd.DataFrame
    quality: pd.DataFrame
    campaign: Mapping[str, Any]
    plan: pd.DataFrame
    readout: pd.DataFrame
    status: str
    card: Card | None

    @property
    def strategy(self) -> str:
        """The strategy that decided."""
        return self.settings.strategy

    @property
    def titles(self) -> dict[str, str]:
        return {perk.id: perk.title for perk in self.perks}


@dataclass(frozen=True)
class PerkRow:
    """A perk of the deciding strategy: how many get it, and what the evidence says."""

    title: str
    customers: int
    share: str
    width: float
    verdict: Verdict


@dataclass(frozen=True)
class HeatRow:
    """A row of a table of shares: its name, and a text and a shade (0 to 1) per cell."""

    name: str
    cells: tuple[tuple[str, float], ...]


def render(material: Material) -> str:
    """The report as one HTML page: no scripts, no requests, the same bytes for the same input."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": words.percent, "decimal": words.decimal}
    return environment.get_template("report.html.j2").render(context(material))


def context(material: Material) -> dict[str, Any]:
    """What the template shows, by the names it uses."""
    order = [name for name in words.STRATEGIES if name in set(material.scorecard["strategy"])]
    m = replace(
        material, scorecard=material.scorecard.set_index("strategy").loc[order].reset_index()
    )
    perks = {perk.id: perk for perk in m.perks}
    judged = verdicts.of_strategy(m.evidence, m.strategy)
    cut = shift(m.month, -m.settings.evidence.months)
    return {
        "month": words.month_name(m.month),
        "as_of": words.last_day(m.month),
        "cut": words.last_day(cut),
        "evidence_months": m.settings.evidence.months,
        "alpha": words.percent(m.settings.evidence.alpha, 1),
        "cohort": describe(m.settings.cohort, m.month),
        "min_sessions": m.settings.cohort.min_sessions,
        "customers": len(m.assignments),
        "strategy": words.strategy(m.strategy),
        "strategy_id": m.strategy,
        "strategy_description": _row_of(m.scorecard, m.strategy)["description"].rstrip("."),
        "perk_rows": _perk_rows(m, judged),
        "summary": _summary(m, judged),
        "cards": cards.build(m.features, m.assignments, perks, judged),
        "scorecard": _scorecard(m.scorecard),
        "strategies": [words.strategy(name) for name in m.scorecard["strategy"]],
        "recommended": [words.strategy(name) for name in _recommended(m.scorecard)],
        "same_perk": _agreement(m, "same_perk_share", words.percent),
        "same_groups": _agreement(m, "adjusted_rand_index", words.decimal),
        "evidence": _evidence(m),
        "signals": _signals(m),
        "dbscan": _dbscan(m.dbscan),
        "pictures": _pictures(m),
        "migration": _migration(m),
        "charts": charts.build(m.exploration),
        "quality": _quality(m),
        "limits": _limits(m.settings.checks),
        "campaign": campaign.context(m.campaign, m.titles),
        "experiment": experiment.context(m.plan, m.readout, m.status, m.settings.experiment),
        "prediction": prediction.context(m.card, m.titles),
    }


def _row_of(scorecard: pd.DataFrame, strategy: str) -> pd.Series:
    return scorecard.set_index("strategy").loc[strategy]


def _recommended(scorecard: pd.DataFrame) -> list[str]:
    """The strategy that the scorecard recommends; empty where no perk is supported."""
    return list(scorecard.loc[scorecard["recommended"], "strategy"])


def _perk_rows(m: Material, judged: Mapping[str, Verdict]) -> list[PerkRow]:
    """The perks that customers have, or that the strategy would have given at the cut."""
    counts = m.assignments["perk"].value_counts()
    rows = [
        PerkRow(
            title=perk.title,
            customers=int(counts.get(perk.id, 0)),
            share=words.percent(counts.get(perk.id, 0) / max(len(m.assignments), 1)),
            width=float(100 * counts.get(perk.id, 0) / max(counts.max(), 1)),
            verdict=judged.get(perk.id, verdicts.not_tried()),
        )
        for perk in m.perks
        if perk.id in counts or perk.id in judged
    ]
    return sorted(rows, key=lambda row: -row.customers)


def _summary(m: Material, judged: Mapping[str, Verdict]) -> dict[str, Any]:
    """The executive summary's figures."""
    given = set(m.assignments["perk"])
    holding = verdicts.supported_by(m.evidence)
    supported = [perk for perk in given if perk in judged and judged[perk].supported]
    best = _recommended(m.scorecard)
    return {
        "given": len(given),
        "supported": len(supported),
        "supported_customers": int(m.assignments["perk"].isin(supported).sum()),
        "supported_anywhere": [m.titles[perk] for perk, names in holding.items() if names],
        "supported_nowhere": [m.titles[perk] for perk, names in holding.items() if not names],
        "untried": len(given - set(judged)),
        "best": _best(m, best[0]) if best else None,
        "best_decides": best == [m.strategy],
        "strategies": len(m.scorecard),
    }


def _best(m: Material, strategy: str) -> dict[str, Any]:
    row = _row_of(m.scorecard, strategy)
    return {
        "id": strategy,
        "name": words.strategy(strategy),
        "perks": words.listed(
            [f"{m.titles[p].lower()}: {lift} times" for p, lift in _supported_lifts(m, strategy)]
        ),
        "supported": int(row["supported_perks"]),
        "of": int((m.evidence["strategy"] == strategy).sum()),
        "share": words.percent(row["supported_share"]),
        "stability": words.decimal(row["stability_bootstrap"]),
        "shaky": row["stability_bootstrap"] < m.settings.checks.min_stability,
    }


def _supported_lifts(m: Material, strategy: str) -> list[tuple[str, str]]:
    rows = m.evidence[(m.evidence["strategy"] == strategy) & (m.evidence["verdict"] == SUPPORTED)]
    return [(row["perk"], words.decimal(row["lift"])) for _, row in rows.iterrows()]


_MEASURES: tuple[tuple[str, str, str, Any], ...] = (
    ("Customers with a perk", "of all active customers", "coverage", words.percent),
    ("Groups", "how many segments it makes", "segments", "{:.0f}".format),
    ("Smallest group", "of all customers", "smallest_share", words.percent),
    ("Largest group", "of all customers", "largest_share", words.percent),
    (
        "Separation",
        "silhouette over all features: 1 far apart, 0 touching, below 0 mixed up",
        "silhouette",
        words.decimal,
    ),
    ("Overlap", "Davies-Bouldin index: the lower, the less", "davies_bouldin", words.decimal),
    (
        "Same groups from other customers",
        "learnt anew from random draws of customers: 1 same groups, 0 no more than chance",
        "stability_bootstrap",
        words.decimal,
    ),
    (
        "Same groups in another run",
        "with another random start: 1 same groups, 0 no more than chance",
        "stability_seed",
        words.decimal,
    ),
    (
        "Stay in their group",
        "customers in the same group as last month",
        "persistence",
        words.percent,
    ),
    ("Perks given", "different perks", "perks", "{:.0f}".format),
    ("Perks supported", "by what customers did later", "supported_perks", "{:.0f}".format),
    (
        "Customers with a supported perk",
        "what the recommendation goes by",
        "supported_share",
        words.percent,
    ),
)


def _scorecard(scorecard: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """Name, explanation and a text per strategy, for each measure."""
    return [
        (name, meaning, [words.NONE if math.isnan(v) else shown(v) for v in scorecard[column]])
        for name, meaning, column, shown in _MEASURES
    ]


def _agreement(m: Material, measure: str, shown: Callable[[float], str]) -> list[HeatRow]:
    """A measure of agreement for each pair of strategies."""
    names = list(m.scorecard["strategy"])
    found = {
        frozenset(pair): float(value)
        for *pair, value in m.agreement[["strategy", "other", measure]].to_numpy()
    }

    def cell(one: str, other: str) -> tuple[str, float]:
        value = found.get(frozenset((one, other)), math.nan)
        return (words.NONE, 0.0) if math.isnan(value) else (shown(value), max(value, 0.0))

    return [
        HeatRow(words.strategy(one), tuple(cell(one, other) for other in names)) for one in names
    ]


def _evidence(m: Material) -> list[tuple[str, list[dict[str, Any]]]]:
    """Every strategy with its perks and their verdicts."""
    return [
        (words.strategy(name), _evidence_rows(m, name))
        for name in m.scorecard["strategy"]
        if (m.evidence["strategy"] == name).any()
    ]


def _evidence_rows(m: Material, strategy: str) -> list[dict[str, Any]]:
    judged = verdicts.of_strategy(m.evidence, strategy)
    return [
        {
            "perk": m.titles[row["perk"]],
            "customers": f"{row['customers']:,}",
            "outcome": words.OUTCOME_NAMES[row["outcome"]],
            "mean": words.outcome(row["outcome"], row["mean"]),
            "mean_others": words.outcome(row["outcome"], row["mean_others"]),
            "lift": words.decimal(row["lift"]),
            "interval": f"{words.decimal(row['lift_low'])} to {words.decimal(row['lift_high'])}",
            "activity": words.decimal(row["lift_by_activity"]),
            "chance": words.decimal(row["p_holm"], 3),
            "verdict": judged[row["perk"]],
        }
        for _, row in m.evidence[m.evidence["strategy"] == strategy].iterrows()
    ]


def _signals(m: Material) -> list[dict[str, str]]:
    return [
        {
            "perk": m.titles[row["perk"]],
            "customers": f"{row['strong_customers']:,}",
            "share": words.percent(row["strong_share"]),
            "twin": m.titles.get(row["most_redundant_with"], words.NONE),
            "correlation": words.decimal(row["rank_correlation"]),
        }
        for _, row in m.signals.iterrows()
    ]


def _dbscan(tried: pd.DataFrame) -> dict[str, Any]:
    return {
        "settings": len(tried),
        "one_cluster": int((tried["clusters"] <= 1).sum()),
        "rows": [
            {
                "min_samples": f"{row['min_samples']:.0f}",
                "eps": words.decimal(row["eps"]),
                "clusters": f"{row['clusters']:.0f}",
                "largest": words.percent(row["largest_share"]),
                "noise": words.percent(row["noise_share"]),
                "silhouette": words.decimal(row["silhouette"]),
            }
            for _, row in tried.iterrows()
        ],
    }


def _pictures(m: Material) -> dict[str, pictures.Picture]:
    deviations = standardised(numeric(m.features))
    segments = m.assignments.set_index("user_id")["segment"]
    profile = profiles(m.features, segments[m.features["user_id"]])
    telling = cards.telling(profile, deviations.corr().abs(), _PROFILE_FEATURES)
    return {
        "elbow": pictures.elbow(m.diagnostics),
        "scatter": pictures.scatter(m.places, segments[m.places["user_id"]], m.settings.seed),
        "profile": pictures.profile(profile[telling]),
        "lifts": pictures.lifts(m.evidence, m.titles),
        "seasons": pictures.seasons(charts.by_month(m.exploration)),
    }


def _migration(m: Material) -> dict[str, Any] | None:
    """Where last month's customers of each segment are now; none without a month before."""
    if m.before is None:
        return None
    both = m.before.merge(m.assignments, on="user_id", how="outer", suffixes=("_before", ""))
    before = both["segment_before"].fillna("new in the cohort")
    now = both["segment"].fillna("left the cohort")
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
        "both": len(stayed),
        "same": words.percent(float((stayed["segment"] == stayed["segment_before"]).mean())),
    }


def _quality(m: Material) -> list[dict[str, str]]:
    return [
        {
            "table": row["table"],
            "read": f"{row['read']:,}",
            "processed": f"{row['processed']:,}",
            "quarantined": f"{row['quarantined']:,}",
            "share": words.percent(row["quarantined"] / max(row["read"], 1), 2),
            "undated": f"{row['undated']:,}" if row["table"] == "sessions" else words.NONE,
        }
        for _, row in m.quality.iterrows()
    ]


def _limits(checks: Checks) -> list[tuple[str, str]]:
    """The limits of the checks that warn, with their meaning."""
    return [
        (field.description or name, f"{getattr(checks, name):g}")
        for name, field in type(checks).model_fields.items()
    ]

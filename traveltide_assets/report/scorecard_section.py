"""The report's section on the strategies: the scorecard, and how far they agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from traveltide_assets.report import words
from traveltide_assets.report.heat import HeatRow
from traveltide_assets.report.material import Material

_MEASURES: tuple[tuple[str, str, str, Any], ...] = (
    ("Customers with a perk", "of all active customers", "coverage", words.percent),
    ("Groups", "number of segments", "segments", "{:.0f}".format),
    ("Smallest group", "share of all customers", "smallest_share", words.percent),
    ("Largest group", "share of all customers", "largest_share", words.percent),
    (
        "Separation",
        "silhouette over all features: 1 well separated, 0 touching, below 0 mixed up",
        "silhouette",
        words.decimal,
    ),
    ("Overlap", "Davies-Bouldin index: lower means less", "davies_bouldin", words.decimal),
    (
        "Stability across samples",
        "refitted on bootstrap samples of customers: 1 the same groups, 0 no more than chance",
        "stability_bootstrap",
        words.decimal,
    ),
    (
        "Stability across seeds",
        "refitted with another random seed: 1 the same groups, 0 no more than chance",
        "stability_seed",
        words.decimal,
    ),
    (
        "Stay in their group",
        "share of customers in the same group as last month",
        "persistence",
        words.percent,
    ),
    (
        "Keep their perk",
        "share of customers with the same perk as last month",
        "perk_persistence",
        words.percent,
    ),
    (
        "Same group from other visits",
        "odd against even sessions of the same customers, adjusted Rand index: 1 the same groups, "
        "0 no more than chance",
        "reliability_ari",
        words.decimal,
    ),
    (
        "Same perk from other visits",
        "odd against even sessions, Cohen's kappa: 1 always the same perk, 0 no more than chance",
        "reliability_kappa",
        words.decimal,
    ),
    ("Perks given", "number of different perks", "perks", "{:.0f}".format),
    ("Perks supported", "by what customers did afterwards", "supported_perks", "{:.0f}".format),
    (
        "Perks contradicted",
        "customers given them did less of what they reward",
        "contradicted_perks",
        "{:.0f}".format,
    ),
    (
        "Customers with a supported perk",
        "by what customers given it did afterwards",
        "supported_share",
        words.percent,
    ),
    (
        "Customers with a contradicted perk",
        "those given it did less of it",
        "contradicted_share",
        words.percent,
    ),
    (
        "Another perk when it was tried",
        "share of customers to whom the back-test never gave today's perk",
        "untried_share",
        words.percent,
    ),
    (
        "Cost of the policy",
        "share of customers with a supported perk lost to features that may not be used",
        "policy_cost",
        words.percent,
    ),
    (
        "Worth",
        "share of customers with a supported perk, less where it is not steady or not the same "
        "from other visits: the basis of the recommendation",
        "worth",
        words.percent,
    ),
)

# The first measures that a reader wants to see.
_TELLING = (
    "Perks supported",
    "Customers with a supported perk",
    "Keep their perk",
    "Same perk from other visits",
    "Worth",
)


def row_of(scorecard: pd.DataFrame, strategy: str) -> pd.Series:
    return scorecard.set_index("strategy").loc[strategy]


def recommended(scorecard: pd.DataFrame) -> list[str]:
    """The strategy that the scorecard recommends; empty if no perk is supported."""
    return list(scorecard.loc[scorecard["recommended"], "strategy"])


def measures(scorecard: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """Name, explanation and a text per strategy, for each measure that any strategy has."""
    return [
        (name, meaning, [words.NONE if math.isnan(v) else shown(v) for v in scorecard[column]])
        for name, meaning, column, shown in _MEASURES
        if scorecard[column].notna().any()
    ]


def telling(scorecard: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """The measures that say what a strategy is worth."""
    return [measure for measure in measures(scorecard) if measure[0] in _TELLING]


def agreement(m: Material, measure: str, shown: Callable[[float], str]) -> list[HeatRow]:
    """A measure of agreement between each pair of strategies."""
    names = list(m.scorecard["strategy"])
    found = {
        frozenset(pair): float(value)
        for *pair, value in m.agreement[["strategy", "other", measure]].to_numpy()
    }

    def cell(one: str, other: str) -> tuple[str, float]:
        value = found.get(frozenset((one, other)), math.nan)
        return (words.NONE, 0.0) if math.isnan(value) else (shown(value), max(value, 0.0))

    return [HeatRow(m.strategies[one], tuple(cell(one, other) for other in names)) for one in names]


def dbscan(tried: pd.DataFrame) -> dict[str, Any]:
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

"""The report's charts, and who moved between the segments since last month."""

from __future__ import annotations

from typing import Any

import pandas as pd

from traveltide_assets.report import bars, charts, segment_cards, words
from traveltide_assets.report.charts import Chart
from traveltide_assets.report.heat import HeatRow
from traveltide_assets.report.material import Material
from traveltide_assets.schema.months import shift
from traveltide_assets.segmentation.affinities import profiles
from traveltide_assets.segmentation.scaling import numeric, standardised

_PROFILE_FEATURES = 9


def pictures(m: Material) -> dict[str, Chart]:
    deviations = standardised(numeric(m.features))
    segments = m.assignments.set_index("user_id")["segment"]
    profile = profiles(m.features, segments[m.features["user_id"]])
    telling = segment_cards.telling(profile, deviations.corr().abs(), _PROFILE_FEATURES)
    return {
        "elbow": charts.elbow(m.diagnostics),
        "scatter": charts.scatter(m.places, segments[m.places["user_id"]], m.settings.seed),
        "profile": charts.profile(profile[telling]),
        "lifts": charts.lifts(m.evidence, m.titles, m.strategies),
        "seasons": charts.seasons(bars.by_month(m.exploration)),
    }


def migration(m: Material) -> dict[str, Any] | None:
    """Where last month's customers of each segment are now; None if that month was not decided."""
    if m.before is None:
        return None
    both = m.before.merge(m.assignments, on="user_id", how="outer", suffixes=("_before", ""))
    before = both["segment_before"].fillna("new to the cohort")
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

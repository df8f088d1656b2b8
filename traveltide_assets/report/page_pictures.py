"""The report's charts of segments, evidence and seasons."""

from __future__ import annotations

import textwrap

from traveltide_assets.report import bars, charts, segment_cards
from traveltide_assets.report.charts import Chart
from traveltide_assets.report.material import Material
from traveltide_assets.report.segment_words import called
from traveltide_assets.segmentation.affinities import profiles
from traveltide_assets.segmentation.scaling import numeric, standardised

_PROFILE_FEATURES = 9
_LETTERS = 34


def pictures(m: Material) -> dict[str, Chart]:
    """Each chart by the name that the templates use."""
    deviations = standardised(numeric(m.features))
    segments = m.assignments.set_index("user_id")["segment"].map(_label)
    profile = profiles(m.features, segments[m.features["user_id"]])
    telling = segment_cards.telling(profile, deviations.corr().abs(), _PROFILE_FEATURES)
    return {
        "elbow": charts.elbow(m.diagnostics),
        "scatter": charts.scatter(m.places, segments[m.places["user_id"]], m.settings.seed),
        "profile": charts.profile(profile[telling]),
        "lifts": charts.lifts(m.evidence, m.titles, m.strategies),
        "seasons": charts.seasons(bars.by_month(m.exploration)),
    }


def _label(segment: str) -> str:
    """A segment's name in lines that a legend has room for."""
    return textwrap.fill(called(segment).removeprefix("Customers "), _LETTERS)

"""Checks of gold up to the perks: cohort, features, segments and assignments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import ibis
import numpy as np
import pandas as pd

from traveltide_assets.defs.checks.check import EXAMPLES, Check, Context, Outcome, Severity, Step
from traveltide_assets.evidence.config import LEARNED, RECOMMENDED
from traveltide_assets.evidence.decision import deciding
from traveltide_assets.evidence.drift import population_stability
from traveltide_assets.report import words
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation import kmeans
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.transforms.cohort import describe
from traveltide_assets.transforms.features.catalogue import CATALOGUE

_USERS = "gold/users_final"
_FEATURES = "gold/user_features"
_MODEL = "gold/kmeans_model"
_DIAGNOSTICS = "gold/kmeans_diagnostics"
_SEGMENTS = "gold/segments/kmeans"
_DECISION = "gold/strategy_decision"
_ASSIGNMENTS = "gold/perk_assignments"


def _month_before(path: str, context: Context) -> str | None:
    """The month before, or None if the lake does not have it."""
    before = previous_month(context.month)
    return before if before in context.lake.months(path) else None


def _cohort_is_large_enough(context: Context) -> Outcome:
    """K-means is tried with up to `kmeans.max_k` clusters, which takes more customers than that."""
    size = context.lake.rows(_USERS, context.month)
    needed = context.settings.kmeans.max_k + 1
    rule = describe(context.settings.cohort, context.month)
    facts: dict[str, object] = {"customers": size, "needed": needed, "cohort_rule": rule}
    if size < needed:
        facts["problem"] = (
            f"{size:,} customer{'' if size == 1 else 's'}, at least {needed:,} are needed to find "
            f"segments. The cohort is: {rule}. cohort.active_since and cohort.min_sessions set the "
            "rule, kmeans.max_k the number needed"
        )
    return Outcome(size >= needed, facts)


def _cohort_size_is_steady(context: Context) -> Outcome:
    before = _month_before(_USERS, context)
    earlier = context.lake.rows(_USERS, before) if before else 0
    if not earlier:
        return Outcome(True, {"compared_with": "no cohort in the month before"})
    size, limit = context.lake.rows(_USERS, context.month), context.settings.checks
    change = size / earlier - 1
    facts = {
        "problem": f"the cohort has {size:,} customers, {abs(change):.0%} "
        f"{'more' if change > 0 else 'fewer'} than the {earlier:,} of {before} "
        f"(checks.max_cohort_change allows {limit.max_cohort_change:.0%})",
        "customers": size,
        "customers_before": earlier,
        "change": change,
        "limit": limit.max_cohort_change,
    }
    return Outcome(abs(change) <= limit.max_cohort_change, facts)


def _one_row_per_customer(context: Context) -> Outcome:
    rows, cohort = (context.lake.rows(path, context.month) for path in (_FEATURES, _USERS))
    return Outcome(rows == cohort, {"rows": rows, "customers": cohort})


def _features_in_range(context: Context) -> Outcome:
    outside = out_of_range(context.lake.table(_FEATURES, [context.month]))
    return Outcome(not outside, {"rows_outside": outside})


def out_of_range(features: ibis.Table) -> dict[str, int]:
    """The number of rows outside the catalogue's range, for each feature that has such rows."""
    outside = {}
    for feature in CATALOGUE:
        if feature.type in ("int64", "float64"):
            values = features[feature.name].cast("float64")
            low = -np.inf if feature.minimum is None else float(feature.minimum)
            high = np.inf if feature.maximum is None else float(feature.maximum)
            outside[feature.name] = (~values.between(low, high)).sum().fill_null(0)
    (counts,) = features.agg(**outside).to_pyarrow().to_pylist()
    return {name: rows for name, rows in counts.items() if rows}


def _no_feature_drifts(context: Context) -> Outcome:
    lake, month, limit = context.lake, context.month, context.settings.checks.max_psi
    before = _month_before(_FEATURES, context)
    if not (before and lake.rows(_FEATURES, before) and lake.rows(_FEATURES, month)):
        return Outcome(True, {"compared_with": "no features in the month before"})
    earlier, now = (
        kmeans.sample(lake.table(_FEATURES, [each]), context.settings.kmeans, context.settings.seed)
        for each in (before, month)
    )
    index = population_stability(earlier, now).sort_values(ascending=False)
    drifted = {str(name): float(value) for name, value in index.items() if value > limit}
    most = [f"{LABELS.get(name, name)} ({value:.2f})" for name, value in drifted.items()]
    facts = {
        "problem": f"{words.counted(len(drifted), 'feature')} drifted since {before} by a "
        f"population stability index above {limit:g} (checks.max_psi), most of all "
        f"{words.listed(most[:EXAMPLES])}",
        "drifted": drifted,
        "highest_psi": float(index.iloc[0]),
        "limit": limit,
    }
    return Outcome(not drifted, facts)


def _segments_are_apart(context: Context) -> Outcome:
    tried = context.lake.frame(_DIAGNOSTICS, context.month)
    value = float(tried.loc[tried["chosen"], "silhouette"].iloc[0])
    limit = context.settings.checks.min_silhouette
    problem = (
        f"the segments of k-means overlap: their mean silhouette is {value:.2f}, where 1 is far "
        f"apart and 0 is not apart at all (checks.min_silhouette is {limit:g})"
    )
    return Outcome(value >= limit, {"problem": problem, "silhouette": value, "limit": limit})


def _no_segment_is_tiny(context: Context) -> Outcome:
    given = context.lake.frame(_SEGMENTS, context.month, ["segment"])["segment"]
    shares, limit = given.value_counts(normalize=True), context.settings.checks.min_segment_share
    smallest, segment = float(shares.min()), str(shares.idxmin())
    problem = (
        f"the segment {segment} of k-means has {smallest:.1%} of the customers "
        f"(checks.min_segment_share is {limit:.1%}): too few for a mailing of their own"
    )
    facts = {"problem": problem, "segment": segment, "share": smallest, "limit": limit}
    return Outcome(smallest >= limit, facts)


def _covers_the_cohort(path: str, context: Context) -> Outcome:
    size, rows = (context.lake.rows(each, context.month) for each in (_USERS, path))
    strategy = path.rpartition("/")[2]
    problem = f"the strategy {strategy} has a segment for {rows:,} of {size:,} customers" + (
        "" if rows else ": it had too little history to learn from, and cannot decide this month"
    )
    return Outcome(rows == size, {"problem": problem, "customers": size, "rows": rows})


def _by_the_decided_strategy(context: Context) -> Outcome:
    given = list(context.lake.frame(_ASSIGNMENTS, context.month, ["strategy"])["strategy"].unique())
    decides = context.settings.strategy
    if decides in (RECOMMENDED, LEARNED) and given != [LEARNED]:
        decides = deciding(context.lake.frame(_DECISION, context.month))
    return Outcome(given == [decides], {"decides": decides, "perks_by": given})


def _one_perk_each(context: Context) -> Outcome:
    assigned = context.lake.frame(_ASSIGNMENTS, context.month, ["user_id", "perk"])
    cohort = context.lake.frame(_USERS, context.month, ["user_id"])["user_id"]
    problems = perk_problems(assigned, cohort, [perk.id for perk in context.perks])
    return Outcome(not any(problems.values()), problems)


def perk_problems(
    assigned: pd.DataFrame, cohort: pd.Series, perks: Sequence[str]
) -> dict[str, int]:
    """Customers without a perk, with several, outside the cohort, or with an unknown perk."""
    given = assigned["user_id"]
    return {
        "customers_without_perk": int((~cohort.isin(given)).sum()),
        "customers_with_several": int(given.duplicated().sum()),
        "not_in_cohort": int((~given.isin(cohort)).sum()),
        "unknown_perks": int((~assigned["perk"].isin(perks)).sum()),
    }


def strategies(tables: Iterable[str]) -> Step:
    """The step of the segments of all strategies but k-means, which has its own step."""
    paths = tuple(path for path in tables if path.startswith("gold/segments/"))
    others = tuple(path for path in paths if path != _SEGMENTS)
    return Step(
        "strategy",
        others,
        tuple(
            Check(
                path,
                "coverage",
                "Every customer in the cohort is in a segment.",
                Severity.WARNING,
                partial(_covers_the_cohort, path),
            )
            for path in others
        ),
    )


STEPS = (
    Step(
        "cohort",
        (_USERS,),
        (
            Check(
                _USERS,
                "large_enough",
                "The cohort has more customers than `kmeans.max_k`, so that segments can be found.",
                Severity.ERROR,
                _cohort_is_large_enough,
                blocking=True,
            ),
            Check(
                _USERS,
                "size_change",
                "The cohort is about as large as in the month before.",
                Severity.WARNING,
                _cohort_size_is_steady,
            ),
        ),
    ),
    Step("flights_final_hotels_final", ("gold/flights_final", "gold/hotels_final")),
    Step(
        "feature",
        (_FEATURES,),
        (
            Check(
                _FEATURES,
                "one_row_per_customer",
                "The table has one row per customer in the cohort.",
                Severity.ERROR,
                _one_row_per_customer,
                blocking=True,
                after=(_USERS,),
            ),
            Check(
                _FEATURES,
                "accepted_range",
                "Every value is within the range in the feature catalogue.",
                Severity.ERROR,
                _features_in_range,
            ),
            Check(
                _FEATURES,
                "drift",
                "No feature has drifted since the month before, measured by the population "
                "stability index (PSI) on at most `kmeans.fit_rows` customers.",
                Severity.WARNING,
                _no_feature_drifts,
            ),
        ),
    ),
    Step(
        "kmeans_model",
        (_MODEL, _DIAGNOSTICS),
        (
            Check(
                _DIAGNOSTICS,
                "silhouette",
                "The segments are well separated.",
                Severity.WARNING,
                _segments_are_apart,
            ),
        ),
    ),
    Step(
        "kmeans_segments",
        (_SEGMENTS,),
        (
            Check(
                _SEGMENTS,
                "smallest_segment",
                "No segment is too small to target.",
                Severity.WARNING,
                _no_segment_is_tiny,
            ),
        ),
    ),
    Step(
        "perk",
        ("gold/decided_segments", _ASSIGNMENTS),
        (
            Check(
                _ASSIGNMENTS,
                "by_the_decided_strategy",
                "All perks are by the strategy that decides the month.",
                Severity.ERROR,
                _by_the_decided_strategy,
                blocking=True,
                after=(_DECISION,),
            ),
            Check(
                _ASSIGNMENTS,
                "exactly_one_perk",
                "Every customer in the cohort has exactly one perk of the catalogue. Nobody else "
                "has one.",
                Severity.ERROR,
                _one_perk_each,
                blocking=True,
                after=(_USERS,),
            ),
        ),
    ),
)

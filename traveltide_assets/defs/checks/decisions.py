"""Gold: the cohort, its features, the segments and the perks."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import ibis
import numpy as np
import pandas as pd

from traveltide_assets.contracts import Table
from traveltide_assets.defs.checks import contracts
from traveltide_assets.defs.checks.results import declare, report
from traveltide_assets.lake import Lake
from traveltide_assets.months import previous_month
from traveltide_assets.segmentation import kmeans
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.segmentation.stability import bootstrap_agreement, population_stability
from traveltide_assets.settings import STRATEGIES, Settings
from traveltide_assets.transforms.cohort import describe
from traveltide_assets.transforms.features import CATALOGUE

_Specs = list[dg.AssetCheckSpec]


def build(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> list[dg.AssetChecksDefinition]:
    """One step of checks per stage of the decision."""
    return [
        _cohort(tables, months),
        contracts.build(["sessions_final"], tables, months),
        contracts.build(["flights_final", "hotels_final"], tables, months),
        contracts.build(["trips_final"], tables, months),
        _features(tables, months),
        _model(tables, months),
        _segments(tables, months),
        contracts.build(["earlier_features", "perk_outcomes"], tables, months),
        _strategies(tables, months),
        contracts.build(["perk_evidence", "perk_signals", "dbscan_trial"], tables, months),
        contracts.build(["segmentation_scorecard", "strategy_agreement"], tables, months),
        contracts.build(["exploration"], tables, months),
        _perks(tables, months),
    ]


def _before(lake: Lake, table: Table, month: str) -> str | None:
    """The month before, if the lake has it."""
    before = previous_month(month)
    return before if before in lake.months(table.path) else None


def _cohort(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    users = tables["gold/users_final"]

    @dg.multi_asset_check(
        name="cohort_checks",
        specs=[
            *contracts.declarations([users], months),
            declare(users, "not_empty", "Somebody is in the cohort.", months, blocking=True),
            declare(users, "size_change", "The cohort is about as large as last month.", months),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        month = context.op_execution_context.partition_key
        yield from contracts.evaluate([users], lake, [month])
        size = lake.rows(users.path, month)
        rule = describe(settings.cohort, month)
        yield report(users, "not_empty", size > 0, {"customers": size, "cohort_rule": rule})
        yield _size_change(users, lake, month, size, settings.checks.max_cohort_change)

    return checks


def _size_change(
    users: Table, lake: Lake, month: str, size: int, limit: float
) -> dg.AssetCheckResult:
    before = _before(lake, users, month)
    earlier = lake.rows(users.path, before) if before else 0
    if not earlier:
        return report(
            users, "size_change", True, {"compared_with": "no cohort in the month before"}
        )
    change = size / earlier - 1
    return report(
        users,
        "size_change",
        abs(change) <= limit,
        {"customers": size, "customers_before": earlier, "change": change, "limit": limit},
        warn=True,
    )


def _features(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    features, users = tables["gold/user_features"], tables["gold/users_final"]

    @dg.multi_asset_check(
        name="feature_checks",
        specs=[
            *contracts.declarations([features], months),
            declare(
                features,
                "one_row_per_customer",
                "As many rows as customers in the cohort.",
                months,
                blocking=True,
                after=(users,),
            ),
            declare(features, "accepted_range", "Values lie in the catalogue's range.", months),
            declare(
                features,
                "drift",
                "Features of at most `kmeans.fit_rows` customers are distributed as last month's "
                "(PSI).",
                months,
            ),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        month = context.op_execution_context.partition_key
        yield from contracts.evaluate([features], lake, [month])
        rows, cohort = lake.rows(features.path, month), lake.rows(users.path, month)
        yield report(
            features,
            "one_row_per_customer",
            rows == cohort,
            {"rows": rows, "customers": cohort},
        )
        outside = out_of_range(lake.table(features.path, [month]))
        yield report(features, "accepted_range", not outside, {"rows_outside": outside})
        yield _drift(features, lake, month, settings)

    return checks


def out_of_range(features: ibis.Table) -> dict[str, int]:
    """Rows outside the catalogue's range, by feature; features without any are left out."""
    outside = {}
    for feature in CATALOGUE:
        if feature.type in ("int64", "float64"):
            values = features[feature.name].cast("float64")
            low = -np.inf if feature.minimum is None else float(feature.minimum)
            high = np.inf if feature.maximum is None else float(feature.maximum)
            outside[feature.name] = (~values.between(low, high)).sum().fill_null(0)
    (counts,) = features.agg(**outside).to_pyarrow().to_pylist()
    return {name: rows for name, rows in counts.items() if rows}


def _drift(features: Table, lake: Lake, month: str, settings: Settings) -> dg.AssetCheckResult:
    before, limit = _before(lake, features, month), settings.checks.max_psi
    if not (before and lake.rows(features.path, before) and lake.rows(features.path, month)):
        return report(features, "drift", True, {"compared_with": "no features in the month before"})
    earlier, now = (
        kmeans.sample(lake.table(features.path, [each]), settings.kmeans)
        for each in (before, month)
    )
    index = population_stability(earlier, now).sort_values(ascending=False)
    drifted = {str(name): float(value) for name, value in index.items() if value > limit}
    return report(
        features,
        "drift",
        not drifted,
        {"drifted": drifted, "highest_psi": float(index.iloc[0]), "limit": limit},
        warn=True,
    )


def _model(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    model, tried = tables["gold/kmeans_model"], tables["gold/kmeans_diagnostics"]
    features = tables["gold/user_features"]

    @dg.multi_asset_check(
        name="kmeans_model_checks",
        specs=[
            *contracts.declarations([model, tried], months),
            declare(tried, "silhouette", "The segments are apart from each other.", months),
            declare(
                model,
                "stability",
                "Refits on other draws of at most `kmeans.fit_rows` customers find the same "
                "segments (ARI).",
                months,
                after=(features,),
            ),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        month, limits = context.op_execution_context.partition_key, settings.checks
        yield from contracts.evaluate([model, tried], lake, [month])
        yield _silhouette(tried, lake.frame(tried.path, month), limits.min_silhouette)
        agreement = bootstrap_agreement(
            kmeans.Model.from_frame(lake.frame(model.path, month)),
            kmeans.sample(lake.table(features.path, [month]), settings.kmeans),
            settings.kmeans.seed,
            limits.bootstraps,
        )
        yield report(
            model,
            "stability",
            agreement.mean() >= limits.min_stability,
            {
                "mean_adjusted_rand_index": float(agreement.mean()),
                "lowest": float(agreement.min()),
                "refits": len(agreement),
                "limit": limits.min_stability,
            },
            warn=True,
        )

    return checks


def _silhouette(tried: Table, diagnostics: pd.DataFrame, limit: float) -> dg.AssetCheckResult:
    value = float(diagnostics.loc[diagnostics["chosen"], "silhouette"].iloc[0])
    return report(
        tried, "silhouette", value >= limit, {"silhouette": value, "limit": limit}, warn=True
    )


def _segments(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    segments = tables["gold/segments/kmeans"]

    @dg.multi_asset_check(
        name="kmeans_segments_checks",
        specs=[
            *contracts.declarations([segments], months),
            declare(segments, "smallest_segment", "No segment is too small to address.", months),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.AssetCheckResult]:
        month, limit = context.op_execution_context.partition_key, settings.checks.min_segment_share
        yield from contracts.evaluate([segments], lake, [month])
        given = lake.frame(segments.path, month, ["segment"])["segment"]
        shares = given.value_counts(normalize=True)
        yield report(
            segments,
            "smallest_segment",
            shares.min() >= limit,
            {"segment": str(shares.idxmin()), "share": float(shares.min()), "limit": limit},
            warn=True,
        )

    return checks


def _strategies(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    users = tables["gold/users_final"]
    segments = [tables[f"gold/segments/{name}"] for name in STRATEGIES if name != "kmeans"]

    @dg.multi_asset_check(
        name="strategy_checks",
        specs=[
            *contracts.declarations(segments, months),
            *(
                declare(table, "coverage", "Every customer is in one segment.", months)
                for table in segments
            ),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
    ) -> Iterator[dg.AssetCheckResult]:
        month = context.op_execution_context.partition_key
        yield from contracts.evaluate(segments, lake, [month])
        size = lake.rows(users.path, month)
        for table in segments:
            rows = lake.rows(table.path, month)
            metadata = {"customers": size, "rows": rows}
            yield report(table, "coverage", rows == size, metadata, warn=True)

    return checks


def _perks(
    tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    assignments, users = tables["gold/perk_assignments"], tables["gold/users_final"]

    @dg.multi_asset_check(
        name="perk_checks",
        specs=[
            *contracts.declarations([assignments], months),
            declare(
                assignments,
                "exactly_one_perk",
                "Every customer of the cohort has one perk of the catalogue, and nobody else has.",
                months,
                blocking=True,
                after=(users,),
            ),
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    ) -> Iterator[dg.AssetCheckResult]:
        month = context.op_execution_context.partition_key
        yield from contracts.evaluate([assignments], lake, [month])
        assigned = lake.frame(assignments.path, month, ["user_id", "perk"])
        cohort = lake.frame(users.path, month, ["user_id"])["user_id"]
        problems = perk_problems(assigned, cohort, [perk.id for perk in perk_catalogue])
        yield report(assignments, "exactly_one_perk", not any(problems.values()), problems)

    return checks


def perk_problems(
    assigned: pd.DataFrame, cohort: pd.Series, perks: Sequence[str]
) -> dict[str, int]:
    """Customers without a perk, with several, outside the cohort, or with a perk nobody knows."""
    given = assigned["user_id"]
    return {
        "customers_without_perk": int((~cohort.isin(given)).sum()),
        "customers_with_several": int(given.duplicated().sum()),
        "not_in_cohort": int((~given.isin(cohort)).sum()),
        "unknown_perks": int((~assigned["perk"].isin(perks)).sum()),
    }

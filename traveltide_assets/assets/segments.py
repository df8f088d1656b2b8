"""Segments: one asset per strategy, each giving every customer a segment and a perk."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.assets.describe import picture, preview
from traveltide_assets.partitions import MONTHLY, PREVIOUS
from traveltide_assets.report import charts
from traveltide_assets.segmentation import kmeans, kmeans_wide, perks
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.segmentation.propensity import TooLittleHistory
from traveltide_assets.segmentation.strategies import build_strategies
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.settings import Settings

_KINDS = {"scikitlearn", "pandas"}


def _out(name: str) -> dg.AssetOut:
    return dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds=_KINDS)


@dg.multi_asset(
    name="kmeans",
    outs={"model": _out("kmeans_model"), "diagnostics": _out("kmeans_diagnostics")},
    ins={
        "features": dg.AssetIn(["gold", "user_features"]),
        "previous": dg.AssetIn(
            ["gold", "kmeans_model"], partition_mapping=PREVIOUS, metadata={"optional": True}
        ),
    },
    partitions_def=MONTHLY,
)
def kmeans_model(
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    features: ibis.Table,
    previous: pd.DataFrame | None,
) -> Iterator[Any]:
    customers = kmeans.sample(features, settings.kmeans)
    before = None if previous is None else kmeans.Model.from_frame(previous)
    classic = perks.of_program(perk_catalogue, "classic")
    model = kmeans.fit(customers, settings.kmeans, classic, before)
    diagnostics = kmeans.diagnose(customers, model, settings.kmeans)
    yield dg.Output(
        model.to_frame(),
        output_name="model",
        metadata={
            "model_version": model.version,
            "customers_fitted_on": len(customers),
            "correlations": picture(charts.correlations(customers[list(model.features)])),
        },
    )
    yield dg.Output(
        diagnostics,
        output_name="diagnostics",
        metadata={
            "elbow": picture(charts.elbow(diagnostics)),
            "table": preview(diagnostics, rows=len(diagnostics)),
        },
    )


@dg.asset(
    name="kmeans",
    key_prefix=["gold", "segments"],
    kinds=_KINDS,
    partitions_def=MONTHLY,
    ins={
        "features": dg.AssetIn(["gold", "user_features"]),
        "model": dg.AssetIn(["gold", "kmeans_model"]),
    },
)
def kmeans_segments(
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    features: ibis.Table,
    model: pd.DataFrame,
) -> dg.MaterializeResult[ibis.Table]:
    fitted = kmeans.Model.from_frame(model)
    sample = kmeans.sample(features, settings.kmeans)
    customers = kmeans.segment(features, fitted, perk_catalogue, sample)
    shown = kmeans.sample(customers, settings.kmeans)
    profile = perks.profiles(sample, shown["segment"])[list(fitted.features)]
    scatter = charts.scatter(shown, shown["segment"], settings.kmeans.seed)
    return dg.MaterializeResult(
        value=customers,
        metadata={
            "customers_by_segment": picture(scatter),
            "segment_profiles": picture(charts.profile(profile)),
            "sizes": preview(_sizes(customers), rows=len(profile)),
        },
    )


def _by_strategy(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        key_prefix=["gold", "segments"],
        kinds={"pandas"},
        partitions_def=MONTHLY,
        ins={"features": dg.AssetIn(["gold", "user_features"])},
    )
    def segments(
        settings: dg.ResourceParam[Settings],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        features: pd.DataFrame,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        strategy = build_strategies(settings, perk_catalogue)[name]
        return _result(strategy.fit(History(features)).assign(features))

    return segments


hierarchical_segments = _by_strategy("hierarchical")
persona_segments = _by_strategy("personas")
affinity_segments = _by_strategy("perk_affinity")
wide_segments = _by_strategy("kmeans_wide")


@dg.asset(
    name="propensity",
    key_prefix=["gold", "segments"],
    kinds=_KINDS,
    partitions_def=MONTHLY,
    ins={
        "features": dg.AssetIn(["gold", "user_features"]),
        "earlier": dg.AssetIn(["gold", "earlier_features"]),
        "outcomes": dg.AssetIn(["gold", "perk_outcomes"]),
    },
)
def propensity_segments(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    features: pd.DataFrame,
    earlier: pd.DataFrame,
    outcomes: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    strategy = build_strategies(settings, perk_catalogue)["propensity"]
    try:
        fitted = strategy.fit(History(features, earlier, outcomes))
    except TooLittleHistory as problem:
        # In the first months there is no past to learn from; the other strategies go on.
        context.log.warning(f"propensity assigns nobody: {problem}")
        return dg.MaterializeResult(value=pd.DataFrame(columns=list(ASSIGNMENT)))
    return _result(fitted.assign(features))


@dg.asset(
    key_prefix="gold",
    kinds=_KINDS,
    partitions_def=MONTHLY,
    ins={"features": dg.AssetIn(["gold", "user_features"])},
)
def dbscan_trial(
    settings: dg.ResourceParam[Settings], features: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    tried = kmeans_wide.try_dbscan(features, settings.kmeans.seed)
    return dg.MaterializeResult(value=tried, metadata={"tried": preview(tried, rows=len(tried))})


def _result(customers: pd.DataFrame) -> dg.MaterializeResult[pd.DataFrame]:
    sizes = customers.groupby(["segment", "perk"]).size().rename("customers").reset_index()
    ordered = sizes.sort_values("customers", ascending=False)
    return dg.MaterializeResult(
        value=customers,
        metadata={"sizes": preview(ordered, rows=len(ordered))},
    )


def _sizes(customers: ibis.Table) -> pd.DataFrame:
    sizes = customers.group_by("segment", "perk", "reason").agg(customers=customers.count())
    found = sizes.to_pyarrow().to_pandas()
    return found.sort_values(["customers", "segment"], ascending=[False, True])

"""The segments: one asset per strategy, which gives every customer a segment and a perk."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, of_program
from traveltide_assets.defs.assets.inputs import PERKS, decided_by
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.io_manager import OPTIONAL
from traveltide_assets.defs.partitions import MONTHLY, PREVIOUS
from traveltide_assets.report import charts
from traveltide_assets.segmentation import affinities, cluster_model, kmeans, kmeans_wide
from traveltide_assets.segmentation.cluster_model import Model
from traveltide_assets.segmentation.strategy import ASSIGNMENT, CannotFit, History, Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.stats.side_by_side import Processes

_KINDS = {"scikitlearn", "pandas"}


def build(strategies: Mapping[str, Strategy]) -> list[dg.AssetsDefinition]:
    """The cluster model, the segments of every strategy, and a trial of DBSCAN."""
    others = [_segments(strategy) for name, strategy in strategies.items() if name != "kmeans"]
    return [kmeans_model, kmeans_segments, *others, dbscan_trial]


def _out(name: str) -> dg.AssetOut:
    return dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds=_KINDS)


@dg.multi_asset(
    name="kmeans",
    outs={"model": _out("kmeans_model"), "diagnostics": _out("kmeans_diagnostics")},
    ins={
        "features": dg.AssetIn(["gold", "user_features"]),
        "previous": dg.AssetIn(
            ["gold", "kmeans_model"], partition_mapping=PREVIOUS, metadata=OPTIONAL
        ),
    },
    deps=[PERKS],
    partitions_def=MONTHLY,
)
def kmeans_model(
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    features: ibis.Table,
    previous: pd.DataFrame | None,
) -> Iterator[Any]:
    customers = kmeans.sample(features, settings.kmeans, settings.seed)
    before = None if previous is None else Model.from_frame(previous)
    classic = of_program(perk_catalogue, "classic")
    model = kmeans.fit(customers, settings.kmeans, settings.seed, classic, before)
    diagnostics = kmeans.diagnose(customers, model, settings.kmeans, settings.seed)
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
    deps=[PERKS],
)
def kmeans_segments(
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    features: ibis.Table,
    model: pd.DataFrame,
) -> dg.MaterializeResult[ibis.Table]:
    fitted = Model.from_frame(model)
    sample = kmeans.sample(features, settings.kmeans, settings.seed)
    customers = cluster_model.segment(features, fitted, perk_catalogue, sample)
    shown = kmeans.sample(customers, settings.kmeans, settings.seed)
    profile = affinities.profiles(sample, shown["segment"])[list(fitted.features)]
    scatter = charts.scatter(shown, shown["segment"], settings.seed)
    return dg.MaterializeResult(
        value=customers,
        metadata={
            "customers_by_segment": picture(scatter),
            "segment_profiles": picture(charts.profile(profile)),
            "sizes": preview(_sizes(customers), rows=len(profile)),
        },
    )


def _segments(strategy: Strategy) -> dg.AssetsDefinition:
    """The asset of a strategy that is fitted and applied in one step."""
    history = {"features": "user_features", "mailed": "mailed_customers"}
    if strategy.learns_from_outcomes:
        history |= {"earlier": "earlier_features", "outcomes": "perk_outcomes"}

    @dg.asset(
        name=strategy.name,
        key_prefix=["gold", "segments"],
        kinds={"pandas"},
        partitions_def=MONTHLY,
        ins={name: dg.AssetIn(["gold", table]) for name, table in history.items()},
        deps=decided_by([strategy.name]),
    )
    def segments(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        features: pd.DataFrame,
        mailed: pd.DataFrame,
        **past: pd.DataFrame,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        known = History(features, **past, mailed=mailed["user_id"])
        try:
            customers = strategy.fit(known).assign(features)
        except CannotFit as problem:
            if strategy.name == settings.strategy and not strategy.learns_from_outcomes:
                raise
            # In the first months there is no past to learn from, and few customers may be fewer
            # than the clusters of a published work. The other strategies continue.
            context.log.warning(f"{strategy.name} assigns no perks: {problem}")
            columns = [*ASSIGNMENT, *(column.name for column in strategy.extra_columns)]
            customers = pd.DataFrame(columns=columns)
        sizes = customers.groupby(["segment", "perk"]).size().rename("customers").reset_index()
        ordered = sizes.sort_values("customers", ascending=False)
        metadata = {"sizes": preview(ordered, rows=len(ordered))}
        return dg.MaterializeResult(value=customers, metadata=metadata)

    return segments


@dg.asset(
    key_prefix="gold",
    kinds=_KINDS,
    partitions_def=MONTHLY,
    ins={"features": dg.AssetIn(["gold", "user_features"])},
)
def dbscan_trial(
    settings: dg.ResourceParam[Settings],
    processes: dg.ResourceParam[Processes],
    features: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    tried = kmeans_wide.try_dbscan(features, settings.seed, processes)
    return dg.MaterializeResult(value=tried, metadata={"tried": preview(tried, rows=len(tried))})


def _sizes(customers: ibis.Table) -> pd.DataFrame:
    sizes = customers.group_by("segment", "perk", "reason").agg(customers=customers.count())
    found = sizes.to_pyarrow().to_pandas()
    return found.sort_values(["customers", "segment"], ascending=[False, True])

"""Does the data support it? Every strategy on one yardstick, every perk tried on what followed."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from traveltide_assets.assets.describe import picture, preview
from traveltide_assets.lake import Lake
from traveltide_assets.months import previous_month
from traveltide_assets.partitions import MONTHLY
from traveltide_assets.report import charts
from traveltide_assets.segmentation import evidence, scorecard
from traveltide_assets.segmentation.perks import Perk, titles
from traveltide_assets.segmentation.strategies import build_strategies
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import STRATEGIES, Settings

_SEGMENTS: dict[str, dg.AssetIn] = {
    name: dg.AssetIn(["gold", "segments", name]) for name in STRATEGIES
}
_PAST = {
    "earlier": dg.AssetIn(["gold", "earlier_features"]),
    "later": dg.AssetIn(["gold", "perk_outcomes"]),
}


@dg.asset(key_prefix="gold", kinds={"scikitlearn"}, partitions_def=MONTHLY, ins=_PAST)
def perk_evidence(
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    earlier: pd.DataFrame,
    later: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    trial = evidence.Trial.prepare(earlier, later, settings.evidence, settings.kmeans.seed)
    assigned = {
        name: evidence.assign_from_past(strategy, trial)
        for name, strategy in build_strategies(settings, perk_catalogue).items()
    }
    judged = evidence.judge(assigned, trial, perk_catalogue)
    return dg.MaterializeResult(
        value=judged,
        metadata={
            "lifts": picture(charts.lifts(judged, titles(perk_catalogue))),
            "verdicts": preview(judged, rows=len(judged)),
        },
    )


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={"features": dg.AssetIn(["gold", "user_features"])},
)
def perk_signals(
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]], features: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    signals = evidence.perk_signals(features, perk_catalogue)
    return dg.MaterializeResult(
        value=signals, metadata={"signals": preview(signals, rows=len(signals))}
    )


@dg.multi_asset(
    name="scorecard",
    outs={
        name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"scikitlearn"})
        for name in ("segmentation_scorecard", "strategy_agreement")
    },
    ins={
        "features": dg.AssetIn(["gold", "user_features"]),
        "judged": dg.AssetIn(["gold", "perk_evidence"]),
        **_PAST,
        **_SEGMENTS,
    },
    partitions_def=MONTHLY,
)
def segmentation_scorecard(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    lake: dg.ResourceParam[Lake],
    features: pd.DataFrame,
    judged: pd.DataFrame,
    earlier: pd.DataFrame,
    later: pd.DataFrame,
    kmeans: pd.DataFrame,
    kmeans_wide: pd.DataFrame,
    hierarchical: pd.DataFrame,
    personas: pd.DataFrame,
    perk_affinity: pd.DataFrame,
    propensity: pd.DataFrame,
) -> Iterator[Any]:
    frames = (kmeans, kmeans_wide, hierarchical, personas, perk_affinity, propensity)
    assigned = dict(zip(STRATEGIES, frames, strict=True))
    before = previous_month(context.partition_key)
    table = scorecard.score(
        list(build_strategies(settings, perk_catalogue).values()),
        assigned,
        {name: lake.stored_frame(f"gold/segments/{name}", before) for name in STRATEGIES},
        History(features, earlier, later),
        judged,
        settings.kmeans.seed,
        settings.evidence.refits,
    )
    agreement = scorecard.agreement(assigned)
    yield dg.Output(
        table,
        output_name="segmentation_scorecard",
        metadata={"scorecard": preview(table.drop(columns="description"), rows=len(table))},
    )
    yield dg.Output(
        agreement,
        output_name="strategy_agreement",
        metadata={"agreement": picture(charts.agreement(agreement))},
    )

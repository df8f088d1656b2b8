"""The evidence: every perk back-tested, every strategy scored on the same customers."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, titles
from traveltide_assets.defs.assets.inputs import PERKS, decided_by
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.partitions import AND_PREVIOUS, MONTHLY
from traveltide_assets.evidence import backtest, scorecard
from traveltide_assets.lake.lake import Months
from traveltide_assets.report import charts
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation.strategy import History, Strategy
from traveltide_assets.settings import Settings

_PAST = {
    "earlier": dg.AssetIn(["gold", "earlier_features"]),
    "later": dg.AssetIn(["gold", "perk_outcomes"]),
}


def build(strategies: Mapping[str, Strategy]) -> list[dg.AssetsDefinition]:
    """The back-test and the scorecard of all strategies, and the signals of the perks."""
    return [_perk_evidence(strategies), perk_signals, _scorecard(strategies)]


def _perk_evidence(strategies: Mapping[str, Strategy]) -> dg.AssetsDefinition:
    named = {name: strategy.title for name, strategy in strategies.items()}

    @dg.asset(
        key_prefix="gold",
        kinds={"scikitlearn"},
        partitions_def=MONTHLY,
        ins=_PAST,
        deps=decided_by(strategies),
    )
    def perk_evidence(
        settings: dg.ResourceParam[Settings],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        earlier: pd.DataFrame,
        later: pd.DataFrame,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        judged = backtest.run(
            strategies, earlier, later, perk_catalogue, settings.evidence, settings.seed
        )
        return dg.MaterializeResult(
            value=judged,
            metadata={
                "lifts": picture(charts.lifts(judged, titles(perk_catalogue), named)),
                "verdicts": preview(judged, rows=len(judged)),
            },
        )

    return perk_evidence


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={"features": dg.AssetIn(["gold", "user_features"])},
    deps=[PERKS],
)
def perk_signals(
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]], features: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    signals = backtest.perk_signals(features, perk_catalogue)
    return dg.MaterializeResult(
        value=signals, metadata={"signals": preview(signals, rows=len(signals))}
    )


def _scorecard(strategies: Mapping[str, Strategy]) -> dg.AssetsDefinition:
    segments = {f"segments_{name}": name for name in strategies}
    named = {name: strategy.title for name, strategy in strategies.items()}

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
            **{
                name: dg.AssetIn(
                    ["gold", "segments", strategy],
                    partition_mapping=AND_PREVIOUS,
                    dagster_type=Months,
                )
                for name, strategy in segments.items()
            },
        },
        deps=decided_by(strategies),
        partitions_def=MONTHLY,
    )
    def segmentation_scorecard(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        features: pd.DataFrame,
        judged: pd.DataFrame,
        earlier: pd.DataFrame,
        later: pd.DataFrame,
        **stored: Months,
    ) -> Iterator[Any]:
        month, before = context.partition_key, previous_month(context.partition_key)
        # In the order of the strategies, since Dagster does not guarantee the order of inputs.
        assigned = {strategy: stored[name][month] for name, strategy in segments.items()}
        table = scorecard.score(
            list(strategies.values()),
            assigned,
            {strategy: stored[name].get(before) for name, strategy in segments.items()},
            History(features, earlier, later),
            judged,
            settings.seed,
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
            metadata={"agreement": picture(charts.agreement(agreement, named))},
        )

    return segmentation_scorecard

"""The evidence: every perk back-tested, every strategy scored, and which of them decides."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, titles
from traveltide_assets.defs.assets.inputs import PERKS, decided_by
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.learned import in_service
from traveltide_assets.defs.partitions import ALL_BEFORE, AND_PREVIOUS, MONTHLY
from traveltide_assets.evidence import backtest, decision, scorecard, signals
from traveltide_assets.evidence.config import LEARNED
from traveltide_assets.evidence.policy_cost import policy_costs
from traveltide_assets.evidence.trial import Past
from traveltide_assets.experiment import learned_policy
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.report import charts
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation.strategy import History, Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.stats.side_by_side import Processes
from traveltide_assets.transforms import cuts

_LATEST = {
    "earlier": dg.AssetIn(["gold", "earlier_features"]),
    "later": dg.AssetIn(["gold", "perk_outcomes"]),
}
_BEFORE = {
    "cut_features": dg.AssetIn(["gold", "cut_features"]),
    "cut_outcomes": dg.AssetIn(["gold", "cut_outcomes"]),
}


def build(
    strategies: Mapping[str, Strategy], free: Mapping[str, Strategy]
) -> list[dg.AssetsDefinition]:
    """The back-test, the scorecard and the decision between strategies, and the perks' signals.

    `free` are the strategies as they would be if no feature were forbidden. They decide nothing.
    """
    return [_perk_evidence(strategies), perk_signals, _scorecard(strategies, free)]


def _out(name: str) -> dg.AssetOut:
    return dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"scikitlearn"})


def _perk_evidence(strategies: Mapping[str, Strategy]) -> dg.AssetsDefinition:
    named = {name: strategy.title for name, strategy in strategies.items()}

    @dg.multi_asset(
        name="back_test",
        outs={
            name: _out(name) for name in ("perk_evidence", "perk_evidence_by_cut", "perks_tried")
        },
        ins=_LATEST | _BEFORE,
        deps=decided_by(strategies),
        partitions_def=MONTHLY,
    )
    def perk_evidence(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        processes: dg.ResourceParam[Processes],
        earlier: pd.DataFrame,
        later: pd.DataFrame,
        cut_features: pd.DataFrame,
        cut_outcomes: pd.DataFrame,
    ) -> Iterator[Any]:
        latest = cuts.latest(context.partition_key, settings.evidence.months)
        pasts = [
            Past(latest, earlier, later),
            *(
                Past(cut, *(_at(cut, frame) for frame in (cut_features, cut_outcomes)))
                for cut in sorted(cut_features["cut"].unique(), reverse=True)
            ),
        ]
        judged = backtest.run(
            strategies, pasts, perk_catalogue, settings.evidence, settings.seed, processes
        )
        yield dg.Output(
            judged.pooled,
            output_name="perk_evidence",
            metadata={
                "lifts": picture(charts.lifts(judged.pooled, titles(perk_catalogue), named)),
                "verdicts": preview(judged.pooled, rows=len(judged.pooled)),
                "cuts_after": [past.cut for past in pasts if len(past.earlier)],
                "cuts_asked_for": settings.evidence.cuts,
            },
        )
        yield dg.Output(
            judged.by_cut,
            output_name="perk_evidence_by_cut",
            metadata={"cuts": preview(judged.by_cut, rows=len(judged.by_cut))},
        )
        yield dg.Output(judged.tried, output_name="perks_tried")

    return perk_evidence


def _at(cut: str, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["cut"] == cut].drop(columns="cut")


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
    found = signals.perk_signals(features, perk_catalogue)
    return dg.MaterializeResult(value=found, metadata={"signals": preview(found, rows=len(found))})


def _scorecard(
    strategies: Mapping[str, Strategy], free: Mapping[str, Strategy]
) -> dg.AssetsDefinition:
    segments = {f"segments_{name}": name for name in strategies}
    named = {name: strategy.title for name, strategy in strategies.items()}

    @dg.multi_asset(
        name="scorecard",
        outs={
            name: _out(name)
            for name in ("segmentation_scorecard", "strategy_agreement", "strategy_decision")
        },
        ins={
            "features": dg.AssetIn(["gold", "user_features"]),
            "halves": dg.AssetIn(["gold", "half_features"]),
            "judged": dg.AssetIn(["gold", "perk_evidence"]),
            "tried": dg.AssetIn(["gold", "perks_tried"]),
            # The strategy in service may have been chosen in any earlier month.
            "decided": dg.AssetIn(["gold", "strategy_decision"], partition_mapping=ALL_BEFORE),
            **_LATEST,
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
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        lake: dg.ResourceParam[Lake],
        processes: dg.ResourceParam[Processes],
        features: pd.DataFrame,
        halves: pd.DataFrame,
        judged: pd.DataFrame,
        tried: pd.DataFrame,
        decided: Months,
        earlier: pd.DataFrame,
        later: pd.DataFrame,
        **stored: Months,
    ) -> Iterator[Any]:
        month, before = context.partition_key, previous_month(context.partition_key)
        history, config = History(features, earlier, later), settings.evidence
        # In the order of the strategies, since Dagster does not guarantee the order of inputs.
        now = {strategy: stored[name][month] for name, strategy in segments.items()}
        measured = scorecard.measure(
            strategies,
            history,
            halves,
            {strategy: each["segment"] for strategy, each in now.items() if len(each)},
            settings.seed,
            config.refits,
            processes,
        )
        offers = {
            strategy: decision.Offers(
                now[strategy], stored[name].get(before), measured.twice[strategy]
            )
            for name, strategy in segments.items()
        }
        previous = decision.deciding(decided[max(decided)]) if len(decided) else None
        chosen = decision.decide(
            settings.strategy, offers, judged, previous, features["user_id"], config
        )
        if settings.strategy == LEARNED:
            said = learned_policy.because(in_service(lake, month))
            chosen["because"] = f"{said}: " + chosen["because"]
        past = Past(cuts.latest(month, config.months), earlier, later)
        table = scorecard.score(
            list(strategies.values()),
            offers,
            measured,
            judged,
            tried,
            chosen,
            policy_costs(strategies, free, past, perk_catalogue, config, settings.seed, processes),
            len(features),
        )
        agreement = scorecard.agreement({name: each.customers for name, each in offers.items()})
        # First, since each table depends on the decisions of earlier months.
        yield dg.Output(
            chosen,
            output_name="strategy_decision",
            metadata={
                "decides": decision.deciding(chosen),
                "because": str(chosen["because"].iloc[0]),
                "decision": preview(chosen, rows=len(chosen)),
            },
        )
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

"""Predicts the perk of new customers: from first sessions to the model in service."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.defs.assets.inputs import chosen, chosen_by, decided_by
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.io_manager import OPTIONAL
from traveltide_assets.defs.partitions import ALL_BEFORE, AND_PREVIOUS, MONTHLY, PREVIOUS
from traveltide_assets.evidence.config import RECOMMENDED
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.prediction import early, promotion, tables, training
from traveltide_assets.report import charts
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation.strategy import History, Strategy
from traveltide_assets.settings import Settings

_REPORTED = {
    "scores": tables.SCORES,
    "confusion": tables.CONFUSION,
    "importance": tables.IMPORTANCE,
    "reliability": tables.RELIABILITY,
}
_LABELLED = {
    "first": dg.AssetIn(["gold", "early_features"]),
    "assignments": dg.AssetIn(["gold", "perk_assignments"]),
    "rules": dg.AssetIn(["gold", "early_rules"]),
}


def build(setting: str, strategies: Mapping[str, Strategy]) -> list[dg.AssetsDefinition]:
    """The assets from first sessions to the model in service. `setting` is `strategy`."""
    return [
        early_features,
        _early_rules(strategies if setting == RECOMMENDED else {setting: strategies[setting]}),
        perk_predictor_candidate,
        predictor_promotion,
    ]


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins={
        name: dg.AssetIn(["gold", f"{name}_final"])
        for name in ("users", "sessions", "flights", "hotels")
    },
)
def early_features(
    context: dg.AssetExecutionContext,
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    return dg.MaterializeResult(
        value=early.early_features_by_n(users, sessions, flights, hotels, context.partition_key)
    )


def _early_rules(strategies: Mapping[str, Strategy]) -> dg.AssetsDefinition:
    @dg.asset(
        key_prefix="gold",
        kinds={"pandas"},
        partitions_def=MONTHLY,
        ins={
            "first": dg.AssetIn(["gold", "early_features"]),
            "features": dg.AssetIn(["gold", "user_features"]),
            "earlier": dg.AssetIn(["gold", "earlier_features"]),
            "outcomes": dg.AssetIn(["gold", "perk_outcomes"]),
            **chosen_by(strategies),
        },
        deps=decided_by(strategies),
    )
    def early_rules(
        first: pd.DataFrame,
        features: pd.DataFrame,
        earlier: pd.DataFrame,
        outcomes: pd.DataFrame,
        **stored: pd.DataFrame,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        strategy = strategies[chosen(strategies, stored)]
        rules = strategy.fit(History(features, earlier, outcomes))
        return dg.MaterializeResult(
            value=training.by_rules(rules, first), metadata={"strategy": strategy.name}
        )

    return early_rules


@dg.multi_asset(
    name="predictor",
    outs={
        "candidate": dg.AssetOut(
            key=["gold", "perk_predictor_candidate"],
            dagster_type=pd.DataFrame,
            kinds={"scikitlearn", "onnx"},
        ),
        **{
            name: dg.AssetOut(
                key=["gold", f"predictor_{name}"],
                dagster_type=pd.DataFrame,
                kinds={"scikitlearn"},
            )
            for name in _REPORTED
        },
    },
    ins={
        **_LABELLED,
        "features": dg.AssetIn(["gold", "user_features"]),
        # Last month's candidate is evaluated on customers that it was not trained on.
        "first": dg.AssetIn(["gold", "early_features"], partition_mapping=AND_PREVIOUS),
        "before": dg.AssetIn(
            ["gold", "perk_predictor_candidate"], partition_mapping=PREVIOUS, metadata=OPTIONAL
        ),
    },
    partitions_def=MONTHLY,
)
def perk_predictor_candidate(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    first: Months,
    assignments: pd.DataFrame,
    rules: pd.DataFrame,
    features: pd.DataFrame,
    before: pd.DataFrame | None,
) -> Iterator[Any]:
    month, policy = context.partition_key, settings.policy
    known = training.labelled(policy.permitted(first[month]), assignments, rules)
    try:
        predictor, report = training.train(
            known,
            policy.permitted(features),
            settings.prediction,
            settings.seed,
            strategy=str(assignments["strategy"].iloc[0]),
            month=month,
            data_version=_data_version(lake, month),
        )
    except training.TooFewCustomers as problem:
        context.log.warning(f"no candidate in {month}: {problem}")
        yield dg.Output(pd.DataFrame(columns=list(tables.CANDIDATE.column_names)), "candidate")
        for name, table in _REPORTED.items():
            yield dg.Output(pd.DataFrame(columns=list(table.column_names)), name)
        return
    earlier = first.get(previous_month(month))
    later = training.of_last_month(before, earlier, known, settings.prediction)
    scores = pd.concat([report.scores, later], ignore_index=True)
    yield dg.Output(
        predictor.to_frame(),
        "candidate",
        metadata={
            "model_version": predictor.version,
            "kind": predictor.kind,
            "customers": predictor.customers,
            "size_bytes_of_model": len(predictor.onnx),
            "judged_on_next_month": previous_month(month) if len(later) else "no earlier month",
        },
    )
    yield dg.Output(
        scores,
        "scores",
        metadata={
            "learning": picture(charts.learning_by_model(scores)),
            "table": preview(scores, rows=len(scores)),
        },
    )
    for name in ("confusion", "importance", "reliability"):
        found = getattr(report, name)
        yield dg.Output(found, name, metadata={"table": preview(found, rows=len(found))})


def _data_version(lake: Lake, month: str) -> str:
    """Hash of the features and perks that a model of the month is trained on."""
    paths = ("gold/early_features", "gold/perk_assignments")
    digests = "".join(lake.digest(path, month) for path in paths)
    return hashlib.sha256(digests.encode()).hexdigest()[:12]


@dg.multi_asset(
    name="promotion",
    outs={
        name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"onnx"})
        for name in ("perk_predictor", "predictor_promotion")
    },
    ins={
        **_LABELLED,
        "candidate": dg.AssetIn(["gold", "perk_predictor_candidate"]),
        # The model in service may come from any earlier month.
        "served": dg.AssetIn(["gold", "perk_predictor"], partition_mapping=ALL_BEFORE),
    },
    partitions_def=MONTHLY,
)
def predictor_promotion(
    settings: dg.ResourceParam[Settings],
    first: pd.DataFrame,
    assignments: pd.DataFrame,
    rules: pd.DataFrame,
    candidate: pd.DataFrame,
    served: Months,
) -> Iterator[Any]:
    known = training.labelled(settings.policy.permitted(first), assignments, rules)
    in_service = promotion.permitted(_latest(served), settings.policy)
    decision = promotion.decide(candidate, in_service, known, settings.prediction, settings.seed)
    promoted = bool(decision["promoted"].any())
    serving = candidate if promoted else in_service
    yield dg.Output(
        serving,
        output_name="perk_predictor",
        metadata={
            "model_version": serving["model_version"].iloc[0] if len(serving) else "none",
            "newly_promoted": promoted,
        },
    )
    yield dg.Output(
        decision,
        output_name="predictor_promotion",
        metadata={"decision": preview(decision, rows=len(decision))},
    )


def _latest(served: Months) -> pd.DataFrame:
    """The model in service before this month, as stored. Empty if there is none."""
    if not served:
        return pd.DataFrame(columns=list(tables.IN_SERVICE.column_names))
    return served[max(served)]

"""Predicting the perk of new customers: from first sessions to the model in service."""

import hashlib
from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.assets.describe import picture, preview
from traveltide_assets.lake import Lake
from traveltide_assets.months import previous_month
from traveltide_assets.partitions import MONTHLY
from traveltide_assets.prediction import early, promotion, training
from traveltide_assets.prediction.predictor import COLUMNS, Predictor
from traveltide_assets.report import charts
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.segmentation.strategies import build_strategies
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings

CANDIDATE = "gold/perk_predictor_candidate"
IN_SERVICE = "gold/perk_predictor"
_EARLY = "gold/early_features"
_ASSIGNMENTS = "gold/perk_assignments"
_TABLES = {
    "scores": training.SCORES,
    "confusion": training.CONFUSION,
    "importance": training.IMPORTANCE,
    "reliability": training.RELIABILITY,
}
_LABELLED = {
    "first": dg.AssetIn(["gold", "early_features"]),
    "assignments": dg.AssetIn(["gold", "perk_assignments"]),
    "rules": dg.AssetIn(["gold", "early_rules"]),
}


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


@dg.asset(
    key_prefix="gold",
    kinds={"pandas"},
    partitions_def=MONTHLY,
    ins={
        "first": dg.AssetIn(["gold", "early_features"]),
        "features": dg.AssetIn(["gold", "user_features"]),
        "earlier": dg.AssetIn(["gold", "earlier_features"]),
        "outcomes": dg.AssetIn(["gold", "perk_outcomes"]),
    },
)
def early_rules(
    settings: dg.ResourceParam[Settings],
    perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
    first: pd.DataFrame,
    features: pd.DataFrame,
    earlier: pd.DataFrame,
    outcomes: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    strategy = build_strategies(settings, perk_catalogue)[settings.strategy]
    rules = strategy.fit(History(features, earlier, outcomes))
    return dg.MaterializeResult(
        value=training.by_rules(rules, first), metadata={"strategy": settings.strategy}
    )


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
            for name in _TABLES
        },
    },
    ins={**_LABELLED, "features": dg.AssetIn(["gold", "user_features"])},
    partitions_def=MONTHLY,
)
def perk_predictor_candidate(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    first: pd.DataFrame,
    assignments: pd.DataFrame,
    rules: pd.DataFrame,
    features: pd.DataFrame,
) -> Iterator[Any]:
    month, config = context.partition_key, settings.prediction
    known = training.labelled(first, assignments, rules)
    try:
        predictor, report = training.train(
            known,
            features,
            config,
            settings.kmeans.seed,
            strategy=settings.strategy,
            month=month,
            data_version=_data_version(lake, month),
        )
    except training.TooFewCustomers as problem:
        context.log.warning(f"no candidate in {month}: {problem}")
        yield dg.Output(pd.DataFrame(columns=list(COLUMNS)), "candidate")
        for name, columns in _TABLES.items():
            yield dg.Output(pd.DataFrame(columns=list(columns)), name)
        return
    later = _last_months_model(lake, month, known, settings)
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
        table = getattr(report, name)
        yield dg.Output(table, name, metadata={"table": preview(table, rows=len(table))})


def _data_version(lake: Lake, month: str) -> str:
    digests = "".join(lake.digest(path, month) for path in (_EARLY, _ASSIGNMENTS))
    return hashlib.sha256(digests.encode()).hexdigest()[:12]


def _last_months_model(
    lake: Lake, month: str, known: pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """How last month's candidate does on customers of this month; no row without one."""
    before = previous_month(month)
    stored, learnt = lake.stored_frame(CANDIDATE, before), lake.stored_frame(_EARLY, before)
    earlier = None if stored is None else Predictor.from_frame(stored)
    if earlier is None or learnt is None:
        return pd.DataFrame(columns=list(training.SCORES))
    return training.next_month(earlier, learnt["user_id"], known, settings.prediction)


def _in_service_before(lake: Lake, month: str) -> pd.DataFrame:
    """The model in service before a month, as stored; empty if there is none."""
    before = [earlier for earlier in lake.months(IN_SERVICE) if earlier < month]
    return lake.frame(IN_SERVICE, before[-1]) if before else pd.DataFrame(columns=list(COLUMNS))


@dg.asset(
    key_prefix="gold",
    kinds={"onnx"},
    partitions_def=MONTHLY,
    ins={**_LABELLED, "candidate": dg.AssetIn(["gold", "perk_predictor_candidate"])},
)
def predictor_promotion(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    first: pd.DataFrame,
    assignments: pd.DataFrame,
    rules: pd.DataFrame,
    candidate: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    config = settings.prediction
    new = Predictor.from_frame(candidate)
    if new is None:
        return dg.MaterializeResult(value=pd.DataFrame(columns=list(promotion.COLUMNS)))
    decision = promotion.compete(
        new,
        Predictor.from_frame(_in_service_before(lake, context.partition_key)),
        training.labelled(first, assignments, rules),
        config.holdout,
        config.resamples,
        settings.kmeans.seed,
    )
    table = preview(decision, rows=len(decision))
    return dg.MaterializeResult(value=decision, metadata={"decision": table})


@dg.asset(
    key_prefix="gold",
    kinds={"onnx"},
    partitions_def=MONTHLY,
    ins={
        "candidate": dg.AssetIn(["gold", "perk_predictor_candidate"]),
        "decision": dg.AssetIn(["gold", "predictor_promotion"]),
    },
)
def perk_predictor(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    candidate: pd.DataFrame,
    decision: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    promoted = bool(decision["promoted"].any())
    serving = candidate if promoted else _in_service_before(lake, context.partition_key)
    version = serving["model_version"].iloc[0] if len(serving) else "none"
    return dg.MaterializeResult(
        value=serving, metadata={"model_version": version, "newly_promoted": promoted}
    )

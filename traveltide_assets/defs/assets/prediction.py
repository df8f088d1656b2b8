"""Predicts the perk of new customers: from sign-up and first sessions to the model in service."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.catalogue.perks import Perk, of_program
from traveltide_assets.defs.assets.inputs import chosen, chosen_by, decided_by, rivals_of
from traveltide_assets.defs.describe import picture, preview
from traveltide_assets.defs.io_manager import OPTIONAL
from traveltide_assets.defs.partitions import ALL_BEFORE, AND_PREVIOUS, MONTHLY, PREVIOUS
from traveltide_assets.lake.lake import Lake, Months
from traveltide_assets.prediction import early, promotion, tables, training
from traveltide_assets.prediction.later import early_outcomes as after_the_nth
from traveltide_assets.prediction.predictor import Predictor
from traveltide_assets.report import charts
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation.strategy import History, Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.stats.side_by_side import Processes

_REPORTED = {
    "lifts": tables.LIFTS,
    "scores": tables.SCORES,
    "confusion": tables.CONFUSION,
    "importance": tables.IMPORTANCE,
    "reliability": tables.RELIABILITY,
}
_LABELLED = {
    "first": dg.AssetIn(["gold", "early_features"]),
    "assignments": dg.AssetIn(["gold", "perk_assignments"]),
    "rules": dg.AssetIn(["gold", "early_rules"]),
    "later": dg.AssetIn(["gold", "early_outcomes"]),
}


def build(setting: str, strategies: Mapping[str, Strategy]) -> list[dg.AssetsDefinition]:
    """The assets from first sessions to the model in service. `setting` is `strategy`."""
    rivals = rivals_of(setting, strategies)
    return [
        early_features,
        early_outcomes,
        _early_rules(rivals),
        _candidate(rivals),
        _promotion(rivals),
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


@dg.asset(
    key_prefix="gold",
    kinds={"duckdb"},
    partitions_def=MONTHLY,
    ins={name: dg.AssetIn(["gold", f"{name}_final"]) for name in ("users", "sessions", "trips")},
)
def early_outcomes(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    users: ibis.Table,
    sessions: ibis.Table,
    trips: ibis.Table,
) -> dg.MaterializeResult[ibis.Table]:
    found = after_the_nth(
        users,
        sessions,
        trips,
        context.partition_key,
        settings.cohort.min_sessions,
        settings.prediction,
    )
    return dg.MaterializeResult(value=found)


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
            "mailed": dg.AssetIn(["gold", "mailed_customers"]),
            **chosen_by(strategies),
        },
        deps=decided_by(strategies),
    )
    def early_rules(
        first: pd.DataFrame,
        features: pd.DataFrame,
        earlier: pd.DataFrame,
        outcomes: pd.DataFrame,
        mailed: pd.DataFrame,
        **stored: pd.DataFrame,
    ) -> dg.MaterializeResult[pd.DataFrame]:
        strategy = strategies[chosen(strategies, stored)]
        rules = strategy.fit(History(features, earlier, outcomes, mailed["user_id"]))
        return dg.MaterializeResult(
            value=training.by_rules(rules, first), metadata={"strategy": strategy.name}
        )

    return early_rules


def _candidate(strategies: Mapping[str, Strategy]) -> dg.AssetsDefinition:
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
            **chosen_by(strategies),
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
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        processes: dg.ResourceParam[Processes],
        first: Months,
        assignments: pd.DataFrame,
        rules: pd.DataFrame,
        later: pd.DataFrame,
        features: pd.DataFrame,
        before: pd.DataFrame | None,
        **stored: pd.DataFrame,
    ) -> Iterator[Any]:
        month, policy = context.partition_key, settings.policy
        known = training.labelled(policy.permitted(first[month]), assignments, rules)
        program = strategies[chosen(strategies, stored)].program
        try:
            predictor, report = training.train(
                known,
                later,
                policy.permitted(features),
                of_program(perk_catalogue, program),
                settings.prediction,
                settings.seed,
                strategy=str(assignments["strategy"].iloc[0]),
                month=month,
                data_version=_data_version(lake, month),
                processes=processes,
            )
        except training.TooFewCustomers as problem:
            context.log.warning(f"no candidate in {month}: {problem}")
            yield dg.Output(pd.DataFrame(columns=list(tables.CANDIDATE.column_names)), "candidate")
            for name, table in _REPORTED.items():
                yield dg.Output(pd.DataFrame(columns=list(table.column_names)), name)
            return
        earlier = first.get(previous_month(month))
        next_month = training.of_last_month(before, earlier, known, settings.prediction)
        scores = pd.concat([report.scores, next_month], ignore_index=True)
        yield dg.Output(
            predictor.to_frame(),
            "candidate",
            metadata={
                "model_version": predictor.version,
                "kind": predictor.kind,
                "perks_with_a_signal_at_sign_up": [
                    perk
                    for perk, told in zip(predictor.perks, predictor.signal[0], strict=True)
                    if told
                ],
                "customers": predictor.customers,
                "size_bytes_of_model": len(predictor.onnx) + len(predictor.history_onnx),
                "judged_on_next_month": previous_month(month)
                if len(next_month)
                else "no earlier month",
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
        yield dg.Output(
            report.lifts,
            "lifts",
            metadata={
                "gains": picture(charts.gains(report.lifts)),
                "table": preview(report.lifts, rows=len(report.lifts)),
            },
        )
        for name in ("confusion", "importance", "reliability"):
            found = getattr(report, name)
            yield dg.Output(found, name, metadata={"table": preview(found, rows=len(found))})

    return perk_predictor_candidate


def _data_version(lake: Lake, month: str) -> str:
    """Hash of the features, outcomes and perks that a model of the month is trained on."""
    paths = ("gold/early_features", "gold/early_outcomes", "gold/perk_assignments")
    digests = "".join(lake.digest(path, month) for path in paths)
    return hashlib.sha256(digests.encode()).hexdigest()[:12]


def _promotion(strategies: Mapping[str, Strategy]) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="promotion",
        outs={
            name: dg.AssetOut(key=["gold", name], dagster_type=pd.DataFrame, kinds={"onnx"})
            for name in ("perk_predictor", "predictor_promotion", "promotion_lifts")
        },
        ins={
            **_LABELLED,
            **chosen_by(strategies),
            "candidate": dg.AssetIn(["gold", "perk_predictor_candidate"]),
            # The model in service may come from any earlier month.
            "served": dg.AssetIn(["gold", "perk_predictor"], partition_mapping=ALL_BEFORE),
        },
        partitions_def=MONTHLY,
    )
    def predictor_promotion(
        settings: dg.ResourceParam[Settings],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        first: pd.DataFrame,
        assignments: pd.DataFrame,
        rules: pd.DataFrame,
        later: pd.DataFrame,
        candidate: pd.DataFrame,
        served: Months,
        **stored: pd.DataFrame,
    ) -> Iterator[Any]:
        known = training.labelled(settings.policy.permitted(first), assignments, rules)
        in_service = promotion.permitted(_latest(served), settings.policy)
        program = strategies[chosen(strategies, stored)].program
        decision, measured = promotion.decide(
            candidate,
            in_service,
            known,
            later,
            of_program(perk_catalogue, program),
            settings.prediction,
            settings.seed,
        )
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
        yield dg.Output(
            measured,
            output_name="promotion_lifts",
            metadata={
                "gains": picture(charts.gains(measured)),
                "table": preview(measured, rows=len(measured)),
            },
        )

    return predictor_promotion


def _latest(served: Months) -> pd.DataFrame:
    """The model in service before this month, as stored.

    Empty if there is none, or only one of a version of this package that predicted something else.
    """
    last = served[max(served)] if served else None
    if last is None or Predictor.from_frame(last) is None:
        return pd.DataFrame(columns=list(tables.IN_SERVICE.column_names))
    return last

"""Contracts of prediction: early features, the candidate, how it did, and the model in service."""

from __future__ import annotations

from dataclasses import replace

from traveltide_assets.schema.table import Column, Table
from traveltide_assets.transforms.tables import USER_FEATURES

EARLY_FEATURES = Table(
    "gold",
    "early_features",
    "One row per cohort customer and n = 1 to 5: the feature catalogue from their first n sessions "
    "alone, as if nothing had followed.",
    (
        Column("user_id", "int64", "The customer"),
        Column("sessions_seen", "int64", "The n: sessions that the row knows of"),
        *(replace(c, required=False) for c in USER_FEATURES.columns[1:]),
    ),
    key=("user_id", "sessions_seen"),
    partitioned=True,
)
EARLY_RULES = Table(
    "gold",
    "early_rules",
    "One row per cohort customer and n = 1 to 5: the perk that the rules of the deciding strategy, "
    "fitted on full histories, give from the first n sessions alone.",
    (
        Column("user_id", "int64", "The customer"),
        Column("sessions_seen", "int64", "The n"),
        Column("perk", "string", "The perk by the rules"),
    ),
    key=("user_id", "sessions_seen"),
    partitioned=True,
)


def _predictor(name: str, description: str) -> Table:
    return Table(
        "gold",
        name,
        description,
        (
            Column("model_version", "string", "Hash of the model and its schema"),
            Column("kind", "string", "Kind of the model"),
            Column("trained_on", "string", "The month whose customers it learnt from"),
            Column("strategy", "string", "The strategy whose perks it predicts"),
            Column("data_version", "string", "Hash of the features and perks learnt from"),
            Column("customers", "int64", "Customers it learnt from"),
            Column("perks", "array<string>", "The perks it knows, in the order of its answers"),
            Column("inputs", "array<string>", "Its inputs in their order; name=value for a text"),
            Column("mean", "array<float64>", "Mean of each input, for 1 session seen, for 2 ..."),
            Column("spread", "array<float64>", "Standard deviation of each input, likewise"),
            Column("onnx", "binary", "The model: an ONNX graph"),
        ),
        key=("model_version",),
        partitioned=True,
    )


SCORES = Table(
    "gold",
    "predictor_scores",
    "One row per evaluation, model, n and metric: how well perks of unseen customers are "
    "predicted. The evaluation `leak: full history` predicts the perk from the very features that "
    "define it, and is no prediction.",
    (
        Column("evaluation", "string", "cross-validation, next month or leak: full history"),
        Column("model", "string", "Kind of model, or baseline"),
        Column("sessions_seen", "int64", "The n; 0 for the full history"),
        Column("metric", "string", "macro_f1, top2_accuracy, log_loss, brier, calibration_error"),
        Column("mean", "float64", "Mean over the folds"),
        Column("sd", "float64", "Standard deviation over the folds, 0 for one"),
        Column("trials", "int64", "Folds"),
        Column("customers", "int64", "Customers it was tried on"),
    ),
    key=("evaluation", "model", "sessions_seen", "metric"),
    partitioned=True,
)
CONFUSION = Table(
    "gold",
    "predictor_confusion",
    "One row per n, perk and predicted perk: unseen customers of the chosen kind of model.",
    (
        Column("sessions_seen", "int64", "The n"),
        Column("perk", "string", "The perk with the full history"),
        Column("predicted", "string", "The perk predicted"),
        Column("customers", "float64", "Customers, mean over the repeats"),
        Column("share", "float64", "Their share of the perk's customers"),
    ),
    key=("sessions_seen", "perk", "predicted"),
    partitioned=True,
)
IMPORTANCE = Table(
    "gold",
    "predictor_importance",
    "One row per input of the chosen kind of model: how much worse it gets on unseen customers "
    "when the input is shuffled.",
    (
        Column("input", "string", "The input"),
        Column("mean", "float64", "Growth of the log loss, mean over the folds"),
        Column("sd", "float64", "Standard deviation over the folds"),
        Column("trials", "int64", "Folds"),
    ),
    key=("input",),
    partitioned=True,
)
RELIABILITY = Table(
    "gold",
    "predictor_reliability",
    "One row per n and tenth of the score: does a score of 0.7 come true in 70 %?",
    (
        Column("sessions_seen", "int64", "The n"),
        Column("bin", "int64", "Tenth of the score, from 0"),
        Column("customers", "float64", "Customers, mean over the repeats"),
        Column("mean_score", "float64", "Mean score of the perk predicted"),
        Column("hit_share", "float64", "Share whose perk it is"),
    ),
    key=("sessions_seen", "bin"),
    partitioned=True,
)
PROMOTION = Table(
    "gold",
    "predictor_promotion",
    "One row per rival and n, and per rival for all n: the month's candidate against the model in "
    "service, the rules of the deciding strategy and the commonest perk, on customers that no "
    "model has learnt from. No row where there is no candidate.",
    (
        Column("candidate", "string", "Version of the candidate"),
        Column("in_service", "string", "Version of the model in service, if any", required=False),
        Column("sessions_seen", "int64", "The n; 0 for all n together, which decides"),
        Column("rival", "string", "model in service, rules of the strategy or majority perk"),
        Column("customers", "int64", "Held-out customers"),
        Column("loss_candidate", "float64", "Log loss of the candidate"),
        Column(
            "loss_rival",
            "float64",
            "Of the rival; the rules count with the shares of perks among those they send there",
        ),
        Column("f1_candidate", "float64", "Macro F1 of the candidate"),
        Column("f1_rival", "float64", "Of the rival"),
        Column("difference", "float64", "Log loss: candidate less rival, mean over customers"),
        Column("difference_low", "float64", "Lower end of its 95 % interval"),
        Column("difference_high", "float64", "Upper end of its 95 % interval"),
        Column("verdict", "string", "better, worse or no difference: of the candidate, beyond it"),
        Column("promoted", "boolean", "The candidate takes over; the same in every row"),
        Column("because", "string", "Why; the same in every row"),
    ),
    key=("sessions_seen", "rival"),
    partitioned=True,
)

CANDIDATE = _predictor(
    "perk_predictor_candidate",
    "One row: the model of the month that predicts perks from first sessions, in service "
    "or not. No row where customers are too few.",
)
IN_SERVICE = _predictor(
    "perk_predictor",
    "One row: the model in service as of the month, which may be an earlier month's. No "
    "row as long as none was promoted.",
)
TABLES = (
    EARLY_FEATURES,
    EARLY_RULES,
    CANDIDATE,
    SCORES,
    CONFUSION,
    IMPORTANCE,
    RELIABILITY,
    PROMOTION,
    IN_SERVICE,
)

"""Contracts of prediction: early features, the candidate, its evaluation, the model in service."""

from __future__ import annotations

from dataclasses import replace

from traveltide_assets.schema.table import Column, Table
from traveltide_assets.transforms.tables import USER_FEATURES

EARLY_FEATURES = Table(
    "gold",
    "early_features",
    "One row per cohort customer and n = 1 to 5: the feature catalogue from their first n sessions "
    "alone, as if there had been no later ones.",
    (
        Column("user_id", "int64", "The customer"),
        Column("sessions_seen", "int64", "The n: number of sessions that the row is computed from"),
        *(replace(c, required=False) for c in USER_FEATURES.columns[1:]),
    ),
    key=("user_id", "sessions_seen"),
    partitioned=True,
)
EARLY_RULES = Table(
    "gold",
    "early_rules",
    "One row per cohort customer and n = 1 to 5: the perk from the first n sessions alone, by the "
    "rules of the deciding strategy, which were fitted on full histories.",
    (
        Column("user_id", "int64", "The customer"),
        Column("sessions_seen", "int64", "The n"),
        Column("perk", "string", "Perk according to the rules"),
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
            Column("trained_on", "string", "Month of the customers it was trained on"),
            Column("strategy", "string", "Strategy that the predicted perks come from"),
            Column("data_version", "string", "Hash of the training data: features and perks"),
            Column("customers", "int64", "Number of customers it was trained on"),
            Column("perks", "array<string>", "Perks it can predict, in the order of its outputs"),
            Column("inputs", "array<string>", "Inputs, in order; `name=value` for a text feature"),
            Column(
                "mean", "array<float64>", "Mean of each input with 1 session seen, then with 2, ..."
            ),
            Column(
                "spread", "array<float64>", "Standard deviation of each input, in the same order"
            ),
            Column("onnx", "binary", "The model: an ONNX graph"),
        ),
        key=("model_version",),
        partitioned=True,
    )


SCORES = Table(
    "gold",
    "predictor_scores",
    "One row per evaluation, model, n and metric: the quality of predictions for customers that "
    "the model was not trained on. The evaluation `leak: full history` predicts the perk from the "
    "very features that define it, so it is not a real prediction.",
    (
        Column("evaluation", "string", "cross-validation, next month or leak: full history"),
        Column("model", "string", "Kind of model, or baseline"),
        Column("sessions_seen", "int64", "The n; 0 for the full history"),
        Column("metric", "string", "macro_f1, top2_accuracy, log_loss, brier, calibration_error"),
        Column("mean", "float64", "Mean over the folds"),
        Column("sd", "float64", "Standard deviation over the folds; 0 with one fold"),
        Column("trials", "int64", "Folds"),
        Column("customers", "int64", "Number of customers it was evaluated on"),
    ),
    key=("evaluation", "model", "sessions_seen", "metric"),
    partitioned=True,
)
CONFUSION = Table(
    "gold",
    "predictor_confusion",
    "One row per n, perk and predicted perk: the confusion matrix of the chosen kind of model, on "
    "customers that it was not trained on.",
    (
        Column("sessions_seen", "int64", "The n"),
        Column("perk", "string", "Perk with the full history"),
        Column("predicted", "string", "Predicted perk"),
        Column("customers", "float64", "Number of customers, mean over the repeats"),
        Column("share", "float64", "Their share of all customers with the perk"),
    ),
    key=("sessions_seen", "perk", "predicted"),
    partitioned=True,
)
IMPORTANCE = Table(
    "gold",
    "predictor_importance",
    "One row per input of the chosen kind of model: permutation importance on customers that it "
    "was not trained on.",
    (
        Column("input", "string", "The input"),
        Column("mean", "float64", "Rise in log loss if the input is permuted, mean over folds"),
        Column("sd", "float64", "Standard deviation over the folds"),
        Column("trials", "int64", "Folds"),
    ),
    key=("input",),
    partitioned=True,
)
RELIABILITY = Table(
    "gold",
    "predictor_reliability",
    "One row per n and score bin: the calibration of the scores. Is a score of 0.7 right 70 % of "
    "the time?",
    (
        Column("sessions_seen", "int64", "The n"),
        Column("bin", "int64", "Bin of the score in tenths, from 0"),
        Column("customers", "float64", "Number of customers, mean over the repeats"),
        Column("mean_score", "float64", "Mean score of the predicted perk"),
        Column("hit_share", "float64", "Share of correct predictions"),
    ),
    key=("sessions_seen", "bin"),
    partitioned=True,
)
PROMOTION = Table(
    "gold",
    "predictor_promotion",
    "One row per rival and n, and per rival for all n: the month's candidate against the model in "
    "service, the rules of the deciding strategy and the most frequent perk, on customers that no "
    "model was trained on. Empty if there is no candidate.",
    (
        Column("candidate", "string", "Version of the candidate"),
        Column("in_service", "string", "Version of the model in service, if any", required=False),
        Column("sessions_seen", "int64", "The n; 0 for all n together, which decides"),
        Column("rival", "string", "model in service, rules of the strategy or majority perk"),
        Column("customers", "int64", "Number of held-out customers"),
        Column("loss_candidate", "float64", "Log loss of the candidate"),
        Column(
            "loss_rival",
            "float64",
            "Log loss of the rival; the rules are scored with the shares of perks among the "
            "customers with the same answer",
        ),
        Column("f1_candidate", "float64", "Macro F1 of the candidate"),
        Column("f1_rival", "float64", "Macro F1 of the rival"),
        Column("difference", "float64", "Log loss: candidate minus rival, mean over customers"),
        Column("difference_low", "float64", "Lower end of its 95 % interval"),
        Column("difference_high", "float64", "Upper end of its 95 % interval"),
        Column(
            "verdict",
            "string",
            "Candidate against rival: better or worse if the interval excludes 0, else no "
            "difference",
        ),
        Column("promoted", "boolean", "Whether the candidate is promoted; same in every row"),
        Column("because", "string", "Reason for the decision; same in every row"),
    ),
    key=("sessions_seen", "rival"),
    partitioned=True,
)

CANDIDATE = _predictor(
    "perk_predictor_candidate",
    "One row: the month's model, which predicts perks from first sessions, whether in service or "
    "not. Empty if there are too few customers.",
)
IN_SERVICE = _predictor(
    "perk_predictor",
    "One row: the model in service as of the month, which may come from an earlier month. Empty "
    "until a model is promoted.",
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

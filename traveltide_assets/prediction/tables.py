"""Contracts of prediction: what was known early, what followed, the model and its evaluation."""

from __future__ import annotations

from dataclasses import replace

from traveltide_assets.schema.table import Column, Table
from traveltide_assets.transforms.tables import PERK_OUTCOMES, USER_FEATURES

EARLY_FEATURES = Table(
    "gold",
    "early_features",
    "One row per cohort customer and n = 0 to 5: the feature catalogue from their first n sessions "
    "alone, as if there had been no later ones. With n = 0 only the profile is known.",
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
    "One row per cohort customer and n = 0 to 5: the perk from the first n sessions alone, by the "
    "rules of the deciding strategy, which were fitted on full histories.",
    (
        Column("user_id", "int64", "The customer"),
        Column("sessions_seen", "int64", "The n"),
        Column("perk", "string", "Perk according to the rules"),
    ),
    key=("user_id", "sessions_seen"),
    partitioned=True,
)
EARLY_OUTCOMES = Table(
    "gold",
    "early_outcomes",
    "One row per cohort customer, n = 0 to 5 and side of the inner cut: what they did after their "
    "n-th session, within the horizon of days and up to the end of the month. The predictor learns "
    "and is judged on it. Left out are customers and n for whom later cancellations alone fill the "
    "minimum of sessions.",
    (
        Column("user_id", "int64", "The customer"),
        Column("sessions_seen", "int64", "The n; what follows is counted"),
        Column(
            "after_cut",
            "boolean",
            "Whether the row counts what was done after the inner cut or before it",
        ),
        *PERK_OUTCOMES.columns[1:],
    ),
    key=("user_id", "sessions_seen", "after_cut"),
    partitioned=True,
)


def _predictor(name: str, description: str) -> Table:
    return Table(
        "gold",
        name,
        description,
        (
            Column("model_version", "string", "Hash of the model and its schema"),
            Column("kind", "string", "Kind of the model of behaviour"),
            Column("trained_on", "string", "Month of the customers it was trained on"),
            Column("strategy", "string", "Deciding strategy of that month"),
            Column("data_version", "string", "Hash of the training data"),
            Column("customers", "int64", "Number of customers it was trained on"),
            Column("perks", "array<string>", "Perks it can give, in the order of its outputs"),
            Column("outcomes", "array<string>", "The behaviour that each perk rewards"),
            Column("inputs", "array<string>", "Inputs, in order; `name=value` for a text feature"),
            Column("term_input", "array<int64>", "Position of the input that each term asks for"),
            Column("term_threshold", "array<float64>", "The input is at least this"),
            Column(
                "weights", "array<float64>", "Standard deviations by n from 0, term and perk, flat"
            ),
            Column("share", "array<float64>", "Share of customers by n and term, flat"),
            Column("average", "array<float64>", "Mean behaviour by n and perk, flat"),
            Column("spread", "array<float64>", "Its standard deviation, in the same order"),
            Column("onnx", "binary", "The model of behaviour: an ONNX graph"),
            Column("history_kind", "string", "Kind of the model of the perk by full history"),
            Column("history_perks", "array<string>", "Perks it predicts, in the order of outputs"),
            Column(
                "history_onnx", "binary", "The model of the perk by full history: an ONNX graph"
            ),
        ),
        key=("model_version",),
        partitioned=True,
    )


SCORES = Table(
    "gold",
    "predictor_scores",
    "One row per evaluation, model, n and metric: how well the perk that the strategy gives to a "
    "full history is predicted, for customers that the model was not trained on. The evaluation "
    "`leak: full history` predicts the perk from the very features that define it, so it is not a "
    "real prediction.",
    (
        Column("evaluation", "string", "cross-validation, next month or leak: full history"),
        Column("model", "string", "Kind of model, or baseline"),
        Column("sessions_seen", "int64", "The n; 0 before any session, and for the full history"),
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
_GAIN = (
    "Standard deviations by which customers do more of what their perk rewards than all customers "
    "do, per opportunity after the n-th session"
)


def _lifts(name: str, description: str) -> Table:
    return Table(
        "gold",
        name,
        "One row per model, n and perk, and per model and n over all perks: what customers did "
        f"after their n-th session who were given the perk. {description}",
        (
            Column("model", "string", "Kind of model, model in service, or baseline"),
            Column("sessions_seen", "int64", "The n; -1 for the mean over every n"),
            Column("perk", "string", "The perk, or `all perks`"),
            Column("customers", "int64", "Customers who were given it"),
            Column("opportunities", "int64", "Their opportunities", required=False),
            Column("mean", "float64", "Their behaviour per opportunity", required=False),
            Column("mean_others", "float64", "That of the other customers", required=False),
            Column("lift", "float64", "The former divided by the latter", required=False),
            Column("lift_low", "float64", "Lower end of its 95 % interval", required=False),
            Column("lift_high", "float64", "Upper end of its 95 % interval", required=False),
            Column("gain", "float64", _GAIN, required=False),
            Column("gain_low", "float64", "Lower end of its 95 % interval", required=False),
            Column("gain_high", "float64", "Upper end of its 95 % interval", required=False),
        ),
        key=("model", "sessions_seen", "perk"),
        partitioned=True,
    )


LIFTS = _lifts(
    "predictor_lifts",
    "The kinds of model and the baselines beside each other: they learn from other customers up to "
    "the inner cut and are judged on what followed it. The kind that serves is chosen here.",
)
PROMOTION_LIFTS = _lifts(
    "promotion_lifts",
    "The candidate and its rivals beside each other, on customers that no model learns from.",
)
PROMOTION = Table(
    "gold",
    "predictor_promotion",
    "One row per rival and n, and per rival for all n: the month's candidate against the model in "
    "service, the rules of the deciding strategy and one perk for everybody, by what customers "
    "whom no model learns from did after their n-th session. Empty if there is no candidate.",
    (
        Column("candidate", "string", "Version of the candidate"),
        Column("in_service", "string", "Version of the model in service, if any", required=False),
        Column("sessions_seen", "int64", "The n; -1 for the mean over every n, which decides"),
        Column("rival", "string", "model in service, rules of the strategy or majority perk"),
        Column("customers", "int64", "Number of held-out customers"),
        Column("gain_candidate", "float64", f"{_GAIN}: of the candidate"),
        Column("gain_rival", "float64", "The same of the rival; 0 for one perk for everybody"),
        Column("difference", "float64", "Gain of the candidate minus that of the rival"),
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
    "One row: the month's model of what newcomers do later, whether in service or not. Empty if "
    "there are too few customers.",
)
IN_SERVICE = _predictor(
    "perk_predictor",
    "One row: the model in service as of the month, which may come from an earlier month. Empty "
    "until a model is promoted.",
)
TABLES = (
    EARLY_FEATURES,
    EARLY_RULES,
    EARLY_OUTCOMES,
    CANDIDATE,
    LIFTS,
    PROMOTION_LIFTS,
    SCORES,
    CONFUSION,
    IMPORTANCE,
    RELIABILITY,
    PROMOTION,
    IN_SERVICE,
)

"""Which perk would a full history give? The kinds of models, and how well each says so.

This is the second field of the answer. The perk itself comes from `behaviour_model.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score, top_k_accuracy_score
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from traveltide_assets.prediction.config import Config
from traveltide_assets.stats.threads import one_thread

LOGISTIC = "logistic regression"
BOOSTING = "gradient boosting"
KINDS = (LOGISTIC, BOOSTING)
MAJORITY = "majority perk"
RULES = "rules of the strategy"
METRICS = ("macro_f1", "top2_accuracy", "log_loss", "brier", "calibration_error")
BINS = 10
_FLOOR = 1e-3
_IMPORTANCE_ROWS = 500


@dataclass(frozen=True)
class Examples:
    """Training data: one row per customer and number of sessions seen.

    `label` is the position of the customer's perk in `perks`. `ruled` is the position of the perk
    that the rules of the deciding strategy give from the early features alone, -1 if not in
    `perks`.
    """

    user_id: np.ndarray
    sessions_seen: np.ndarray
    inputs: np.ndarray
    label: np.ndarray
    ruled: np.ndarray
    names: tuple[str, ...]
    perks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    def of(self, rows: np.ndarray) -> Examples:
        """The rows selected by a boolean mask."""
        return Examples(
            self.user_id[rows],
            self.sessions_seen[rows],
            self.inputs[rows],
            self.label[rows],
            self.ruled[rows],
            self.names,
            self.perks,
        )

    @property
    def customers(self) -> int:
        return len(np.unique(self.user_id))


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions of one model for the held-out rows of one fold.

    `rows` are positions in the examples. `answer` is the position of the perk predicted for each.
    """

    kind: str
    fold: int
    rows: np.ndarray
    probabilities: np.ndarray
    answer: np.ndarray


@dataclass(frozen=True)
class Fold:
    """The models by kind, fitted without some customers, and these customers."""

    fitted: Mapping[str, ClassifierMixin]
    unseen: Examples

    def probabilities(self, kind: str, inputs: np.ndarray) -> np.ndarray:
        """The probability of each perk (column) for each row of inputs."""
        model = self.fitted[kind]
        result = np.zeros((len(inputs), len(self.unseen.perks)))
        with one_thread():
            result[:, model.classes_] = model.predict_proba(inputs)
        return result


def build(kind: str, config: Config, seed: int) -> ClassifierMixin:
    """An unfitted model of a kind. Undefined inputs are replaced by the mean."""
    mean = SimpleImputer(keep_empty_features=True)
    if kind == LOGISTIC:
        return make_pipeline(mean, StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    boosted = HistGradientBoostingClassifier(
        max_iter=config.iterations,
        learning_rate=0.15,
        max_leaf_nodes=8,
        min_samples_leaf=40,
        max_bins=32,
        early_stopping=False,
        random_state=seed,
    )
    return make_pipeline(mean, boosted)


def fit(kind: str, examples: Examples, config: Config, seed: int) -> ClassifierMixin:
    """A fitted model of a kind. It uses one thread: with several, the order of sums would vary."""
    with one_thread():
        return build(kind, config, seed).fit(examples.inputs, examples.label)


def cross_validate(
    examples: Examples, config: Config, seed: int, kinds: Sequence[str] = KINDS
) -> tuple[list[FoldPredictions], list[Fold]]:
    """Predictions of every kind and baseline on held-out customers, and the first repeat's folds.

    All rows of a customer are in the same fold.
    """
    predictions: list[FoldPredictions] = []
    kept: list[Fold] = []
    for number, (learnt, held) in enumerate(_folds(examples, config, seed)):
        known, unseen = examples.of(learnt), examples.of(held)
        fold = Fold({kind: fit(kind, known, config, seed) for kind in kinds}, unseen)
        found = {kind: fold.probabilities(kind, unseen.inputs) for kind in kinds}
        predictions += [
            FoldPredictions(kind, number, np.flatnonzero(held), share, share.argmax(axis=1))
            for kind, share in found.items()
        ]
        predictions += baselines(known, unseen, number, np.flatnonzero(held))
        if number < config.folds:
            kept.append(fold)
    return predictions, kept


def _folds(
    examples: Examples, config: Config, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    users, first = np.unique(examples.user_id, return_index=True)
    # Splits customers, not rows. StratifiedGroupKFold takes rows and groups, but it stratifies only
    # approximately and does not repeat.
    split = RepeatedStratifiedKFold(
        n_splits=config.folds, n_repeats=config.repeats, random_state=seed
    )
    for _, held in split.split(users, examples.label[first]):
        inside = np.isin(examples.user_id, users[held])
        yield ~inside, inside


def baselines(
    known: Examples, unseen: Examples, fold: int, rows: np.ndarray
) -> list[FoldPredictions]:
    """Two baselines: the most frequent perk for everybody, and the strategy's rules.

    The rules use the early features. They give a perk and no probability, so each answer gets the
    shares of perks among the known customers with the same answer.
    """
    size = len(known.perks)
    shares = np.bincount(known.label, minlength=size) / len(known)
    everybody = np.tile(shares, (len(unseen), 1))
    ruled = np.empty_like(everybody)
    for n in np.unique(unseen.sessions_seen):
        here = known.sessions_seen == n
        counts = np.ones((size + 1, size)) * shares
        np.add.at(counts, (known.ruled[here], known.label[here]), 1)
        there = unseen.sessions_seen == n
        ruled[there] = (counts / counts.sum(axis=1, keepdims=True))[unseen.ruled[there]]
    return [
        FoldPredictions(MAJORITY, fold, rows, everybody, everybody.argmax(axis=1)),
        FoldPredictions(RULES, fold, rows, ruled, unseen.ruled),
    ]


def importance(kind: str, folds: Sequence[Fold], seed: int) -> pd.DataFrame:
    """Permutation importance: one row per input, the rise in log loss on held-out customers.

    An input is permuted among rows of equal n, so that every count remains possible for the number
    of sessions seen.
    """
    rows: list[tuple[str, float]] = []
    for number, fold in enumerate(folds):
        rng = np.random.default_rng([seed, number])
        unseen = fold.unseen
        some = np.zeros(len(unseen), dtype=bool)
        some[rng.permutation(len(unseen))[:_IMPORTANCE_ROWS]] = True
        part = unseen.of(some)
        home = np.argsort(part.sessions_seen, kind="stable")
        base = fold.probabilities(kind, part.inputs)
        shuffled = np.tile(part.inputs, (len(part.names), 1, 1))
        for position in range(len(part.names)):
            mixed = np.argsort(part.sessions_seen + rng.random(len(part)), kind="stable")
            shuffled[position, home, position] = part.inputs[mixed, position]
        # Most rows keep their value, and most of the cost of a prediction is the call, so all
        # changed rows are predicted in one.
        other = ~np.isclose(shuffled, part.inputs, rtol=0, atol=0, equal_nan=True).all(axis=2)
        shares = np.tile(base, (len(part.names), 1, 1))
        if other.any():
            shares[other] = fold.probabilities(kind, shuffled[other])
        loss = log_loss(part.label, base)
        rows += [
            (name, log_loss(part.label, changed) - loss)
            for name, changed in zip(part.names, shares, strict=True)
        ]
    grouped = pd.DataFrame(rows, columns=["input", "loss"]).groupby("input", as_index=False)["loss"]
    return grouped.agg(mean="mean", sd="std", trials="size").fillna({"sd": 0.0})


def losses(label: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The log loss of each row. Probabilities below one in a thousand count as one in a thousand.

    scikit-learn's `log_loss` has no such floor and gives no value per row, which promotion needs.
    """
    return -np.log(np.clip(shares[np.arange(len(label)), label], _FLOOR, 1))


def log_loss(label: np.ndarray, shares: np.ndarray) -> float:
    return float(losses(label, shares).mean())


def metrics(label: np.ndarray, shares: np.ndarray, answer: np.ndarray) -> dict[str, float]:
    """The metrics of `METRICS` for some rows. `shares` has a column per perk, at least two."""
    perks = np.arange(shares.shape[1])
    # Models in single precision give probabilities that sum to 1 only up to 7 digits.
    whole = shares / shares.sum(axis=1, keepdims=True)
    # scikit-learn rejects a table of probabilities for two perks. The top two are then both.
    few = len(perks) <= 2
    return {
        "macro_f1": macro_f1(label, answer, len(perks)),
        "top2_accuracy": 1.0 if few else top_k_accuracy_score(label, shares, k=2, labels=perks),
        "log_loss": log_loss(label, shares),
        "brier": brier_score_loss(label, whole, labels=perks, scale_by_half=False),
        "calibration_error": calibration_error(reliability(label, shares)),
    }


def macro_f1(label: np.ndarray, answer: np.ndarray, size: int) -> float:
    """The mean F1 of `size` perks. A perk that is neither a label nor an answer counts as 0."""
    return float(f1_score(label, answer, labels=range(size), average="macro", zero_division=0))


def reliability(label: np.ndarray, shares: np.ndarray) -> pd.DataFrame:
    """One row per bin of the score of the predicted perk: rows, mean score and share of hits.

    scikit-learn's `calibration_curve` returns neither the bins of its points nor their row counts.
    """
    score, hit = shares.max(axis=1), shares.argmax(axis=1) == label
    place = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    rows, scored, hits = (np.bincount(place, w, BINS) for w in (None, score, hit))
    full = np.flatnonzero(rows)
    return pd.DataFrame(
        {
            "bin": full,
            "rows": rows[full],
            "mean_score": scored[full] / rows[full],
            "hit_share": hits[full] / rows[full],
        }
    )


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error: the mean distance between score and share of hits."""
    gap = (table["mean_score"] - table["hit_share"]).abs()
    return float(np.average(gap, weights=table["rows"]))


def scores(examples: Examples, predictions: Sequence[FoldPredictions]) -> pd.DataFrame:
    """One row per model, n and metric: mean and standard deviation over the folds."""
    rows = []
    for one in predictions:
        seen, label = examples.sessions_seen[one.rows], examples.label[one.rows]
        for n in np.unique(seen):
            at = seen == n
            values = metrics(label[at], one.probabilities[at], one.answer[at])
            rows += [(one.kind, int(n), name, value) for name, value in values.items()]
    table = pd.DataFrame(rows, columns=["model", "sessions_seen", "metric", "value"])
    grouped = table.groupby(["model", "sessions_seen", "metric"], as_index=False)["value"]
    return grouped.agg(mean="mean", sd="std", trials="size").fillna({"sd": 0.0})


def best(table: pd.DataFrame) -> str:
    """The kind with the lowest mean log loss over all n."""
    loss = table[(table["metric"] == "log_loss") & table["model"].isin(KINDS)]
    return str(loss.groupby("model")["mean"].mean().idxmin())

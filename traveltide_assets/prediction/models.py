"""The kinds of model, and how well each predicts customers it has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score, top_k_accuracy_score
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from traveltide_assets.prediction.config import Config
from traveltide_assets.stats.threads import one_thread

LOGISTIC = "logistic regression"
FOREST = "random forest"
BOOSTING = "gradient boosting"
VOTE = "soft vote"
MEMBERS = (LOGISTIC, FOREST, BOOSTING)
KINDS = (*MEMBERS, VOTE)
MAJORITY = "majority perk"
RULES = "rules of the strategy"
METRICS = ("macro_f1", "top2_accuracy", "log_loss", "brier", "calibration_error")
BINS = 10
_FLOOR = 1e-3
_IMPORTANCE_ROWS = 500


@dataclass(frozen=True)
class Examples:
    """What a model learns from: one row per customer and number of sessions seen.

    `label` is the place of the customer's perk in `perks`; `ruled` the place of the perk that the
    deciding strategy would give from the early features alone, -1 for none of them.
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
        """Some of the rows, by a mask."""
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
class Trial:
    """Predictions of one model for rows that it has not seen, in one fold."""

    kind: str
    fold: int
    rows: np.ndarray
    probabilities: np.ndarray
    answer: np.ndarray


@dataclass(frozen=True)
class Fold:
    """The members fitted without some customers, and these customers."""

    members: Mapping[str, ClassifierMixin]
    unseen: Examples

    def probabilities(self, kind: str, inputs: np.ndarray) -> np.ndarray:
        """The probability of each perk (column) for each row of inputs."""
        found = [self._of_member(name, inputs) for name in (MEMBERS if kind == VOTE else (kind,))]
        return np.mean(found, axis=0)

    def _of_member(self, name: str, inputs: np.ndarray) -> np.ndarray:
        model = self.members[name]
        result = np.zeros((len(inputs), len(self.unseen.perks)))
        with one_thread():
            result[:, model.classes_] = model.predict_proba(inputs)
        return result


def build(kind: str, config: Config, seed: int) -> ClassifierMixin:
    """An unfitted model of a kind. An undefined value is replaced by the mean."""
    mean = SimpleImputer(keep_empty_features=True)
    if kind == LOGISTIC:
        return make_pipeline(mean, StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    if kind == FOREST:
        forest = RandomForestClassifier(
            config.trees, min_samples_leaf=20, max_features=0.3, random_state=seed
        )
        return make_pipeline(mean, forest)
    if kind == BOOSTING:
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
    members = [(name.replace(" ", "_"), build(name, config, seed)) for name in MEMBERS]
    # The converter to ONNX knows the vote only without its default.
    return VotingClassifier(members, voting="soft", flatten_transform=False)


def fit(kind: str, examples: Examples, config: Config, seed: int) -> ClassifierMixin:
    """A model of a kind, on one thread: several add up in an order of their own."""
    with one_thread():
        return build(kind, config, seed).fit(examples.inputs, examples.label)


def cross_validate(
    examples: Examples, config: Config, seed: int, members: Sequence[str] = MEMBERS
) -> tuple[list[Trial], list[Fold]]:
    """Every kind and baseline on customers it has not seen, and the folds of the first repeat.

    All rows of a customer are in the same fold. The vote is the mean of its members, which are
    fitted once for both; there is none without them all.
    """
    trials: list[Trial] = []
    kept: list[Fold] = []
    for number, (learnt, held) in enumerate(_folds(examples, config, seed)):
        known, unseen = examples.of(learnt), examples.of(held)
        fold = Fold({kind: fit(kind, known, config, seed) for kind in members}, unseen)
        found = {kind: fold.probabilities(kind, unseen.inputs) for kind in members}
        if found.keys() >= set(MEMBERS):
            found[VOTE] = np.mean([found[kind] for kind in MEMBERS], axis=0)
        trials += [
            Trial(kind, number, np.flatnonzero(held), share, share.argmax(axis=1))
            for kind, share in found.items()
        ]
        trials += baselines(known, unseen, number, np.flatnonzero(held))
        if number < config.folds:
            kept.append(fold)
    return trials, kept


def _folds(
    examples: Examples, config: Config, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    users, first = np.unique(examples.user_id, return_index=True)
    # Customers are split, not rows: exactly stratified and repeated, which StratifiedGroupKFold,
    # that takes rows and their groups, is not.
    split = RepeatedStratifiedKFold(
        n_splits=config.folds, n_repeats=config.repeats, random_state=seed
    )
    for _, held in split.split(users, examples.label[first]):
        inside = np.isin(examples.user_id, users[held])
        yield ~inside, inside


def baselines(known: Examples, unseen: Examples, fold: int, rows: np.ndarray) -> list[Trial]:
    """The commonest perk for everybody; and the strategy's own rules on the early features.

    Rules give a perk and no probability, so their answer is given the shares of the perks that
    customers with this answer have among the customers known.
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
        Trial(MAJORITY, fold, rows, everybody, everybody.argmax(axis=1)),
        Trial(RULES, fold, rows, ruled, unseen.ruled),
    ]


def importance(kind: str, folds: Sequence[Fold], seed: int) -> pd.DataFrame:
    """One row per input: how much the log loss of unseen customers grows when it is shuffled.

    It is shuffled among rows of equal n, so that a count remains possible for the sessions seen.
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
        # Most rows get the value that they had, and most of what asking a model costs is the call.
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
    """The log loss of each row; no perk counts as less likely than one in a thousand.

    scikit-learn's `log_loss` gives no rows, which promotion compares, and has no such floor.
    """
    return -np.log(np.clip(shares[np.arange(len(label)), label], _FLOOR, 1))


def log_loss(label: np.ndarray, shares: np.ndarray) -> float:
    return float(losses(label, shares).mean())


def metrics(label: np.ndarray, shares: np.ndarray, answer: np.ndarray) -> dict[str, float]:
    """The measures of `METRICS` for some rows; `shares` has a column per perk, at least two."""
    perks = np.arange(shares.shape[1])
    # Models that compute in single precision give shares that sum to 1 only up to 7 digits.
    whole = shares / shares.sum(axis=1, keepdims=True)
    # scikit-learn takes no table of shares where there are two perks, which are the top two.
    few = len(perks) <= 2
    return {
        "macro_f1": macro_f1(label, answer, len(perks)),
        "top2_accuracy": 1.0 if few else top_k_accuracy_score(label, shares, k=2, labels=perks),
        "log_loss": log_loss(label, shares),
        "brier": brier_score_loss(label, whole, labels=perks, scale_by_half=False),
        "calibration_error": calibration_error(reliability(label, shares)),
    }


def macro_f1(label: np.ndarray, answer: np.ndarray, size: int) -> float:
    """The mean F1 of the perks 0 to `size`; 0 for one that neither is nor is given."""
    return float(f1_score(label, answer, labels=range(size), average="macro", zero_division=0))


def reliability(label: np.ndarray, shares: np.ndarray) -> pd.DataFrame:
    """One row per bin of the score of the perk given: rows, mean score and share of hits.

    scikit-learn's `calibration_curve` says neither which bins its points are nor of how many rows.
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
    """Expected calibration error: how far score and share of hits lie apart on average."""
    gap = (table["mean_score"] - table["hit_share"]).abs()
    return float(np.average(gap, weights=table["rows"]))


def scores(examples: Examples, trials: Sequence[Trial]) -> pd.DataFrame:
    """One row per model, n and metric: mean and spread over the folds."""
    rows = []
    for trial in trials:
        seen, label = examples.sessions_seen[trial.rows], examples.label[trial.rows]
        for n in np.unique(seen):
            at = seen == n
            values = metrics(label[at], trial.probabilities[at], trial.answer[at])
            rows += [(trial.kind, int(n), name, value) for name, value in values.items()]
    table = pd.DataFrame(rows, columns=["model", "sessions_seen", "metric", "value"])
    grouped = table.groupby(["model", "sessions_seen", "metric"], as_index=False)["value"]
    return grouped.agg(mean="mean", sd="std", trials="size").fillna({"sd": 0.0})


def best(table: pd.DataFrame) -> str:
    """The kind of the lowest log loss over all n."""
    loss = table[(table["metric"] == "log_loss") & table["model"].isin(KINDS)]
    return str(loss.groupby("model")["mean"].mean().idxmin())

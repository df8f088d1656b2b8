"""Trains the candidate of a month, and builds the tables of its evaluation."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.prediction import behaviour_model, early, models, newcomer_lifts
from traveltide_assets.prediction.behaviour_model import Behaviour
from traveltide_assets.prediction.config import Config
from traveltide_assets.prediction.models import Examples, FoldPredictions
from traveltide_assets.prediction.predictor import Predictor, history_graph, learn
from traveltide_assets.prediction.promotion import held_out
from traveltide_assets.prediction.tables import (
    CONFUSION,
    EARLY_RULES,
    IMPORTANCE,
    RELIABILITY,
    SCORES,
)
from traveltide_assets.segmentation.strategy import Fitted
from traveltide_assets.stats.side_by_side import ALONE, Processes
from traveltide_assets.transforms.features.catalogue import OWN

CROSS_VALIDATION = "cross-validation"
NEXT_MONTH = "next month"
LEAK = "leak: full history"
FULL_HISTORY = 0
_UNKNOWN = -1


class TooFewCustomers(ValueError):
    """Too few customers or perks to train a model. The message says what is missing."""


@dataclass(frozen=True)
class Report:
    """The evaluation of the candidate and its rivals. Columns are those of the contracts.

    `lifts` are those of both kinds of model of behaviour. The other tables are about predicting the
    perk of a full history.
    """

    lifts: pd.DataFrame
    scores: pd.DataFrame
    confusion: pd.DataFrame
    importance: pd.DataFrame
    reliability: pd.DataFrame


def labelled(
    features: pd.DataFrame, assignments: pd.DataFrame, rules: pd.DataFrame
) -> pd.DataFrame:
    """The early features of assigned customers, with the `perk` from their full history.

    `ruled` is the perk according to `rules`, a table of `by_rules`.
    """
    perk = assignments[["user_id", "perk"]]
    merged = features.merge(perk, on="user_id", validate="many_to_one")
    by_row = rules.rename(columns={"perk": "ruled"})
    merged = merged.merge(by_row, on=["user_id", early.SEEN], validate="one_to_one")
    return merged.sort_values(["user_id", early.SEEN], ignore_index=True)


def by_rules(rules: Fitted, features: pd.DataFrame) -> pd.DataFrame:
    """One row per customer and n: the perk of the fitted strategy from early features."""
    found = [
        rows[["user_id", early.SEEN]].assign(perk=rules.assign(rows)["perk"].to_numpy())
        for _, rows in features.groupby(early.SEEN)
        for rows in [rows.reset_index(drop=True)]
    ]
    columns = list(EARLY_RULES.column_names)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def examples_of(known: pd.DataFrame, names: tuple[str, ...], config: Config) -> Examples:
    """The training data: the rows of all perks with enough customers.

    `known` has features, `perk`, and `ruled` if the rules are to be evaluated. Raises
    `TooFewCustomers`.
    """
    sizes = known.groupby("perk")["user_id"].nunique()
    perks = tuple(sorted(sizes.index[sizes >= 2 * config.folds]))
    kept = known[known["perk"].isin(perks)]
    customers = kept["user_id"].nunique()
    if customers < config.min_customers or len(perks) < 2:
        raise TooFewCustomers(
            f"{customers} customers with {len(perks)} perks to learn from; at least "
            f"{config.min_customers} customers and two perks are needed (prediction.min_customers)"
        )
    place = pd.Index(perks)
    return Examples(
        user_id=kept["user_id"].to_numpy(),
        sessions_seen=kept[early.SEEN].to_numpy(),
        inputs=early.inputs(kept, names),
        label=place.get_indexer(kept["perk"]),
        ruled=place.get_indexer(kept["ruled"]) if "ruled" in kept else np.full(len(kept), _UNKNOWN),
        names=names,
        perks=perks,
    )


def train(
    known: pd.DataFrame,
    later: pd.DataFrame,
    features: pd.DataFrame,
    perks: Sequence[Perk],
    config: Config,
    seed: int,
    strategy: str,
    month: str,
    data_version: str,
    processes: Processes = ALONE,
) -> tuple[Predictor, Report]:
    """The month's candidate and its evaluation. Raises `TooFewCustomers`.

    `known` are labelled early features, `later` what followed, `features` the full history of the
    same customers. Held-out customers are not used.
    """
    learnt = known[~held_out(known["user_id"], config.holdout)]
    names = early.input_names(known)
    examples = examples_of(learnt, names, config)
    perks = _commonest_first(perks, learnt)
    (measured, model), (kind, graph, tables) = processes.each(
        operator.call,
        [
            (_learn_behaviour, learnt, later, names, perks, config, seed),
            (_learn_history, learnt, features, examples, config, seed),
        ],
        rows=len(features),
    )
    predictor = learn(
        model,
        perks,
        kind,
        graph,
        examples,
        strategy=strategy,
        month=month,
        data_version=data_version,
    )
    return predictor, Report(measured, **tables)


def _learn_behaviour(
    learnt: pd.DataFrame,
    later: pd.DataFrame,
    names: tuple[str, ...],
    perks: Sequence[Perk],
    config: Config,
    seed: int,
) -> tuple[pd.DataFrame, Behaviour]:
    """The lifts of both kinds of model of behaviour, and the one to use, trained on everything."""
    measured, kind = newcomer_lifts.forward(learnt, later, names, perks, config, seed)
    observed = newcomer_lifts.known_by_n(learnt, newcomer_lifts.whole(later), names, perks)
    if not observed or len(perks) < 2:
        raise TooFewCustomers("nobody did anything after their first session, or there is one perk")
    return measured, behaviour_model.fit(kind, observed, names, seed)


def _learn_history(
    learnt: pd.DataFrame, features: pd.DataFrame, examples: Examples, config: Config, seed: int
) -> tuple[str, bytes, dict[str, pd.DataFrame]]:
    """The kind of model of the perk by full history to use, its graph, and the tables on it."""
    tried = _some(examples, config.sample_customers, seed)
    predictions, folds = models.cross_validate(tried, config, seed)
    scores = models.scores(tried, predictions)
    kind = models.best(scores)
    chosen = [one for one in predictions if one.kind == kind]
    leak = _leak(learnt, features, config, seed)
    both = pd.concat([_evaluated(scores, CROSS_VALIDATION, tried.customers), leak])
    tables = {
        "scores": both[list(SCORES.column_names)],
        "confusion": _confusion(tried, chosen, config.repeats),
        "importance": models.importance(kind, folds, seed)[list(IMPORTANCE.column_names)],
        "reliability": _reliability(tried, chosen, config.repeats),
    }
    return kind, history_graph(kind, examples, config, seed), tables


def of_last_month(
    before: pd.DataFrame | None,
    first: pd.DataFrame | None,
    known: pd.DataFrame,
    config: Config,
) -> pd.DataFrame:
    """`next_month` of last month's candidate, as stored. `first` are that month's early features.

    Empty if the lake lacks either.
    """
    earlier = None if before is None else Predictor.from_frame(before)
    if earlier is None or first is None:
        return pd.DataFrame(columns=list(SCORES.column_names))
    return next_month(earlier, first["user_id"], known, config)


def next_month(
    earlier: Predictor, learnt_from: pd.Series, known: pd.DataFrame, config: Config
) -> pd.DataFrame:
    """Scores of an earlier month's candidate on customers of this month it was not trained on.

    `learnt_from` are the customers of its own month. Also scores this month's most frequent perk on
    the same customers. A perk that the candidate does not know counts as a miss.
    """
    unseen = ~known["user_id"].isin(learnt_from) | held_out(known["user_id"], config.holdout)
    evaluated, others = known[unseen], known[~unseen]
    if evaluated.empty or others.empty or not earlier.reads(evaluated):
        return pd.DataFrame(columns=list(SCORES.column_names))
    perks = pd.Index(
        [*earlier.history_perks, *sorted(set(known["perk"]) - set(earlier.history_perks))]
    )
    shares = earlier.history_shares(early.inputs(evaluated, earlier.inputs))
    unknown = np.zeros((len(evaluated), len(perks) - len(earlier.history_perks)))
    common = others["perk"].value_counts(normalize=True).reindex(perks, fill_value=0.0)
    answers = {
        earlier.history_kind: np.hstack([shares, unknown]),
        models.MAJORITY: np.tile(common, (len(evaluated), 1)),
    }
    seen, label = evaluated[early.SEEN], perks.get_indexer(evaluated["perk"])
    rows = [
        (NEXT_MONTH, kind, int(n), name, value, 0.0, 1, int(at.sum()))
        for kind, likely in answers.items()
        for n in sorted(seen.unique())
        for at in [(seen == n).to_numpy()]
        for name, value in models.metrics(label[at], likely[at], likely[at].argmax(axis=1)).items()
    ]
    return pd.DataFrame(rows, columns=list(SCORES.column_names))


def _commonest_first(perks: Sequence[Perk], learnt: pd.DataFrame) -> tuple[Perk, ...]:
    """The perks by number of customers who have them: the first is given if nothing is foretold."""
    count = learnt.drop_duplicates("user_id")["perk"].value_counts()
    return tuple(sorted(perks, key=lambda perk: -int(count.get(perk.id, 0))))


def _some(examples: Examples, most: int, seed: int) -> Examples:
    users = np.unique(examples.user_id)
    chosen = np.random.default_rng(seed).permutation(users)[:most]
    return examples.of(np.isin(examples.user_id, chosen))


def _leak(learnt: pd.DataFrame, features: pd.DataFrame, config: Config, seed: int) -> pd.DataFrame:
    """The label predicted from the very features that define it, as published work often does."""
    label = learnt[["user_id", "perk"]].drop_duplicates()
    full = features.merge(label, on="user_id").assign(**{early.SEEN: FULL_HISTORY})
    examples = examples_of(full, early.input_names(full, OWN), config)
    tried = _some(examples, config.sample_customers, seed)
    once = config.model_copy(update={"repeats": 1})
    # The simplest model suffices: the leak is in the data and shows with any model.
    predictions, _ = models.cross_validate(tried, once, seed, (models.LOGISTIC,))
    scores = models.scores(tried, [one for one in predictions if one.kind == models.LOGISTIC])
    return _evaluated(scores, LEAK, tried.customers)


def _evaluated(scores: pd.DataFrame, evaluation: str, customers: int) -> pd.DataFrame:
    return scores.assign(evaluation=evaluation, customers=customers)


def _pooled(predictions: list[FoldPredictions]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, probabilities and answers of all folds of all repeats."""
    return (
        np.concatenate([one.rows for one in predictions]),
        np.concatenate([one.probabilities for one in predictions]),
        np.concatenate([one.answer for one in predictions]),
    )


def _confusion(
    examples: Examples, predictions: list[FoldPredictions], repeats: int
) -> pd.DataFrame:
    rows, _, answer = _pooled(predictions)
    names = np.array(examples.perks, dtype=object)
    table = pd.DataFrame(
        {
            "sessions_seen": examples.sessions_seen[rows],
            "perk": names[examples.label[rows]],
            "predicted": names[answer],
        }
    )
    counts = table.value_counts().rename("customers").reset_index()
    counts["customers"] /= repeats
    whole = counts.groupby(["sessions_seen", "perk"])["customers"].transform("sum")
    return counts.assign(share=counts["customers"] / whole)[list(CONFUSION.column_names)]


def _reliability(
    examples: Examples, predictions: list[FoldPredictions], repeats: int
) -> pd.DataFrame:
    rows, shares, _ = _pooled(predictions)
    seen, label = examples.sessions_seen[rows], examples.label[rows]
    tables = [
        models.reliability(label[seen == n], shares[seen == n]).assign(sessions_seen=int(n))
        for n in np.unique(seen)
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(customers=table["rows"] / repeats)[list(RELIABILITY.column_names)]

"""The model card of a month, built from tables of the lake. The report renders it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.prediction.models import KINDS, MAJORITY, RULES
from traveltide_assets.prediction.predictor import Predictor
from traveltide_assets.prediction.training import CROSS_VALIDATION, LEAK, NEXT_MONTH

_INPUTS = 8
INTENDED = (
    "For inviting customers from sign-up to their fifth session, who have no segment yet. It says "
    "what they will do after what has been seen of them, per opportunity, and gives the perk whose "
    "behaviour is expected to exceed the average most. It does not say which perk would change "
    "what they do."
)
LEFT_OUT = (
    "Gender is not an input, nor is anything that reveals how long ago the sessions were or who "
    "else is in the cohort. The model learns from customers who became active; most newcomers do "
    "not, and what they would have done is not known. A behaviour that nothing foretells beyond "
    "noise is expected to be average, and its perk is not given. Which perk the strategy would "
    "give after a full history is a second answer; it rests on the first sessions too, so part of "
    "it is predicted from itself."
)


@dataclass(frozen=True)
class ModelCard:
    """The model of a month.

    `lifts` compares the kinds of model and the baselines, `held_out` the candidate and its rivals.
    `signals` are the terms that foretell each perk's behaviour at sign-up: a row per perk, input
    and threshold, with the weight in standard deviations. `scores` and what follows is about the
    perk of a full history: a row per number of sessions seen, a column per metric.

    `next_month` and `next_majority` are last month's model and this month's most frequent perk,
    evaluated on the same customers; both are empty without an earlier month. `contest` is the table
    of promotion: candidate and rivals on customers held out from training in every month. `leak` is
    the macro F1 of predicting the label from the features that define it, which is no prediction.
    """

    intended: str
    left_out: str
    version: str
    kind: str
    trained_on: str
    strategy: str
    data_version: str
    customers: int
    perks: tuple[str, ...]
    in_service: str
    promoted: bool
    because: str
    contest: pd.DataFrame
    lifts: pd.DataFrame
    held_out: pd.DataFrame
    signals: pd.DataFrame
    history_kind: str
    history_perks: tuple[str, ...]
    scores: pd.DataFrame
    majority: pd.DataFrame
    rules: pd.DataFrame
    next_month: pd.DataFrame
    next_majority: pd.DataFrame
    leak: float
    inputs: pd.DataFrame
    confusion: pd.DataFrame
    reliability: pd.DataFrame


def build(
    candidate: pd.DataFrame,
    serving: pd.DataFrame,
    decision: pd.DataFrame,
    lifts: pd.DataFrame,
    held_out: pd.DataFrame,
    scores: pd.DataFrame,
    importance: pd.DataFrame,
    confusion: pd.DataFrame,
    reliability: pd.DataFrame,
) -> ModelCard | None:
    """The card of a month from its stored tables. None if too few customers gave no candidate."""
    predictor = Predictor.from_frame(candidate)
    if predictor is None:
        return None
    model = candidate.iloc[0]
    leaked = scores[(scores["evaluation"] == LEAK) & scores["model"].isin(KINDS)]
    return ModelCard(
        intended=INTENDED,
        left_out=LEFT_OUT,
        version=model["model_version"],
        kind=model["kind"],
        trained_on=model["trained_on"],
        strategy=model["strategy"],
        data_version=model["data_version"],
        customers=int(model["customers"]),
        perks=tuple(model["perks"]),
        in_service=serving["model_version"].iloc[0] if len(serving) else "none",
        promoted=bool(decision["promoted"].any()),
        because=decision["because"].iloc[0] if len(decision) else "no customers to evaluate it on",
        contest=decision,
        lifts=lifts,
        held_out=held_out,
        signals=_signals(predictor),
        history_kind=predictor.history_kind,
        history_perks=predictor.history_perks,
        scores=_table(scores, CROSS_VALIDATION, predictor.history_kind),
        majority=_table(scores, CROSS_VALIDATION, MAJORITY),
        rules=_table(scores, CROSS_VALIDATION, RULES),
        next_month=_table(scores, NEXT_MONTH, *KINDS),
        next_majority=_table(scores, NEXT_MONTH, MAJORITY),
        leak=float(leaked.loc[leaked["metric"] == "macro_f1", "mean"].max()),
        inputs=importance.nlargest(_INPUTS, "mean"),
        confusion=confusion,
        reliability=reliability,
    )


def _signals(predictor: Predictor) -> pd.DataFrame:
    """One row per perk and term with a weight at sign-up, in the order of the perks."""
    terms, weights = predictor.behaviour.terms, predictor.behaviour.weights[0]
    rows = [
        (perk, predictor.inputs[terms.place[t]], float(terms.threshold[t]), float(weights[t, k]))
        for k, perk in enumerate(predictor.perks)
        for t in np.flatnonzero(weights[:, k])
    ]
    return pd.DataFrame(rows, columns=["perk", "input", "threshold", "weight"])


def _table(scores: pd.DataFrame, evaluation: str, *kinds: str) -> pd.DataFrame:
    rows = scores[(scores["evaluation"] == evaluation) & scores["model"].isin(kinds)]
    return rows.pivot_table(index="sessions_seen", columns="metric", values="mean")

"""The model card of a month, built from tables of the lake. The report renders it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from traveltide_assets.prediction.models import KINDS, MAJORITY, RULES
from traveltide_assets.prediction.training import CROSS_VALIDATION, LEAK, NEXT_MONTH

_INPUTS = 8
INTENDED = (
    "For inviting customers with up to five sessions, who have no segment yet. It predicts which "
    "perk the deciding strategy would give them later, not which perk would change what they do."
)
LEFT_OUT = (
    "Gender is not an input, nor is anything that reveals how long ago the sessions were or who "
    "else is in the cohort. The model learns from customers who became active; most newcomers do "
    "not, and they have no perk to evaluate it against. The perk to be predicted rests on all "
    "sessions, including the first five, so part of the gain from one session to five comes from "
    "seeing more of the answer."
)


@dataclass(frozen=True)
class ModelCard:
    """The model of a month. `scores` has a row per number of sessions seen, a column per metric.

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
    scores: pd.DataFrame,
    importance: pd.DataFrame,
    confusion: pd.DataFrame,
    reliability: pd.DataFrame,
) -> ModelCard | None:
    """The card of a month from its stored tables. None if too few customers gave no candidate."""
    if candidate.empty:
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
        scores=_table(scores, CROSS_VALIDATION, model["kind"]),
        majority=_table(scores, CROSS_VALIDATION, MAJORITY),
        rules=_table(scores, CROSS_VALIDATION, RULES),
        next_month=_table(scores, NEXT_MONTH, *KINDS),
        next_majority=_table(scores, NEXT_MONTH, MAJORITY),
        leak=float(leaked.loc[leaked["metric"] == "macro_f1", "mean"].max()),
        inputs=importance.nlargest(_INPUTS, "mean"),
        confusion=confusion,
        reliability=reliability,
    )


def _table(scores: pd.DataFrame, evaluation: str, *kinds: str) -> pd.DataFrame:
    rows = scores[(scores["evaluation"] == evaluation) & scores["model"].isin(kinds)]
    return rows.pivot_table(index="sessions_seen", columns="metric", values="mean")

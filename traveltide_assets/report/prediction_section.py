"""The report's section on the predictor: the month's model card in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from traveltide_assets.prediction.model_card import ModelCard
from traveltide_assets.prediction.models import BINS, MAJORITY, MEMBERS, RULES, VOTE
from traveltide_assets.prediction.promotion import ALL, IN_SERVICE, beaten_by
from traveltide_assets.report import charts, words
from traveltide_assets.report.heat import HeatRow

_ROWS = (
    ("The model", "scores"),
    ("Rules of the strategy", "rules"),
    ("Commonest perk for everybody", "majority"),
    ("Last month's model, on this month's customers", "next_month"),
    ("Commonest perk, on the same customers", "next_majority"),
)
_RIVALS = {
    IN_SERVICE: "the model in service before",
    RULES: "the rules of the strategy",
    MAJORITY: "the commonest perk for everybody",
}


def context(
    card: ModelCard | None, titles: Mapping[str, str], strategies: Mapping[str, str]
) -> dict[str, Any] | None:
    """What the template shows of a model; None if no model was trained.

    `titles` are the perks' by id, `strategies` the strategies' by name.
    """
    if card is None:
        return None
    seen = list(card.scores.index)
    loss = {name: getattr(card, table).get("log_loss") for name, table in _ROWS[:3]}
    return {
        "version": card.version,
        "kind": f"{VOTE} ({words.listed(MEMBERS)} together)" if card.kind == VOTE else card.kind,
        "month": words.month_name(card.trained_on),
        "customers": f"{card.customers:,}",
        "strategy": strategies[card.strategy],
        "data_version": card.data_version,
        "intended": card.intended,
        "left_out": card.left_out,
        "in_service": card.in_service,
        "promoted": card.promoted,
        "because": card.because,
        "seen": seen,
        "rows": [
            (name, [_quality(table, n) for n in seen])
            for name, attribute in _ROWS
            if len(table := getattr(card, attribute))
        ],
        "contest": _contest(card.contest),
        "calibration": _calibration(card.reliability),
        "off": words.listed([words.percent(card.scores.loc[n, "calibration_error"]) for n in seen]),
        "after": words.listed([str(n) for n in seen]),
        "beats": _beats(loss["The model"], loss),
        "leak": words.decimal(card.leak),
        "best": words.decimal(float(card.scores["macro_f1"].max())),
        "inputs": _inputs(card.inputs),
        "most": max(seen),
        **_confusion(card, titles, max(seen)),
        "picture": charts.learning(loss),
    }


def _quality(table: pd.DataFrame, n: int) -> dict[str, str]:
    """Quality after n sessions; dashes if it was not measured."""
    row = table.loc[n] if n in table.index else {}
    return {
        "top2": words.percent(row.get("top2_accuracy", math.nan)),
        "f1": words.decimal(row.get("macro_f1", math.nan)),
        "loss": words.decimal(row.get("log_loss", math.nan)),
    }


def _beats(own: pd.Series, loss: Mapping[str, pd.Series]) -> str:
    """The numbers of sessions after which the model has a lower log loss than both baselines."""
    others = pd.concat([table for table in loss.values() if table is not own], axis=1)
    ahead = own < others.min(axis=1)
    if ahead.all():
        return "after every number of sessions tested"
    if not ahead.any():
        return "after none of the numbers of sessions tested"
    return f"after {words.listed([str(n) for n in own.index[ahead]])} sessions only"


def _calibration(reliability: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """By tenth of the score: predictions, mean score, share that came true. Sessions are pooled."""
    answers = reliability["customers"]
    weighed = reliability.assign(
        score=reliability["mean_score"] * answers, hits=reliability["hit_share"] * answers
    )
    sums = weighed.groupby("bin")[["customers", "score", "hits"]].sum()
    return [
        (
            f"{words.percent(place / BINS)} to {words.percent((place + 1) / BINS)}",
            f"{row['customers']:,.0f}",
            words.percent(row["score"] / row["customers"]),
            words.percent(row["hits"] / row["customers"]),
        )
        for place, row in zip(sums.index, sums.to_dict("records"), strict=True)
    ]


def _contest(table: pd.DataFrame) -> dict[str, Any]:
    """The model and its rivals by number of sessions seen, all together last."""
    rivals = [name for name in _RIVALS if name in set(table["rival"])]
    worse = [
        f"worse than {_RIVALS[name]} after {words.listed([str(n) for n in seen])}"
        for name in rivals
        if (seen := beaten_by(table, name))
    ]
    rows = []
    for n in sorted(set(table["sessions_seen"]), key=lambda n: (n == ALL, n)):
        at = table[table["sessions_seen"] == n].set_index("rival")
        own = at.iloc[0]
        others = [_against(at.loc[name]) for name in rivals]
        scored = {"loss": words.decimal(own["loss_candidate"], 3)}
        scored["f1"] = words.decimal(own["f1_candidate"])
        rows.append(("All together" if n == ALL else str(n), scored, others))
    return {
        "rivals": [_RIVALS[name].removeprefix("the ").capitalize() for name in rivals],
        "rows": rows,
        "customers": f"{table['customers'].max():,}" if len(table) else "0",
        "worse": words.listed(worse) if worse else "",
    }


def _against(row: pd.Series) -> dict[str, str]:
    mean, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    apart = f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
    return {
        "loss": words.decimal(row["loss_rival"], 3),
        "f1": words.decimal(row["f1_rival"]),
        "apart": apart.replace("-", "\N{MINUS SIGN}"),
    }


def _inputs(importance: pd.DataFrame) -> list[dict[str, Any]]:
    """The inputs whose permutation costs most; the longest bar fills the width."""
    top = max(float(importance["mean"].max()), 1e-9)
    return [
        {
            "name": _input(row["input"]),
            "loss": f"{row['mean']:+.3f}",
            "width": max(0.0, 100 * row["mean"] / top),
        }
        for _, row in importance.iterrows()
    ]


def _input(name: str) -> str:
    feature, text, value = name.partition("=")
    label = words.FEATURES[feature].label
    return f"{label}: {value}" if text else label


def _confusion(card: ModelCard, titles: Mapping[str, str], n: int) -> dict[str, Any]:
    """Share of each perk's customers (row) for whom each perk is predicted after n sessions."""
    at = card.confusion[card.confusion["sessions_seen"] == n]
    shares = at.pivot_table(index="perk", columns="predicted", values="share", fill_value=0.0)
    shares = shares.reindex(index=card.perks, columns=card.perks, fill_value=0.0)
    right = pd.Series({perk: shares.loc[perk, perk] for perk in card.perks})
    worst = shares.loc[right.idxmin()].drop(right.idxmin())
    return {
        "perks": [titles.get(perk, perk) for perk in card.perks],
        "confusion": [
            HeatRow(
                titles.get(perk, perk),
                tuple((words.percent(v), float(v)) for v in shares.loc[perk]),
            )
            for perk in card.perks
        ],
        "weakest": {
            "perk": titles.get(str(right.idxmin()), str(right.idxmin())),
            "found": words.percent(float(right.min())),
            "instead": titles.get(str(worst.idxmax()), str(worst.idxmax())),
        },
    }

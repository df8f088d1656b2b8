"""The report's section on the predictor: the month's model card in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from traveltide_assets.prediction.behaviour_model import NOTHING
from traveltide_assets.prediction.model_card import ModelCard
from traveltide_assets.prediction.models import BINS, MAJORITY, RULES
from traveltide_assets.prediction.newcomer_lifts import ALL, ALL_PERKS
from traveltide_assets.prediction.promotion import IN_SERVICE, beaten_by
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
    MAJORITY: "one perk for everybody",
}

# Terms of a smaller weight are not told.
_SAID = 0.03


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
        "kind": card.kind,
        "foretells": card.kind != NOTHING,
        "history_kind": card.history_kind,
        "signals": _signals(card, titles),
        "kinds": _gains(card.lifts),
        "lifts": _lifts(card, titles),
        "gains": charts.gains(card.held_out),
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
    """The gain of the model and its rivals by number of sessions seen, the mean over all last."""
    rivals = [name for name in _RIVALS if name in set(table["rival"])]
    worse = [
        f"worse than {_RIVALS[name]} after {words.listed([str(n) for n in seen])}"
        for name in rivals
        if (seen := beaten_by(table, name))
    ]
    rows = []
    for n in sorted(set(table["sessions_seen"]), key=lambda n: (n == ALL, n)):
        at = table[table["sessions_seen"] == n].set_index("rival")
        others = [_against(at.loc[name]) for name in rivals]
        rows.append((_after(n), _signed(at["gain_candidate"].iloc[0]), others))
    return {
        "rivals": [_RIVALS[name].removeprefix("the ").capitalize() for name in rivals],
        "rows": rows,
        "customers": f"{table['customers'].max():,}" if len(table) else "0",
        "worse": words.listed(worse) if worse else "",
    }


def _against(row: pd.Series) -> dict[str, str]:
    apart = _interval(*(row[f"difference{end}"] for end in ("", "_low", "_high")))
    return {"gain": _signed(row["gain_rival"]), "apart": apart}


def _gains(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The gain over every n of each kind of model and baseline, with its interval."""
    rows = table[(table["perk"] == ALL_PERKS) & (table["sessions_seen"] == ALL)]
    return [
        (row["model"].capitalize(), _interval(row["gain"], row["gain_low"], row["gain_high"]))
        for row in rows.to_dict("records")
    ]


def _lifts(card: ModelCard, titles: Mapping[str, str]) -> list[tuple[str, str, str, str, str]]:
    """By n and perk that the model gives: its customers, and what they did against the others."""
    rows = card.held_out[
        (card.held_out["model"] == card.kind) & (card.held_out["perk"] != ALL_PERKS)
    ]
    return [
        (
            _after(row["sessions_seen"]),
            titles.get(row["perk"], row["perk"]),
            f"{row['customers']:,}",
            f"{words.decimal(row['mean'])} against {words.decimal(row['mean_others'])}",
            f"{words.decimal(row['lift'])} ({words.decimal(row['lift_low'])} to "
            f"{words.decimal(row['lift_high'])})",
        )
        for row in rows.sort_values(["sessions_seen", "perk"]).to_dict("records")
    ]


def _signals(card: ModelCard, titles: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """By perk: what speaks for it and what against it at sign-up, strongest first."""
    found = []
    for perk in card.perks:
        rows = card.signals[card.signals["perk"] == perk]
        rows = rows.sort_values("weight", key=lambda weights: -weights.abs())
        said = [
            [_term(row) for row in rows.to_dict("records") if sign * row["weight"] >= _SAID]
            for sign in (1, -1)
        ]
        more, less = (words.listed(each) if each else "nothing" for each in said)
        found.append((titles.get(perk, perk), more, less))
    return found


def _term(row: Mapping[str, Any]) -> str:
    label = _input(row["input"])
    feature = words.FEATURES[row["input"].partition("=")[0]]
    yes = feature.type in ("boolean", "string")
    condition = label if yes else f"{label} {row['threshold']:g} or more"
    return f"{condition} ({_signed(row['weight'], 2)})"


def _after(n: int) -> str:
    return "Mean over all" if n == ALL else str(n)


def _signed(value: float, digits: int = 3) -> str:
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _interval(mean: float, low: float, high: float) -> str:
    return f"{_signed(mean)} ({_signed(low)} to {_signed(high)})"


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
    perks = card.history_perks
    shares = shares.reindex(index=perks, columns=perks, fill_value=0.0)
    right = pd.Series({perk: shares.loc[perk, perk] for perk in perks})
    worst = shares.loc[right.idxmin()].drop(right.idxmin())
    return {
        "perks": [titles.get(perk, perk) for perk in perks],
        "confusion": [
            HeatRow(
                titles.get(perk, perk),
                tuple((words.percent(v), float(v)) for v in shares.loc[perk]),
            )
            for perk in perks
        ],
        "weakest": {
            "perk": titles.get(str(right.idxmin()), str(right.idxmin())),
            "found": words.percent(float(right.min())),
            "instead": titles.get(str(worst.idxmax()), str(worst.idxmax())),
        },
    }

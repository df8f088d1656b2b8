"""The page *Experiment*: who is in it, what it can detect, and what it showed so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from traveltide_assets.campaign import release_files
from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.judging import BETTER, HARM, WORSE
from traveltide_assets.experiment.metrics import METRICS
from traveltide_assets.report import next_section, offers_section, phrases, words
from traveltide_assets.report.charts.experiments import standard_errors
from traveltide_assets.report.experiment_section import in_words
from traveltide_assets.serving.desk import charts
from traveltide_assets.serving.desk.decision import Decision

_PLACES = {metric.name: place for place, metric in enumerate(METRICS)}
_TITLES = {metric.name: metric.title for metric in METRICS}
_LOOKS = {BETTER: ("✓", "supported"), WORSE: ("✗", "not-supported"), HARM: ("✗", "not-supported")}


def context(decision: Decision, strategies: Mapping[str, str]) -> dict[str, Any]:
    """What the template shows; `plan` and `read` are None if the release lacks their tables.

    `strategies` are what the strategies are called, by name.
    """
    plan = _table(decision, release_files.PLAN)
    read = _table(decision, release_files.READOUT)
    return {
        "running": decision.facts["experiment"]["running"],
        "facts": decision.facts["experiment"],
        "arms": [
            (arm, f"{size:,}")
            for arm, size in decision.people["arm"].value_counts().items()
            if size
        ],
        "plan": None if plan is None else _planned(plan),
        "read": None if read is None else _read(read),
        "weekly": _weekly(decision),
        "campaigns": _campaigns(decision),
        "policies": _policies(decision, strategies),
        "budget": _budget(decision),
        "peek": read is not None and bool(read["peek"].any()),
        "until": None
        if read is None or read.empty
        else f"{pd.Timestamp(read['read_until'].max()):%d %B %Y}",
    }


def _budget(decision: Decision) -> dict[str, Any] | None:
    """The budget curve in words and drawn; None if nothing in the month depended on money."""
    curve = _filled(decision, release_files.BUDGET_CURVE)
    if curve is None:
        return None
    return {
        "said": next_section.budget_in_words(curve),
        "chart": charts.budget(curve),
        "rows": [
            [
                f"{row[name]:,.0f}"
                for name in ("budget_usd", "customers", "expected_net_value_usd", "low", "high")
            ]
            for _, row in curve.iterrows()
        ],
    }


def _weekly(decision: Decision) -> dict[str, Any] | None:
    """The looks of each week in words, and a chart per goal; None if no week can be read."""
    looks = _filled(decision, release_files.LOOKS)
    if looks is None:
        return None
    goals = looks[looks["role"] == "goal"].sort_values(["metric", "week"])
    read = goals.assign(distance=standard_errors(goals), bound=goals["look_bound"])
    shown = [
        (name, each) for name, each in read.groupby("metric") if each["distance"].notna().any()
    ]
    return {
        **offers_section.weekly(looks),
        "charts": [
            (name, _title(str(name)), charts.weekly(each[["week", "distance", "bound"]]))
            for name, each in shown
        ],
    }


def _campaigns(decision: Decision) -> list[dict[str, Any]]:
    """What the offers of each campaign did, in words, as a table, and a chart per goal."""
    effects = _filled(decision, release_files.EFFECTS)
    if effects is None:
        return []
    titles = {perk.id: perk.title for perk in decision.perks.values()}
    return [
        {**each, "charts": _effects_drawn(each["overall"], each["told"])}
        for each in offers_section.campaigns(effects, titles)
    ]


def _effects_drawn(
    overall: pd.DataFrame, labels: Mapping[str, str]
) -> list[tuple[str, str, dict[str, Any]]]:
    """A chart per goal that was seen at all; one that nobody reached has no interval."""
    goals = overall[overall["role"] == "goal"].dropna(subset=["difference", "low", "high"])
    goals = goals[goals["low"] < goals["high"]]
    read = goals.assign(label=goals["comparison"].map(labels)).dropna(subset="label")
    return [
        (
            str(metric),
            _title(str(metric)),
            charts.effects(
                rows[["label", "difference", "low", "high"]], "difference for each customer"
            ),
        )
        for metric, rows in read.groupby("metric", sort=False)
    ]


def _policies(decision: Decision, strategies: Mapping[str, str]) -> dict[str, Any] | None:
    """The value of each way of choosing; None as long as too little was drawn at random."""
    valued = _filled(decision, release_files.POLICIES)
    if valued is None:
        return None
    titles = {perk.id: perk.title for perk in decision.perks.values()}
    said = next_section.policies(valued, titles, strategies)
    called = next_section.names(valued, titles, strategies)
    drawn = pd.DataFrame(
        {
            "label": valued["policy"].map(called),
            "difference": valued["value"],
            "low": valued["low"],
            "high": valued["high"],
        }
    )
    return {**said, "chart": charts.effects(drawn, "USD for each customer")}


def _filled(decision: Decision, name: str) -> pd.DataFrame | None:
    """A table of the release; None if it lacks the table or has no row in it."""
    rows = decision.release.frame(name) if decision.has(name) else pd.DataFrame()
    return None if rows.empty else rows


def _table(decision: Decision, name: str) -> pd.DataFrame | None:
    """A table in the order of the metrics, all customers before the segments."""
    if not decision.has(name):
        return None
    rows = decision.release.frame(name)
    ordered = rows.assign(
        place=rows["metric"].map(_PLACES), single=rows["segment"] != EVERYBODY
    ).sort_values(["place", "single", "segment"])
    return rows.loc[ordered.index]


def _planned(plan: pd.DataFrame) -> list[dict[str, Any]]:
    """A row per metric for all customers: what the experiment needs, and whether it has that."""
    return [
        {
            "metric": _title(row["metric"]),
            "role": row["role"],
            "customers": f"{row['customers_personalised'] + row['customers_control']:,}",
            "baseline": _value(row["baseline_mean"], row["kind"]),
            "assumed": row["baseline_from"] == "assumed",
            "detectable": phrases.share(row["detectable_relative"]),
            "power": phrases.share(row["power"]),
            "power_after": phrases.share(row["power_after"]),
            "needed": _whole(row["customers_needed"]),
            "weeks": _whole(row["weeks_needed"]),
            "verdict": row["verdict"],
        }
        for _, row in plan[plan["segment"] == EVERYBODY].iterrows()
    ]


def _read(read: pd.DataFrame) -> list[dict[str, Any]]:
    """Each metric with its chart and a row for all customers and per segment."""
    found = []
    for metric, rows in read.groupby("metric", sort=False):
        drawn = rows[["segment", "difference", "low", "high"]].dropna()
        found.append(
            {
                "metric": _title(str(metric)),
                "name": metric,
                "chart": charts.effects(
                    drawn.rename(columns={"segment": "label"}), "personalised minus control"
                ),
                "rows": [_outcome(row) for _, row in rows.iterrows()],
            }
        )
    return found


def _outcome(row: pd.Series) -> dict[str, Any]:
    symbol, css = _LOOKS.get(row["verdict"], ("?", "not-tested"))
    return {
        "segment": row["segment"],
        "customers": f"{row['customers_personalised'] + row['customers_control']:,}",
        "personalised": _value(row["personalised"], row["kind"]),
        "control": _value(row["control"], row["kind"]),
        "p_holm": words.decimal(row["p_holm"]),
        "verdict": row["verdict"],
        "symbol": symbol,
        "css": css,
        "in_words": in_words(row),
    }


def _title(metric: str) -> str:
    title = _TITLES.get(metric, metric)
    return title[:1].upper() + title[1:]


def _value(value: float, kind: str) -> str:
    return phrases.share(value, 1) if kind == "rate" else words.decimal(value)


def _whole(value: float) -> str:
    return words.NONE if math.isnan(value) else f"{value:,.0f}"

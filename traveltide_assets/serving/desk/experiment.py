"""The page *Experiment*: who is in it, what it can detect, and what it showed so far."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from traveltide_assets.campaign import release_files
from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.judging import BETTER, HARM, WORSE
from traveltide_assets.experiment.metrics import METRICS
from traveltide_assets.report import next_section, phrases, words
from traveltide_assets.report.experiment_section import in_words
from traveltide_assets.serving.desk import charts
from traveltide_assets.serving.desk.decision import Decision

_PLACES = {metric.name: place for place, metric in enumerate(METRICS)}
_TITLES = {metric.name: metric.title for metric in METRICS}
_LOOKS = {BETTER: ("✓", "supported"), WORSE: ("✗", "not-supported"), HARM: ("✗", "not-supported")}


def context(decision: Decision) -> dict[str, Any]:
    """What the template shows; `plan` and `read` are None if the release lacks their tables."""
    plan = _table(decision, release_files.PLAN)
    read = _table(decision, release_files.READOUT)
    return {
        "running": decision.facts["experiment"]["running"],
        "facts": decision.facts["experiment"],
        "arms": [(arm, f"{size:,}") for arm, size in decision.people["arm"].value_counts().items()],
        "plan": None if plan is None else _planned(plan),
        "read": None if read is None else _read(read),
        "budget": _budget(decision),
        "peek": read is not None and bool(read["peek"].any()),
        "until": None
        if read is None or read.empty
        else f"{pd.Timestamp(read['read_until'].max()):%d %B %Y}",
    }


def _budget(decision: Decision) -> dict[str, Any] | None:
    """The budget curve in words and drawn; None if nothing in the month depended on money."""
    if not decision.has(release_files.BUDGET_CURVE):
        return None
    curve = decision.release.frame(release_files.BUDGET_CURVE)
    if curve.empty:
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
                "chart": charts.effects(drawn.rename(columns={"segment": "label"})),
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

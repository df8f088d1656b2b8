"""The report's section on the experiment: what it can detect, and its results so far."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from traveltide_assets.experiment import judging, plan_advice
from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.experiment.metrics import BY_NAME, METRICS
from traveltide_assets.report import charts, words
from traveltide_assets.report.segment_words import called

_SYMBOLS = {
    judging.BETTER: ("✓", "supported"),
    judging.WORSE: ("✗", "not-supported"),
    judging.HARM: ("✗", "not-supported"),
}


def context(
    plan: pd.DataFrame, read: pd.DataFrame, status: str, config: Experiment
) -> dict[str, Any]:
    """What the template shows of the tables `experiment_plan` and `experiment_readout`."""
    plan, read = _ordered(plan), _ordered(read)
    overall = plan[plan["segment"] == EVERYBODY]
    return {
        "weeks": config.weeks,
        "effect": words.percent(config.relative_effect),
        "power": words.percent(config.power),
        "alpha": words.percent(config.alpha),
        "ratio": words.percent(config.ratio),
        "customers": f"{_customers(overall):,}",
        "overall": [_planned(row) for _, row in overall.iterrows()],
        "segments": _by_segment(plan),
        "metrics": [BY_NAME[name].title for name in dict.fromkeys(plan["metric"])],
        "advice": plan_advice.advise(plan, config),
        "status": status,
        "peek": bool(read["peek"].any()),
        "read": [
            (BY_NAME[metric].title, [_read(row, config.alpha) for _, row in rows.iterrows()])
            for metric, rows in read.groupby("metric", sort=False)
        ],
        "picture": charts.differences(read) if len(read) else None,
    }


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of the metrics, all customers before the segments."""
    places = {metric.name: place for place, metric in enumerate(METRICS)}
    keys = table.assign(
        place=table["metric"].map(places), single=table["segment"] != EVERYBODY
    ).sort_values(["place", "single", "segment"])
    return table.loc[keys.index]


def _customers(overall: pd.DataFrame) -> int:
    sizes = overall[["customers_personalised", "customers_control"]].sum(axis=1)
    return int(sizes.iloc[0]) if len(sizes) else 0


def _planned(row: pd.Series) -> dict[str, Any]:
    rate = row["kind"] == "rate"
    return {
        "metric": BY_NAME[row["metric"]].title,
        "role": row["role"],
        "baseline": _value(row["baseline_mean"], rate),
        "assumed": row["baseline_from"] == "assumed",
        "power": words.percent(row["power"]),
        "after": _value(row["mean_after"], rate),
        "power_after": words.percent(row["power_after"]),
        "detectable": words.percent(row["detectable_relative"]),
        "needed": words.NONE
        if math.isnan(row["customers_needed"])
        else f"{row['customers_needed']:,.0f}",
        "weeks": words.NONE if math.isnan(row["weeks_needed"]) else f"{row['weeks_needed']:.0f}",
        "verdict": row["verdict"],
    }


def _by_segment(plan: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Each segment with the smallest relative effect it can detect, by metric."""
    return [
        (
            f"{called(str(segment))} ({_customers(rows):,})",
            [words.percent(value) for value in rows["detectable_relative"]],
        )
        for segment, rows in plan[plan["segment"] != EVERYBODY].groupby("segment")
    ]


def _value(value: float, rate: bool) -> str:
    return words.percent(value, 1) if rate else words.decimal(value)


def in_words(row: pd.Series, alpha: float | None = None) -> str:
    """The verdict on a row of `experiment_readout` in words.

    `alpha` is the limit of the corrected p-values, to be said where it is known. The interval is
    of one comparison, the verdict of all of them. Where they seem to contradict each other, both
    are explained.
    """
    stored = str(row["in_words"])
    adjusted = "" if math.isnan(row["cuped_difference"]) else "cuped_"
    middle, low, high = (float(row[f"{adjusted}{end}"]) for end in ("difference", "low", "high"))
    if row["verdict"] != judging.NO_DIFFERENCE or not (low > 0 or high < 0):
        return stored
    rate = row["kind"] == "rate"
    unit, digits, factor = (" points", 1, 100) if rate else ("", 3, 1)
    said = [f"{factor * value:+.{digits}f}" for value in (middle, low, high)]
    change = "{} ({} to {}){}".format(*said, unit)
    limit = "" if alpha is None else f", above the limit of {words.decimal(alpha, 3)}"
    early = "Too early to decide. So far: " if row["peek"] else ""
    return (
        f"{early}Not beyond chance: {change}. Taken alone the interval leaves out 0; corrected for "
        f"all comparisons and looks, the p-value is {words.decimal(row['p_holm'], 3)}{limit}."
    )


def _read(row: pd.Series, alpha: float) -> dict[str, Any]:
    rate = row["kind"] == "rate"
    symbol, css = _SYMBOLS.get(row["verdict"], ("?", "not-tested"))
    return {
        "segment": called(str(row["segment"])),
        "customers": f"{row['customers_personalised'] + row['customers_control']:,}",
        "personalised": _value(row["personalised"], rate),
        "control": _value(row["control"], rate),
        "p_holm": words.decimal(row["p_holm"]),
        "test": row["test"] or words.NONE,
        "variance": words.percent(row["variance_reduction"]),
        "verdict": {"name": row["verdict"], "symbol": symbol, "css": css},
        "in_words": in_words(row, alpha),
    }

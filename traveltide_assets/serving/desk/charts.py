"""The charts of the pages, as Vega-Lite specifications made with Altair.

Colours are names of the style sheet, so that a chart is light or dark as its page is. The pages
hold aggregates only: a chart's rows are groups.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from traveltide_assets.report.linked_bars import (
    BAR,
    ROWS,
    SOFT,
    bars_of_groups,
    filled,
    labels,
    numbers,
    specified,
)
from traveltide_assets.serving.desk.counts import Group

_PALETTE = [f"var(--series-{place})" for place in range(1, 9)]


def groups(rows: Sequence[Group]) -> dict[str, Any]:
    """A bar per group for its share of the selected customers, a tick for that of all.

    Bars of groups that are not selected, where some are, are pale.
    """
    return filled(bars_of_groups(), group_rows(rows), 20 * len(rows))


def group_rows(rows: Sequence[Group]) -> list[dict[str, Any]]:
    """What the chart of groups draws: a row per group."""
    narrowed = any(row.chosen for row in rows)
    reach = max((max(row.share or 0, row.whole or 0) for row in rows), default=0) or 1
    return [
        {
            "group": row.group,
            "label": row.label,
            # A group without a number would lose its place.
            "share": row.share or 0,
            "whole": row.whole or 0,
            "marked": row.whole is not None,
            "reach": reach,
            "faded": narrowed and not row.chosen,
            "says": f"{row.label}: {_said(row)}",
        }
        for row in rows
    ]


def perks(titles: Sequence[str], customers: Sequence[int]) -> dict[str, Any]:
    """A bar per perk for its customers."""
    rows = [{"perk": t, "customers": n} for t, n in zip(titles, customers, strict=True)]
    return filled(_of_perks(), rows, 26 * len(rows))


@functools.cache
def _of_perks() -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        y=alt.Y("perk:N", sort=None, title=None, axis=labels(200)),
        x=alt.X("customers:Q", title="customers", axis=numbers()),
    )
    chart = base.mark_bar(height=16, cornerRadiusEnd=2).encode(color=alt.value(BAR))
    return specified(chart)


def history(sizes: pd.DataFrame) -> dict[str, Any]:
    """A line per name over the months; `sizes` has the columns month, name and customers."""
    return filled(_of_months(), sizes.to_dict("records"), 240)


@functools.cache
def _of_months() -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("customers:Q", title="customers", axis=numbers()),
        color=alt.Color(
            "name:N",
            sort=None,
            scale=alt.Scale(range=_PALETTE),
            legend=alt.Legend(title=None, orient="bottom", columns=1, labelLimit=280),
        ),
        tooltip=["month:O", "name:N", alt.Tooltip("customers:Q", format=",")],
    )
    chart = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=60, filled=True))
    return specified(chart)


def effects(read: pd.DataFrame, difference: str) -> dict[str, Any]:
    """A point and its 95 % interval per label; `difference` says between what.

    `read` has the columns label, difference, low and high.
    """
    return filled(_of_effects(difference), read.to_dict("records"), 26 * len(read))


@functools.cache
def _of_effects(difference: str) -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=labels(240))
    )
    zero = alt.Chart(alt.NamedData(ROWS)).mark_rule(color=SOFT, strokeDash=[4, 3])
    interval = base.mark_rule(strokeWidth=2.5, color=BAR).encode(
        x=alt.X("low:Q", title=difference), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=80, color=BAR).encode(x="difference:Q")
    chart = zero.encode(x=alt.datum(0)) + interval + point
    return specified(chart)


def weekly(looks: pd.DataFrame) -> dict[str, Any]:
    """How far a goal is from no difference at every look, and the bounds that it must reach.

    `looks` has the columns week, distance and bound, the last two in standard errors.
    """
    return filled(_of_weeks(), looks.to_dict("records"), 200)


@functools.cache
def _of_weeks() -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        x=alt.X("week:O", title="week", axis=alt.Axis(labelAngle=0))
    )
    bounds = [
        base.mark_line(color=SOFT, strokeDash=[4, 3]).encode(
            y=alt.Y(f"{name}:Q", title="standard errors from no difference")
        )
        for name in ("upper", "lower")
    ]
    line = base.transform_filter("datum.distance !== null").mark_line(
        color=BAR, strokeWidth=2.5, point=alt.OverlayMarkDef(size=60, filled=True, color=BAR)
    )
    chart = bounds[0] + bounds[1] + line.encode(y="distance:Q")
    return specified(chart.transform_calculate(upper="datum.bound", lower="-datum.bound"))


def budget(curve: pd.DataFrame) -> dict[str, Any]:
    """Expected net value over budget with its band; `curve` are rows of `gold/budget_curve`."""
    shown = curve[["budget_usd", "expected_net_value_usd", "low", "high"]]
    return filled(_of_budgets(), shown.to_dict("records"), 240)


@functools.cache
def _of_budgets() -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        x=alt.X("budget_usd:Q", title="budget, USD", axis=numbers())
    )
    band = base.mark_area(color=BAR, opacity=0.25).encode(
        y=alt.Y("low:Q", title="expected net value, USD", axis=numbers()), y2="high:Q"
    )
    line = base.mark_line(color=BAR, strokeWidth=2.5).encode(y="expected_net_value_usd:Q")
    return specified(band + line)


def _said(row: Group) -> str:
    if row.customers is None or row.share is None:
        return "too few to show"
    whole = "" if row.whole is None else f"; {row.whole:.1%} of all"
    return f"{row.customers:,} customers, {row.share:.1%} of those selected{whole}"

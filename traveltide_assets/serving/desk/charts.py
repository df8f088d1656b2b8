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

from traveltide_assets.serving.desk.counts import Group

_INK, _SOFT, _LINE, _BAR, _MARK = (f"var(--{n})" for n in ("ink", "soft", "line", "bar", "mark"))
_PALETTE = [f"var(--series-{place})" for place in range(1, 9)]
_FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"
_ROWS = "rows"
_FITS = alt.AutoSizeParams(type="fit-x", contains="padding", resize=True)
_FITS = alt.AutoSizeParams(type="fit-x", contains="padding", resize=True)
_LABEL = 170


def groups(rows: Sequence[Group]) -> dict[str, Any]:
    """A bar per group for its share of the selected customers, a tick for that of all.

    Bars of groups that are not selected, where some are, are pale.
    """
    return _filled(_of_groups(), group_rows(rows), 20 * len(rows))


@functools.cache
def _of_groups() -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(_ROWS)).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=_labels()),
    )
    bars = base.mark_bar(height=13, cornerRadiusEnd=2, cursor="pointer").encode(
        x=alt.X("share:Q", title=None, axis=_percent(), scale=alt.Scale(domainMin=0)),
        color=alt.value(_BAR),
        opacity=alt.condition("datum.faded", alt.value(0.35), alt.value(1)),
        tooltip=[alt.Tooltip("says:N")],
    )
    ticks = base.mark_tick(thickness=2.5, size=17).encode(
        x="whole:Q",
        color=alt.value(_MARK),
        opacity=alt.condition("datum.marked", alt.value(1), alt.value(0)),
    )
    # An invisible bar over the whole width, so that a small group can be clicked as well.
    target = base.mark_bar(height=18, opacity=0.001, cursor="pointer").encode(
        x=alt.X("reach:Q"), tooltip=[alt.Tooltip("says:N")]
    )
    return _specified(bars + ticks + target)


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
    return _filled(_of_perks(), rows, 26 * len(rows))


@functools.cache
def _of_perks() -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(_ROWS)).encode(
        y=alt.Y("perk:N", sort=None, title=None, axis=_labels(200)),
        x=alt.X("customers:Q", title="customers", axis=_numbers()),
    )
    chart = base.mark_bar(height=16, cornerRadiusEnd=2).encode(color=alt.value(_BAR))
    return _specified(chart)


def history(sizes: pd.DataFrame) -> dict[str, Any]:
    """A line per name over the months; `sizes` has the columns month, name and customers."""
    return _filled(_of_months(), sizes.to_dict("records"), 240)


@functools.cache
def _of_months() -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(_ROWS)).encode(
        x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("customers:Q", title="customers", axis=_numbers()),
        color=alt.Color(
            "name:N",
            sort=None,
            scale=alt.Scale(range=_PALETTE),
            legend=alt.Legend(title=None, orient="bottom", columns=1, labelLimit=280),
        ),
        tooltip=["month:O", "name:N", alt.Tooltip("customers:Q", format=",")],
    )
    chart = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=60, filled=True))
    return _specified(chart)


def effects(read: pd.DataFrame) -> dict[str, Any]:
    """A point and its 95 % interval per segment: the difference between the arms.

    `read` has the columns label, difference, low and high.
    """
    return _filled(_of_effects(), read.to_dict("records"), 26 * len(read))


@functools.cache
def _of_effects() -> dict[str, Any]:
    base = alt.Chart(alt.NamedData(_ROWS)).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=_labels(200))
    )
    zero = alt.Chart(alt.NamedData(_ROWS)).mark_rule(color=_SOFT, strokeDash=[4, 3])
    interval = base.mark_rule(strokeWidth=2.5, color=_BAR).encode(
        x=alt.X("low:Q", title="personalised minus control"), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=80, color=_BAR).encode(x="difference:Q")
    chart = zero.encode(x=alt.datum(0)) + interval + point
    return _specified(chart)


def _said(row: Group) -> str:
    if row.customers is None or row.share is None:
        return "too few to show"
    whole = "" if row.whole is None else f"; {row.whole:.1%} of all"
    return f"{row.customers:,} customers, {row.share:.1%} of those selected{whole}"


def _labels(limit: int = _LABEL) -> alt.Axis:
    return alt.Axis(labelLimit=limit, domain=False, ticks=False, labelPadding=6)


def _percent() -> alt.Axis:
    return alt.Axis(format=".0%", tickCount=4, domain=False, labelOverlap=True)


def _numbers() -> alt.Axis:
    return alt.Axis(format=",d", tickCount=5, domain=False)


def _filled(made: dict[str, Any], rows: list[dict[str, Any]], height: int) -> dict[str, Any]:
    """A specification with the rows that it draws. Making one takes far longer than filling it."""
    return {**made, "height": height, "datasets": {_ROWS: rows}}


def _specified(chart: alt.Chart | alt.LayerChart) -> dict[str, Any]:
    """The specification without rows, as wide as its place and in the colours of the page."""
    styled = (
        chart.properties(width="container", autosize=_FITS)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_INK,
            titleColor=_SOFT,
            gridColor=_LINE,
            domainColor=_LINE,
            tickColor=_LINE,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=_INK, labelFontSize=12)
    )
    made = styled.to_dict()
    made["config"] |= {"background": "transparent", "font": _FONT}
    return made

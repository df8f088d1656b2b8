"""Bars by group as a Vega-Lite specification, and what all such charts of ours share.

Desk and explorer draw with it. Colours are names of a style sheet, so that a chart is light or
dark as its page is. A chart holds aggregates only: its rows are groups.
"""

from __future__ import annotations

import functools
from typing import Any

import altair as alt

from traveltide_assets.report.segment_words import BRIEFLY

INK, SOFT, LINE, BAR, MARK = (f"var(--{n})" for n in ("ink", "soft", "line", "bar", "mark"))
ROWS = "rows"
"""The name of the data that a page fills in."""
_FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"
_FITS = alt.AutoSizeParams(type="fit-x", contains="padding", resize=True)
_LABEL = 170


@functools.cache
def bars_of_groups() -> dict[str, Any]:
    """A bar per group for its share of those selected, a tick for its share of all."""
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=labels()),
    )
    bars = base.mark_bar(height=13, cornerRadiusEnd=2, cursor="pointer").encode(
        x=alt.X("share:Q", title=None, axis=percent(), scale=alt.Scale(domainMin=0)),
        color=alt.value(BAR),
        opacity=alt.condition("datum.faded", alt.value(0.35), alt.value(1)),
        tooltip=[alt.Tooltip("says:N")],
    )
    ticks = base.mark_tick(thickness=2.5, size=17).encode(
        x="whole:Q",
        color=alt.value(MARK),
        opacity=alt.condition("datum.marked", alt.value(1), alt.value(0)),
    )
    # An invisible bar over the whole width, so that a small group can be clicked as well.
    target = base.mark_bar(height=18, opacity=0.001, cursor="pointer").encode(
        x=alt.X("reach:Q"), tooltip=[alt.Tooltip("says:N")]
    )
    return specified(bars + ticks + target)


def labels(limit: int = _LABEL) -> alt.Axis:
    """The axis of names, `limit` pixels wide at most. Names begin with what tells them apart."""
    shown = "datum.label"
    for beginning, brief in BRIEFLY.items():
        shown = f"replace({shown}, '{beginning}', '{brief}')"
    return alt.Axis(labelLimit=limit, labelExpr=shown, domain=False, ticks=False, labelPadding=6)


def percent() -> alt.Axis:
    """The axis of shares."""
    return alt.Axis(format=".0%", tickCount=4, domain=False, labelOverlap=True)


def numbers() -> alt.Axis:
    """The axis of whole numbers."""
    return alt.Axis(format=",d", tickCount=5, domain=False)


def filled(made: dict[str, Any], rows: list[dict[str, Any]], height: int) -> dict[str, Any]:
    """A specification with the rows that it draws. Making one takes far longer than filling it."""
    return {**made, "height": height, "datasets": {ROWS: [_as_json(row) for row in rows]}}


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    """The same with null for what is not a number, which no browser reads."""
    return {name: None if value != value else value for name, value in row.items()}


def specified(chart: alt.Chart | alt.LayerChart) -> dict[str, Any]:
    """The specification without rows, as wide as its place and in the colours of the page."""
    styled = (
        chart.properties(width="container", autosize=_FITS)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=SOFT,
            gridColor=LINE,
            domainColor=LINE,
            tickColor=LINE,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=INK, labelFontSize=12)
    )
    made = styled.to_dict()
    made["config"] |= {"background": "transparent", "font": _FONT}
    return made

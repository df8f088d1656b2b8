"""The report's pictures as inline SVG: crisp in print, told apart without colour, same bytes."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from traveltide_assets.evidence.backtest import SUPPORTED
from traveltide_assets.experiment.plots import forest
from traveltide_assets.experiment.readout import BETTER, HARM, WORSE
from traveltide_assets.report import words
from traveltide_assets.segmentation.plots import COLOURS

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "traveltide",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "figure.constrained_layout.use": True,
}
_POINTS = 3_000
_POINT_DPI = 160
_LIFT_TICKS = (0.25, 0.5, 1, 2, 4)


@dataclass(frozen=True)
class Picture:
    """An inline picture and what it shows, for those who do not see it."""

    uri: str
    alt: str


@mpl.rc_context(_STYLE)
def elbow(diagnostics: pd.DataFrame) -> Picture:
    """Inertia and silhouette by number of clusters."""
    figure = Figure(figsize=(6.4, 2.7))
    left, right = figure.subplots(1, 2)
    chosen = diagnostics[diagnostics["chosen"]]
    for axes, measure, title in (
        (left, "inertia", "Spread left within the groups"),
        (right, "silhouette", "Separation (silhouette)"),
    ):
        axes.plot(diagnostics["k"], diagnostics[measure], color=COLOURS[0], marker="o", ms=4)
        axes.plot(chosen["k"], chosen[measure], "D", color=COLOURS[5], ms=8)
        axes.set(xlabel="number of groups", title=title)
        axes.set_ylim(bottom=0)
    figure.legend(
        [Line2D([], [], marker="D", color=COLOURS[5], linestyle="")],
        ["chosen"],
        loc="outside lower right",
        frameon=False,
    )
    best = diagnostics.loc[diagnostics["silhouette"].fillna(-1).idxmax()]
    k = int(chosen["k"].iloc[0])
    alt = (
        f"Two line charts over 1 to {diagnostics['k'].max()} groups. {k} groups were chosen "
        f"(silhouette {words.decimal(float(chosen['silhouette'].iloc[0]))}); the highest "
        f"silhouette is {words.decimal(float(best['silhouette']))} at {int(best['k'])} groups."
    )
    return Picture(_svg(figure), alt)


@mpl.rc_context(_STYLE)
def scatter(places: pd.DataFrame, segments: pd.Series, seed: int) -> Picture:
    """Customers on the first two principal components of the cluster model, by segment.

    `places` has a row per customer with `pca_x` and `pca_y`, `segments` the same rows' names.
    """
    shown = places.assign(segment=segments.to_numpy())
    if len(shown) > _POINTS:
        shown = shown.sample(_POINTS, random_state=seed)
    figure = Figure(figsize=(6.4, 4.2))
    axes = figure.subplots()
    for i, (segment, group) in enumerate(shown.groupby("segment", sort=True)):
        axes.scatter(
            group["pca_x"],
            group["pca_y"],
            s=9,
            alpha=0.55,
            color=COLOURS[i % len(COLOURS)],
            marker=_MARKERS[i % len(_MARKERS)],
            label=segment,
            linewidths=0,
            rasterized=True,
        )
    axes.set(xlabel="first principal component", ylabel="second principal component")
    figure.legend(loc="outside lower center", frameon=False, markerscale=2.5, ncols=2)
    alt = (
        f"Scatter plot of {len(shown):,} of {len(places):,} customers, drawn by similarity, "
        f"with a colour and marker for each segment: {words.listed(sorted(set(segments)))}."
    )
    return Picture(_svg(figure), alt)


@mpl.rc_context(_STYLE)
def profile(deviations: pd.DataFrame) -> Picture:
    """Deviation of each segment (row) from the average customer by feature (column), in SD."""
    figure = Figure(figsize=(6.4, 1.5 + 0.36 * deviations.shape[1]))
    axes = figure.subplots()
    rows = np.arange(deviations.shape[1])
    axes.hlines(rows, deviations.min(), deviations.max(), color="#cccccc", linewidth=2)
    for i, (segment, row) in enumerate(deviations.sort_index().iterrows()):
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": _MARKERS[i % len(_MARKERS)],
        }
        axes.plot(row, rows, linestyle="", ms=7, label=segment, **style)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(rows, [words.FEATURES[name].label for name in deviations.columns])
    axes.invert_yaxis()
    axes.set_xlabel("less than the average customer  ←  standard deviations  →  more")
    figure.legend(loc="outside lower center", frameon=False, ncols=2)
    strongest = [
        f"{segment}: {words.FEATURES[row.abs().idxmax()].label} "
        f"{row[row.abs().idxmax()]:+.1f} standard deviations"
        for segment, row in deviations.iterrows()
    ]
    alt = f"Dot plot of segment profiles. Strongest deviation of each: {'; '.join(strongest)}."
    return Picture(_svg(figure), alt)


@mpl.rc_context(_STYLE)
def lifts(evidence: pd.DataFrame, titles: Mapping[str, str]) -> Picture:
    """Lift with interval of each perk, a panel per strategy; filled: supported."""
    strategies = [name for name in words.STRATEGIES if name in set(evidence["strategy"])]
    height = max(-(-len(strategies) // 2), 1)
    # The numbers stand beside the panels, which takes room.
    apart = ConstrainedLayoutEngine(wspace=0.06)
    figure = Figure(figsize=(9.6, 0.7 + 1.9 * height), layout=apart)
    panels = figure.subplots(height, 2, squeeze=False, sharex=True).ravel()
    for axes in panels[len(strategies) :]:
        axes.set_axis_off()
    for axes, strategy in zip(panels, strategies, strict=False):
        _lift_panel(axes, evidence[evidence["strategy"] == strategy], titles)
        axes.set_title(words.strategy(strategy), loc="left", fontweight="bold")
    marks: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "linestyle": "-"}
    figure.legend(
        [
            Line2D([], [], **marks),
            Line2D([], [], markerfacecolor="white", **marks),
            Line2D([], [], color=COLOURS[5], marker="|", linestyle="", ms=11, mew=2),
        ],
        [
            "supported, with 95 % interval",
            "not supported or too little data",
            "what the number of sessions alone explains",
        ],
        loc="outside lower center",
        frameon=False,
        ncols=3,
    )
    supported = evidence[evidence["verdict"] == SUPPORTED]
    found = [
        f"{titles[row['perk']]} by {words.strategy(row['strategy'])} {row['lift']:.2f}"
        for _, row in supported.iterrows()
    ]
    alt = (
        "Lift of every perk by strategy with its 95 % interval; 1 means no difference. "
        f"Supported: {words.listed(found)}. Everything else is not."
    )
    return Picture(_svg(figure), alt)


def _lift_panel(axes: Axes, rows: pd.DataFrame, titles: Mapping[str, str]) -> None:
    low, high = _LIFT_TICKS[0] * 0.8, _LIFT_TICKS[-1] * 1.2
    for place, (_, row) in enumerate(rows.iterrows()):
        face = COLOURS[0] if row["verdict"] == SUPPORTED else "white"
        axes.plot(row[["lift_low", "lift_high"]], [place] * 2, color=COLOURS[0], linewidth=1.5)
        axes.plot(row["lift_by_activity"], place, "|", color=COLOURS[5], ms=11, mew=2)
        axes.plot(row["lift"], place, "o", color=COLOURS[0], markerfacecolor=face, ms=6)
        axes.annotate(
            words.decimal(row["lift"]), (1, place), xycoords=("axes fraction", "data"), va="center"
        )
    axes.axvline(1, color="#666666", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(_LIFT_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(rows)), [titles[perk] for perk in rows["perk"]])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(labelbottom=True)


@mpl.rc_context(_STYLE)
def seasons(by_month: pd.DataFrame) -> Picture:
    """Sessions, bookings and cancellations (columns) by month (index, `YYYY-MM`)."""
    figure = Figure(figsize=(9.6, 2.3))
    panels = figure.subplots(1, 3)
    # The years need no room where the months tell them apart.
    labels = [
        month[5:] if i and month[5:] != "01" else month for i, month in enumerate(by_month.index)
    ]
    for axes, name, colour in zip(panels, by_month.columns, COLOURS, strict=False):
        bars = axes.bar(range(len(by_month)), by_month[name], color=colour)
        if len(by_month) <= 12:
            axes.bar_label(bars, [f"{v:,.0f}" for v in by_month[name]], fontsize=7, padding=1)
        axes.set_xticks(range(len(by_month)), labels, fontsize=7)
        axes.set_title(name.capitalize(), loc="left", fontweight="bold")
    facts = [
        f"{name} highest in {by_month[name].idxmax()} ({by_month[name].max():,.0f})"
        for name in by_month.columns
    ]
    alt = f"Three bar charts by month: {'; '.join(facts)}."
    return Picture(_svg(figure), alt)


@mpl.rc_context(_STYLE)
def differences(readout: pd.DataFrame) -> Picture:
    """The experiment's differences with their intervals, by metric and segment."""
    clear = readout[readout["verdict"].isin([BETTER, WORSE, HARM])]
    told = [
        f"{row['metric'].replace('_', ' ')}, {row['segment']}: {row['verdict']}"
        for _, row in clear.iterrows()
    ]
    alt = (
        "Difference between the personalised perk and the control offer by metric and segment, "
        f"with 95 % intervals. Beyond chance: {words.listed(told) if told else 'none'}."
    )
    return Picture(_svg(forest(readout)), alt)


@mpl.rc_context(_STYLE)
def learning(loss: Mapping[str, pd.Series]) -> Picture:
    """Log loss by number of sessions seen (index), a line for each name."""
    figure = Figure(figsize=(6.4, 2.7))
    axes = figure.subplots()
    for name, colour, marker in zip(loss, COLOURS, _MARKERS, strict=False):
        axes.plot(loss[name], color=colour, marker=marker, ms=5, label=name)
    seen = sorted({n for values in loss.values() for n in values.index})
    axes.set(xlabel="sessions seen", ylabel="log loss", xticks=seen)
    figure.legend(loc="outside lower center", frameon=False, ncols=len(loss))
    told = [
        f"{name}: {words.decimal(values.iloc[0])} after {values.index[0]}, "
        f"{words.decimal(values.iloc[-1])} after {values.index[-1]}"
        for name, values in loss.items()
    ]
    alt = f"Line chart of the log loss by number of sessions seen. {'; '.join(told)}."
    return Picture(_svg(figure), alt)


def _svg(figure: Figure) -> str:
    buffer = BytesIO()
    figure.set_dpi(_POINT_DPI)
    # `savefig` draws once more, to lay the figure out, which drawing does anyway.
    canvas = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"

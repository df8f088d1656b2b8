"""What all charts share: the style, and the two ways to render a figure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# The palette of Okabe and Ito, which colour-blind people can tell apart; markers for print.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE: dict[Any, Any] = {
    # Without a fixed salt the identifiers in an SVG differ from run to run.
    "svg.hashsalt": "traveltide",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "figure.constrained_layout.use": True,
}
_UI_DPI = 110
# For the parts of an SVG that are stored as pixels: clouds of thousands of points.
_POINT_DPI = 160
# Beyond this share of the scale black is hard to read.
_DARK = 0.6


@dataclass(frozen=True)
class Chart:
    """A figure, its title, and what it shows in words, for those who cannot see it."""

    figure: Figure
    title: str
    alt: str


# Ticks are made while a figure is drawn, so the style is needed here as well.
@mpl.rc_context(STYLE)
def png(chart: Chart) -> bytes:
    """The chart with its title above it, for the Dagster UI, which shows no caption."""
    chart.figure.suptitle(chart.title, fontweight="bold")
    chart.figure.set_dpi(_UI_DPI)
    buffer = BytesIO()
    # `savefig` draws once more, to lay the figure out, which drawing does anyway.
    FigureCanvasAgg(chart.figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


@mpl.rc_context(STYLE)
def svg(chart: Chart) -> str:
    """The chart as a data URI for the report, where a caption says what the title would."""
    chart.figure.set_dpi(_POINT_DPI)
    buffer = BytesIO()
    # `savefig` draws once more, as for `png`.
    canvas = FigureCanvasSVG(chart.figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def heat_map(shades: pd.DataFrame, text: str, colours: str, lowest: float) -> Figure:
    """A square table (names in the index and columns) with each value, up to 1, written in it."""
    names, count = list(shades.columns), len(shades)
    figure = Figure(figsize=(2.4 + 0.75 * count, 1.8 + 0.55 * count))
    axes = figure.subplots()
    axes.imshow(shades, vmin=lowest, vmax=1, cmap=colours, aspect="auto")
    axes.set_xticks(range(count), names, rotation=35, ha="right")
    axes.set_yticks(range(count), names)
    for (row, column), value in np.ndenumerate(shades.to_numpy()):
        ink = "white" if abs(value) > _DARK else "black"
        axes.text(column, row, text.format(value), ha="center", va="center", color=ink)
    return figure

"""The pictures of an experiment; `png` makes bytes of a figure for the UI."""

from __future__ import annotations

from io import BytesIO

import pandas as pd
from matplotlib.figure import Figure

from traveltide_assets.experiment.metrics import BY_NAME
from traveltide_assets.segmentation.plots import COLOURS

_DPI = 90


def forest(readout: pd.DataFrame) -> Figure:
    """Difference of each segment with its interval, a panel per metric; adjusted where possible."""
    metrics = list(dict.fromkeys(readout["metric"]))
    segments = list(dict.fromkeys(readout["segment"]))
    width = 2.2 + 3.0 * max(len(metrics), 1)
    figure = Figure(figsize=(width, 1.4 + 0.32 * len(segments)), layout="constrained")
    panels = figure.subplots(1, max(len(metrics), 1), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=False):
        rows = readout[readout["metric"] == metric].reset_index(drop=True)
        scale = 100 if BY_NAME[metric].kind == "rate" else 1
        for place, row in rows.iterrows():
            adjusted = "cuped_" if pd.notna(row["cuped_difference"]) else ""
            low, middle, high = (
                scale * row[f"{adjusted}{name}"] for name in ("low", "difference", "high")
            )
            clear = low > 0 or high < 0
            axes.plot([low, high], [place, place], color=COLOURS[0])
            face = COLOURS[0] if clear else "white"
            axes.plot(middle, place, "o", color=COLOURS[0], markerfacecolor=face)
        axes.axvline(0, color="grey", linestyle=":")
        axes.set_title(BY_NAME[metric].title, fontsize=9)
        unit = "percentage points" if scale == 100 else "per customer"
        axes.set_xlabel(f"personalised - control, {unit}", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(segments)), segments, fontsize=8)
    panels[0].invert_yaxis()
    return figure


def power(plan: pd.DataFrame) -> Figure:
    """Power of each segment to find the effect that is worth finding, a panel per metric."""
    metrics = list(dict.fromkeys(plan["metric"]))
    segments = list(dict.fromkeys(plan["segment"]))
    width = 2.2 + 1.9 * max(len(metrics), 1)
    figure = Figure(figsize=(width, 1.4 + 0.3 * len(segments)), layout="constrained")
    panels = figure.subplots(1, max(len(metrics), 1), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=False):
        rows = plan[plan["metric"] == metric].reset_index(drop=True)
        axes.barh(range(len(rows)), rows["power"].fillna(0.0), color=COLOURS[0], height=0.6)
        axes.set_xlim(0, 1)
        axes.set_title(metric.replace("_", " "), fontsize=9)
        axes.set_xlabel("power", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(segments)), segments, fontsize=8)
    panels[0].invert_yaxis()
    return figure


def png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()

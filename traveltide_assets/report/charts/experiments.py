"""Charts of an experiment: what it can detect, and what it found."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.metrics import BY_NAME
from traveltide_assets.experiment.readout import BETTER, HARM, WORSE
from traveltide_assets.report import words
from traveltide_assets.report.charts.canvas import COLOURS, STYLE, Chart


@mpl.rc_context(STYLE)
def differences(readout: pd.DataFrame) -> Chart:
    """Difference between the arms with its interval by segment, a panel per metric; CUPED-adjusted
    where behaviour before the start is known."""
    figure, panels = _panels(readout, width=3.0, height=0.32)
    for metric, (axes, rows) in panels.items():
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
    clear = readout[readout["verdict"].isin([BETTER, WORSE, HARM])]
    facts = [
        f"{row['metric'].replace('_', ' ')}, {row['segment']}: {row['verdict']}"
        for _, row in clear.iterrows()
    ]
    alt = (
        "Difference between the personalised and the control arm by metric and segment, "
        f"with 95 % intervals. Beyond chance: {words.listed(facts) if facts else 'none'}."
    )
    return Chart(figure, "Difference between the personalised and the control arm", alt)


@mpl.rc_context(STYLE)
def power(plan: pd.DataFrame) -> Chart:
    """Power of each segment to detect the planned effect, a panel per metric."""
    figure, panels = _panels(plan, width=1.9, height=0.3)
    for metric, (axes, rows) in panels.items():
        axes.barh(range(len(rows)), rows["power"].fillna(0.0), color=COLOURS[0], height=0.6)
        axes.set_xlim(0, 1)
        axes.set_title(metric.replace("_", " "), fontsize=9)
        axes.set_xlabel("power", fontsize=8)
    overall = plan[plan["segment"] == EVERYBODY]
    facts = [
        f"{row['metric'].replace('_', ' ')} {words.percent(row['power'])}"
        for _, row in overall.iterrows()
    ]
    alt = f"Bar charts of the power by metric and segment. All customers: {words.listed(facts)}."
    return Chart(figure, "Power to detect the planned effect", alt)


def _panels(
    table: pd.DataFrame, width: float, height: float
) -> tuple[Figure, dict[str, tuple[Axes, pd.DataFrame]]]:
    """A figure with a panel per metric and its rows of the table, a line per segment."""
    metrics = list(dict.fromkeys(table["metric"]))
    segments = list(dict.fromkeys(table["segment"]))
    count = max(len(metrics), 1)
    size = (2.2 + width * count, 1.4 + height * len(segments))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    panels[0].set_yticks(range(len(segments)), segments, fontsize=8)
    panels[0].invert_yaxis()
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    rows = [table[table["metric"] == metric].reset_index(drop=True) for metric in metrics]
    return figure, dict(zip(metrics, zip(panels, rows, strict=False), strict=True))

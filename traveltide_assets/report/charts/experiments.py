"""Charts of an experiment: what it can detect, and what it found."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.judging import BETTER, HARM, WORSE
from traveltide_assets.experiment.metrics import BY_NAME
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


@mpl.rc_context(STYLE)
def weekly_looks(looks: pd.DataFrame) -> Chart:
    """How many standard errors from 0 each goal was at every look, and the bounds of the looks.

    `looks` are rows of `gold/experiment_looks`. A look without a difference has no point.
    """
    goals = looks[looks["role"] == "goal"]
    known = goals.loc[goals["difference"].notna(), "metric"]
    metrics = list(dict.fromkeys(known)) or list(dict.fromkeys(goals["metric"]))[:1]
    figure = Figure(figsize=(2.4 + 2.4 * max(len(metrics), 1), 3.0), layout="constrained")
    panels = figure.subplots(1, max(len(metrics), 1), squeeze=False, sharey=True)[0]
    facts = []
    for axes, metric in zip(panels, metrics, strict=False):
        rows = goals[goals["metric"] == metric].sort_values("week")
        weeks, bound = rows["week"].to_numpy(), rows["look_bound"].to_numpy(dtype="float64")
        for side in (-1, 1):
            axes.plot(weeks, side * bound, "_-", color=COLOURS[5])
        distance = standard_errors(rows)
        axes.plot(weeks, distance, "o-", color=COLOURS[0], ms=4)
        axes.axhline(0, color="grey", linestyle=":")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(weeks.min() - 0.5, weeks.max() + 0.5)
        axes.set_title(BY_NAME[metric].title, fontsize=9)
        axes.set_xlabel("week", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        if np.isfinite(distance[-1]):
            facts.append(
                f"{BY_NAME[metric].title} {distance[-1]:+.1f} standard errors, bound "
                f"{bound[-1]:.1f}"
            )
    panels[0].set_ylabel("standard errors from no difference", fontsize=8)
    alt = (
        "Each goal by week with the bounds that it must reach. At the last look: "
        f"{words.listed(facts) if facts else 'no goal can be read'}."
    )
    return Chart(figure, "The experiment week by week", alt)


def standard_errors(rows: pd.DataFrame) -> np.ndarray:
    """The differences, in standard errors as their 95 % intervals have them."""
    width = (rows["high"] - rows["low"]).to_numpy(dtype="float64")
    middle = rows["difference"].to_numpy(dtype="float64")
    error = np.where(width > 0, width, np.nan) / (2 * norm.ppf(0.975))
    return np.asarray(middle / error)


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

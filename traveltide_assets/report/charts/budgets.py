"""The chart of what a budget brings."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from traveltide_assets.report.charts.canvas import COLOURS, STYLE, Chart


@mpl.rc_context(STYLE)
def budget(curve: pd.DataFrame) -> Chart:
    """Expected net value over budget with its band, and the budget configured, if any."""
    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(
        curve["budget_usd"], curve["low"], curve["high"], color=COLOURS[4], alpha=0.35, linewidth=0
    )
    axes.plot(curve["budget_usd"], curve["expected_net_value_usd"], "o-", color=COLOURS[0], ms=3)
    ours = curve[curve["configured"]]
    for place in ours["budget_usd"]:
        axes.axvline(place, color=COLOURS[5], linestyle=":")
        axes.annotate("budget", (place, axes.get_ylim()[0]), color=COLOURS[5], fontsize=8)
    axes.set_xlabel("budget, USD")
    axes.set_ylabel("expected net value, USD")
    best = curve.loc[curve["expected_net_value_usd"].idxmax()]
    alt = (
        "Expected net value of the offers of the month over their budget, with a 95 % band by "
        f"chance. It is highest, {best['expected_net_value_usd']:,.0f} USD, at a budget of "
        f"{best['budget_usd']:,.0f} USD."
    )
    if len(ours):
        row = ours.iloc[0]
        alt += (
            f" The budget of {row['budget_usd']:,.0f} USD brings "
            f"{row['expected_net_value_usd']:,.0f} USD."
        )
    return Chart(figure, "Expected net value over budget, by assumption", alt)

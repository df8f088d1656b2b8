"""The chart of a simulated loop."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from traveltide_assets.report.charts.canvas import COLOURS, MARKERS, STYLE, Chart

_LINES = {
    "oracle": "oracle: everybody gets the perk they want",
    "value": "what was decided",
    "learned": "what the policy learned so far would decide",
    "best_single": "the best single perk for everybody",
    "chance": "a perk at random",
}


@mpl.rc_context(STYLE)
def loop(months: pd.DataFrame) -> Chart:
    """The value per customer of each month's offers, with those that it is compared with."""
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    for place, (name, label) in enumerate(_LINES.items()):
        axes.plot(
            months["month"],
            months[name],
            color=COLOURS[place],
            marker=MARKERS[place],
            linewidth=2.2 if name == "value" else 1.2,
            label=label,
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("month decided")
    axes.set_ylabel("more than nothing sent,\nUSD per customer")
    # Lines run along the top and the bottom, so the legend stands outside.
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    last = months.iloc[-1]
    alt = (
        f"Value per customer of the offers of {len(months)} months. In {last['month']}, what was "
        f"decided is worth {last['value']:,.0f} USD more than sending nothing, the oracle "
        f"{last['oracle']:,.0f}, the best single perk {last['best_single']:,.0f}, a perk at "
        f"random {last['chance']:,.0f}."
    )
    return Chart(figure, "Value of each month's offers, as planted", alt)

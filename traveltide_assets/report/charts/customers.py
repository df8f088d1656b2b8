"""Charts of the customers: when they came, and which perks they are given."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from traveltide_assets.report import words
from traveltide_assets.report.charts.canvas import COLOURS, STYLE, Chart


@mpl.rc_context(STYLE)
def seasons(by_month: pd.DataFrame) -> Chart:
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
    return Chart(figure, "Sessions, bookings and cancellations by month", alt)


@mpl.rc_context(STYLE)
def perk_counts(assignments: pd.DataFrame, titles: Mapping[str, str]) -> Chart:
    """Customers per perk; `assignments` has a row per customer, `titles` the perks' by id."""
    counts = assignments["perk"].value_counts().sort_values()
    names = [titles[perk] for perk in counts.index]
    figure = Figure(figsize=(6.4, 1.2 + 0.4 * len(counts)))
    axes = figure.subplots()
    bars = axes.barh(names, counts, color=COLOURS[0])
    shown = [f"{count:,} ({words.percent(count / counts.sum())})" for count in counts]
    axes.bar_label(bars, shown, padding=4)
    axes.set_xlim(0, counts.max() * 1.2)
    axes.set_xlabel("customers")
    facts = [f"{name} {text}" for name, text in zip(names, shown, strict=True)]
    return Chart(
        figure,
        "Customers per perk",
        f"Bar chart of customers per perk: {words.listed(facts[::-1])}.",
    )

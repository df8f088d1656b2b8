"""Charts of what offers did, and of what ways of choosing them are worth."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from traveltide_assets.experiment.judging import BETTER, HARM, WORSE
from traveltide_assets.experiment.metrics import OF_CAMPAIGNS
from traveltide_assets.report import words
from traveltide_assets.report.charts.canvas import COLOURS, STYLE, Chart

_SHOWN = ("bookings", "revenue", "net_margin")
_TITLES = {metric.name: metric.title for metric in OF_CAMPAIGNS}
_CLEAR = (BETTER, WORSE, HARM)


@mpl.rc_context(STYLE)
def offer_effects(read: pd.DataFrame, labels: Mapping[str, str]) -> Chart:
    """Difference in bookings, revenue and margin with its interval, a line per comparison.

    `read` are the rows of a campaign over all customers, from `gold/campaign_readout`; `labels`
    are the comparisons in words, in their order from above.
    """
    metrics = [name for name in _SHOWN if name in set(read["metric"])]
    size = (2.8 + 2.6 * max(len(metrics), 1), 1.3 + 0.32 * len(labels))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, max(len(metrics), 1), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=False):
        rows = read[read["metric"] == metric].set_index("comparison").reindex(list(labels))
        shown = rows.rename(columns={"difference": "middle"})
        _intervals(axes, shown, rows["verdict"].isin(_CLEAR))
        axes.axvline(0, color="grey", linestyle=":")
        axes.set_title(_TITLES[metric], fontsize=9)
        axes.set_xlabel("difference per customer", fontsize=8)
    _named(panels[0], list(labels.values()))
    clear = [
        f"{labels[row['comparison']]}, {_TITLES[row['metric']]}: {row['verdict']}"
        for _, row in read[read["verdict"].isin(_CLEAR)].iterrows()
    ]
    alt = (
        f"Difference in {words.listed([_TITLES[name] for name in metrics])} by comparison, with "
        "95 % intervals. "
        f"Beyond chance: {words.listed(clear) if clear else 'none'}."
    )
    return Chart(figure, "What the offers did", alt)


@mpl.rc_context(STYLE)
def policy_values(policies: pd.DataFrame, labels: Mapping[str, str]) -> Chart:
    """What each way of choosing offers would bring per customer, the best above.

    `policies` are the rows of `gold/policy_scorecard`, `labels` what the policies are called.
    """
    rows = policies.sort_values("value", ascending=False, kind="stable", ignore_index=True)
    figure = Figure(figsize=(6.4, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    _intervals(axes, rows.rename(columns={"value": "middle"}), rows["policy"] == "learned")
    names = [labels[name] for name in rows["policy"]]
    _named(axes, names)
    reward = rows["reward"].iloc[0]
    axes.set_xlabel(f"{reward} per customer over the horizon, USD", fontsize=8)
    said = [
        f"{name} {row['value']:,.2f} USD ({row['low']:,.2f} to {row['high']:,.2f})"
        for name, (_, row) in zip(names, rows.iterrows(), strict=True)
    ]
    alt = f"Value per customer of each way of choosing offers, best first: {words.listed(said)}."
    return Chart(figure, "What each way of choosing offers would bring", alt)


def _intervals(axes: Axes, rows: pd.DataFrame, filled: pd.Series) -> None:
    """A point `middle` from `low` to `high` per row, those without a number left out."""
    for place, ((_, row), solid) in enumerate(zip(rows.iterrows(), filled, strict=True)):
        if pd.isna(row["low"]):
            continue
        axes.plot([row["low"], row["high"]], [place, place], color=COLOURS[0])
        face = COLOURS[0] if solid else "white"
        axes.plot(row["middle"], place, "o", color=COLOURS[0], markerfacecolor=face)
    axes.spines[["top", "right"]].set_visible(False)


def _named(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)

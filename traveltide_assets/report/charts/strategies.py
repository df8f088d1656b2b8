"""Charts that compare the strategies: the lifts of their perks, and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from traveltide_assets.evidence.tables import CONTRADICTED, SUPPORTED
from traveltide_assets.report import words
from traveltide_assets.report.charts.canvas import COLOURS, STYLE, Chart, heat_map

_LIFT_TICKS = (0.25, 0.5, 1, 2, 4)
_FACES = {SUPPORTED: COLOURS[0], CONTRADICTED: "#888888"}


@mpl.rc_context(STYLE)
def lifts(
    evidence: pd.DataFrame, titles: Mapping[str, str], strategies: Mapping[str, str]
) -> Chart:
    """Lift and interval of each perk, a panel per strategy; blue: supported, grey: contradicted."""
    shown = [name for name in strategies if name in set(evidence["strategy"])]
    height = max(-(-len(shown) // 2), 1)
    # The numbers stand beside the panels, which takes room.
    apart = ConstrainedLayoutEngine(wspace=0.06)
    figure = Figure(figsize=(9.6, 0.7 + 1.9 * height), layout=apart)
    panels = figure.subplots(height, 2, squeeze=False, sharex=True).ravel()
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes, strategy in zip(panels, shown, strict=False):
        _lift_panel(axes, evidence[evidence["strategy"] == strategy], titles)
        axes.set_title(strategies[strategy], loc="left", fontweight="bold")
    marks: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "linestyle": "-"}
    figure.legend(
        [
            Line2D([], [], **marks),
            Line2D([], [], markerfacecolor=_FACES[CONTRADICTED], **marks),
            Line2D([], [], markerfacecolor="white", **marks),
            Line2D([], [], color=COLOURS[5], marker="|", linestyle="", ms=11, mew=2),
        ],
        [
            "supported, with 95 % interval",
            "contradicted",
            "neither",
            "what the number of sessions explains",
        ],
        loc="outside lower center",
        frameon=False,
        ncols=4,
    )
    found = {
        verdict: [
            f"{titles[row['perk']]} by {strategies[row['strategy']]} {row['lift']:.2f}"
            for _, row in evidence[evidence["verdict"] == verdict].iterrows()
        ]
        for verdict in (SUPPORTED, CONTRADICTED)
    }
    alt = (
        "Lift of every perk by strategy with its 95 % interval; 1 means no difference. "
        f"Supported: {words.listed(found[SUPPORTED]) if found[SUPPORTED] else 'none'}. "
        f"Contradicted: {words.listed(found[CONTRADICTED]) if found[CONTRADICTED] else 'none'}. "
        "The others are neither."
    )
    return Chart(figure, "Lift of each perk by strategy", alt)


def _lift_panel(axes: Axes, rows: pd.DataFrame, titles: Mapping[str, str]) -> None:
    low, high = _LIFT_TICKS[0] * 0.8, _LIFT_TICKS[-1] * 1.2
    for place, (_, row) in enumerate(rows.iterrows()):
        face = _FACES.get(row["verdict"], "white")
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


@mpl.rc_context(STYLE)
def agreement(pairs: pd.DataFrame, strategies: Mapping[str, str]) -> Chart:
    """Share of customers whom each pair of strategies (row) gives the same perk."""
    names = list(dict.fromkeys([*pairs["strategy"], *pairs["other"]]))
    labels = [strategies[name] for name in names]
    matrix = pd.DataFrame(np.eye(len(names)), labels, labels)
    for pair in pairs.itertuples():
        one, other = strategies[pair.strategy], strategies[pair.other]
        matrix.loc[one, other] = matrix.loc[other, one] = pair.same_perk_share
    return Chart(
        heat_map(matrix, "{:.0%}", "Blues", lowest=0),
        "Customers given the same perk",
        "Heat map of the share of customers whom two strategies give the same perk: "
        f"{words.listed([_shared(pair, strategies) for pair in pairs.itertuples()])}.",
    )


def _shared(pair: Any, strategies: Mapping[str, str]) -> str:
    one, other = strategies[pair.strategy], strategies[pair.other]
    return f"{one} and {other} {words.percent(pair.same_perk_share)}"

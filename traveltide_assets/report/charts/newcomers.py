"""Charts of the predictor: what it gains and how good it is, by the number of sessions seen."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from traveltide_assets.prediction.models import KINDS, MAJORITY, RULES
from traveltide_assets.prediction.newcomer_lifts import ALL, ALL_PERKS
from traveltide_assets.prediction.training import CROSS_VALIDATION
from traveltide_assets.report import words
from traveltide_assets.report.charts.canvas import COLOURS, MARKERS, STYLE, Chart

_LEGEND_COLUMNS = 3


@mpl.rc_context(STYLE)
def learning(loss: Mapping[str, pd.Series], spread: Mapping[str, pd.Series] | None = None) -> Chart:
    """Log loss by number of sessions seen (index), a line for each name.

    `spread` has the standard deviations that are drawn as bars, for the same names.
    """
    legend_rows = -(-len(loss) // _LEGEND_COLUMNS)
    figure = Figure(figsize=(6.4, 2.7 + 0.4 * (legend_rows - 1)))
    axes = figure.subplots()
    for name, colour, marker in zip(loss, COLOURS, MARKERS, strict=False):
        axes.plot(loss[name], color=colour, marker=marker, ms=5, label=name)
        if spread is not None:
            axes.errorbar(loss[name].index, loss[name], spread[name], fmt="none", ecolor=colour)
    seen = sorted({n for values in loss.values() for n in values.index})
    axes.set(xlabel="sessions seen", ylabel="log loss", xticks=seen)
    figure.legend(loc="outside lower center", frameon=False, ncols=_LEGEND_COLUMNS)
    facts = [
        f"{name}: {words.decimal(values.iloc[0])} after {values.index[0]}, "
        f"{words.decimal(values.iloc[-1])} after {values.index[-1]}"
        for name, values in loss.items()
    ]
    return Chart(
        figure,
        "Log loss on unseen customers by number of sessions seen",
        f"Line chart of the log loss by number of sessions seen. {'; '.join(facts)}.",
    )


@mpl.rc_context(STYLE)
def gains(lifts: pd.DataFrame) -> Chart:
    """Gain by n with its 95 % interval, a line for each model of a table of lifts."""
    shown = lifts[(lifts["perk"] == ALL_PERKS) & (lifts["sessions_seen"] != ALL)]
    names = list(dict.fromkeys(shown["model"]))
    figure = Figure(figsize=(6.4, 2.7 + 0.4 * (-(-len(names) // 2) - 1)))
    axes = figure.subplots()
    facts = []
    for place, (name, colour, marker) in enumerate(zip(names, COLOURS, MARKERS, strict=False)):
        rows = shown[shown["model"] == name].sort_values("sessions_seen")
        ends = rows["gain"] - rows["gain_low"], rows["gain_high"] - rows["gain"]
        # Beside each other, or the intervals would hide one another.
        at = rows["sessions_seen"] + 0.06 * (place - (len(names) - 1) / 2)
        axes.errorbar(
            at,
            rows["gain"],
            [end.clip(lower=0) for end in ends],
            color=colour,
            marker=marker,
            ms=5,
            label=name,
        )
        facts.append(f"{name}: mean {words.decimal(rows['gain'].mean(), 3)}")
    axes.axhline(0, color="black", lw=0.6)
    seen = sorted(set(shown["sessions_seen"]))
    axes.set(xlabel="sessions seen", ylabel="gain (SD of behaviour)", xticks=seen)
    if names:
        figure.legend(loc="outside lower center", frameon=False, ncols=2)
    return Chart(
        figure,
        "Gain of each model by number of sessions seen",
        f"Line chart of the gain by number of sessions seen. {'; '.join(facts)}.",
    )


def learning_by_model(scores: pd.DataFrame) -> Chart:
    """`learning` for every kind of model trained and both baselines, from the stored scores."""
    shown = scores[(scores["evaluation"] == CROSS_VALIDATION) & (scores["metric"] == "log_loss")]
    rows = {
        kind: shown[shown["model"] == kind].set_index("sessions_seen").sort_index()
        for kind in (*KINDS, MAJORITY, RULES)
        if (shown["model"] == kind).any()
    }
    return learning(
        {kind: table["mean"] for kind, table in rows.items()},
        {kind: table["sd"] for kind, table in rows.items()},
    )

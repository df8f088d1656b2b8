"""Charts of the predictor: how good it is by the number of sessions seen."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from traveltide_assets.prediction.models import KINDS, MAJORITY, RULES
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

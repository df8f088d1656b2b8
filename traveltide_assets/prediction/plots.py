"""Pictures of the predictor, as PNG bytes."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from traveltide_assets.prediction.models import KINDS, MAJORITY, RULES
from traveltide_assets.prediction.training import CROSS_VALIDATION
from traveltide_assets.segmentation.plots import COLOURS, png


def scores_by_sessions(scores: pd.DataFrame) -> bytes:
    """Log loss on unseen customers by sessions seen, a line per model; bars are one SD."""
    shown = scores[(scores["evaluation"] == CROSS_VALIDATION) & (scores["metric"] == "log_loss")]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for colour, kind in zip(COLOURS, (*KINDS, MAJORITY, RULES), strict=False):
        rows = shown[shown["model"] == kind].sort_values("sessions_seen")
        axes.errorbar(
            rows["sessions_seen"],
            rows["mean"],
            yerr=rows["sd"],
            color=colour,
            marker="o",
            linestyle="-" if kind in KINDS else "--",
            label=kind,
        )
    axes.set(xlabel="sessions seen", ylabel="log loss (less is better)")
    axes.set_xticks(sorted(shown["sessions_seen"].unique()))
    axes.set_title("Perks of unseen customers, predicted from their first sessions")
    axes.legend(frameon=False, fontsize=8)
    return png(figure)

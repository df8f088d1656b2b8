"""The pictures of a segmentation, as PNG bytes. Colours are told apart by colour-blind people."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DPI = 90
_MAX_POINTS = 4_000


def correlations(features: pd.DataFrame) -> bytes:
    """Heat map of the correlations between the model's features (columns)."""
    matrix = features.corr().fillna(0.0)
    names = [_plain(name) for name in matrix.columns]
    figure, axes = _canvas(1.6 + 0.75 * len(names), 1.2 + 0.65 * len(names))
    image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="PuOr")
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    figure.colorbar(image, ax=axes, shrink=0.8)
    axes.set_title("Correlation of the model's features")
    return png(figure)


def elbow(diagnostics: pd.DataFrame) -> bytes:
    """Inertia and silhouette for each number of clusters, the chosen one marked."""
    figure, axes = _canvas(7, 4)
    k = diagnostics["k"]
    axes.plot(k, diagnostics["inertia"], color=COLOURS[0], marker="o", label="inertia")
    axes.set(xlabel="number of clusters", ylabel="inertia", title="Choosing the number of clusters")
    right = axes.twinx()
    right.plot(k, diagnostics["silhouette"], color=COLOURS[1], marker="s", label="silhouette")
    right.set_ylabel("silhouette")
    right.spines["top"].set_visible(False)
    chosen = diagnostics.loc[diagnostics["chosen"], "k"]
    for value in chosen:
        axes.axvline(value, color="grey", linestyle=":", label=f"chosen: {value}")
    lines = [*axes.get_lines(), *right.get_lines()]
    axes.legend(handles=lines, loc="upper center", frameon=False, ncol=3)
    return png(figure)


def scatter(customers: pd.DataFrame, seed: int) -> bytes:
    """Customers on the first two principal components, by segment (a sample of many)."""
    shown = customers
    if len(customers) > _MAX_POINTS:
        shown = customers.sample(_MAX_POINTS, random_state=seed)
    figure, axes = _canvas(8, 5)
    for i, (segment, group) in enumerate(shown.groupby("segment", sort=True)):
        axes.scatter(
            group["pca_x"],
            group["pca_y"],
            s=10,
            alpha=0.5,
            color=COLOURS[i % len(COLOURS)],
            marker=_MARKERS[i % len(_MARKERS)],
            label=segment,
            linewidths=0,
        )
    axes.set(
        xlabel="first principal component",
        ylabel="second principal component",
        title=f"{len(shown):,} of {len(customers):,} customers by segment",
    )
    axes.legend(frameon=False, markerscale=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return png(figure)


def profile_bars(profile: pd.DataFrame) -> bytes:
    """Deviation of each segment (row) from the cohort in each feature (column), in SD."""
    figure, axes = _canvas(8, 1.5 + 0.32 * profile.size)
    height = 0.8 / len(profile)
    places = np.arange(profile.shape[1])
    for i, (segment, row) in enumerate(profile.iterrows()):
        axes.barh(places + i * height, row, height, label=segment, color=COLOURS[i % len(COLOURS)])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places + 0.4 - height / 2, [_plain(name) for name in profile.columns])
    axes.invert_yaxis()
    axes.set(xlabel="deviation from the cohort (SD)", title="What sets the segments apart")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.1))
    return png(figure)


def perk_counts(assignments: pd.DataFrame) -> bytes:
    """Customers per perk."""
    counts = assignments["perk"].value_counts().sort_values()
    figure, axes = _canvas(7, 1.2 + 0.5 * len(counts))
    bars = axes.barh([_plain(name) for name in counts.index], counts, color=COLOURS[0])
    shares = [f"{count:,}  ({count / counts.sum():.0%})" for count in counts]
    axes.bar_label(bars, shares, padding=4)
    axes.set_xlim(0, counts.max() * 1.2)
    axes.set(xlabel="customers", title="Customers per perk")
    return png(figure)


def lifts(evidence: pd.DataFrame) -> bytes:
    """Lift of each perk (row) with its interval, a panel per strategy; hollow: not supported."""
    strategies = list(dict.fromkeys(evidence["strategy"]))
    figure = Figure(figsize=(4.2 * max(len(strategies), 1), 3.6), layout="constrained")
    panels = figure.subplots(1, max(len(strategies), 1), squeeze=False)[0]
    for axes, strategy in zip(panels, strategies, strict=False):
        rows = evidence[evidence["strategy"] == strategy].reset_index(drop=True)
        for place, row in rows.iterrows():
            supported = row["verdict"] == "supported"
            axes.plot([row["lift_low"], row["lift_high"]], [place, place], color=COLOURS[0])
            face = COLOURS[0] if supported else "white"
            axes.plot(row["lift"], place, "o", color=COLOURS[0], markerfacecolor=face)
            axes.plot(row["lift_by_activity"], place, "|", color=COLOURS[5], markersize=12)
        axes.axvline(1, color="grey", linestyle=":")
        axes.set_yticks(range(len(rows)), [_plain(perk) for perk in rows["perk"]], fontsize=8)
        axes.set(title=_plain(strategy), xlabel="lift")
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def agreement(pairs: pd.DataFrame) -> bytes:
    """Heat map: share of customers that two strategies give the same perk."""
    names = list(dict.fromkeys([*pairs["strategy"], *pairs["other"]]))
    matrix = pd.DataFrame(np.eye(len(names)), names, names)
    for one, other, share in pairs[["strategy", "other", "same_perk_share"]].to_numpy():
        matrix.loc[one, other] = matrix.loc[other, one] = share
    figure, axes = _canvas(2 + 0.9 * len(names), 1 + 0.7 * len(names))
    axes.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
    labels = [_plain(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), labels)
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        colour = "white" if value > 0.6 else "black"
        axes.text(column, row, f"{value:.0%}", ha="center", va="center", color=colour)
    axes.set_title("Customers given the same perk")
    return png(figure)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plain(name: object) -> str:
    return str(name).replace("_", " ")


def png(figure: Figure) -> bytes:
    """A figure as the UI shows it."""
    buffer = BytesIO()
    figure.set_dpi(_DPI)
    # `savefig` draws once more, to lay the figure out, which drawing does anyway.
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()

"""Charts of the segments: how they were found, and what tells them apart."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from traveltide_assets.report import words
from traveltide_assets.report.charts.canvas import COLOURS, MARKERS, STYLE, Chart, heat_map

_POINTS = 3_000
_STRONG = 0.6


@mpl.rc_context(STYLE)
def correlations(features: pd.DataFrame) -> Chart:
    """Correlation of each pair of the model's features (columns)."""
    labels = {name: words.FEATURES[name].label for name in features.columns}
    matrix = features.corr().fillna(0.0).rename(index=labels, columns=labels)
    alike = [
        f"{one} and {other} {matrix.loc[one, other]:+.2f}"
        for one, other in combinations(matrix.columns, 2)
        if abs(matrix.loc[one, other]) > _STRONG
    ]
    return Chart(
        heat_map(matrix, "{:.2f}", "PuOr", lowest=-1),
        "Correlation of the model's features",
        "Heat map of the correlations between the features of the k-means model. "
        f"Beyond {_STRONG}: {words.listed(alike) if alike else 'none'}.",
    )


@mpl.rc_context(STYLE)
def elbow(diagnostics: pd.DataFrame) -> Chart:
    """Inertia and silhouette by number of clusters."""
    figure = Figure(figsize=(6.4, 2.7))
    left, right = figure.subplots(1, 2)
    chosen = diagnostics[diagnostics["chosen"]]
    for axes, measure, title in (
        (left, "inertia", "Spread within the clusters"),
        (right, "silhouette", "Separation (silhouette)"),
    ):
        axes.plot(diagnostics["k"], diagnostics[measure], color=COLOURS[0], marker="o", ms=4)
        axes.plot(chosen["k"], chosen[measure], "D", color=COLOURS[5], ms=8)
        axes.set(xlabel="number of clusters", title=title)
        axes.set_ylim(bottom=0)
    figure.legend(
        [Line2D([], [], marker="D", color=COLOURS[5], linestyle="")],
        ["chosen"],
        loc="outside lower right",
        frameon=False,
    )
    best = diagnostics.loc[diagnostics["silhouette"].fillna(-1).idxmax()]
    k = int(chosen["k"].iloc[0])
    alt = (
        f"Two line charts over 1 to {diagnostics['k'].max()} clusters. {k} clusters were chosen "
        f"(silhouette {words.decimal(float(chosen['silhouette'].iloc[0]))}); the highest "
        f"silhouette is {words.decimal(float(best['silhouette']))} at {int(best['k'])} clusters."
    )
    return Chart(figure, "Choosing the number of clusters", alt)


@mpl.rc_context(STYLE)
def scatter(places: pd.DataFrame, segments: pd.Series, seed: int) -> Chart:
    """Customers on the first two principal components of the cluster model, by segment.

    `places` has a row per customer with `pca_x` and `pca_y`, `segments` the same rows' names.
    """
    shown = places.assign(segment=segments.to_numpy())
    if len(shown) > _POINTS:
        shown = shown.sample(_POINTS, random_state=seed)
    figure = Figure(figsize=(6.4, 4.2))
    axes = figure.subplots()
    for i, (segment, group) in enumerate(shown.groupby("segment", sort=True)):
        axes.scatter(
            group["pca_x"],
            group["pca_y"],
            s=9,
            alpha=0.55,
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            label=segment,
            linewidths=0,
            rasterized=True,
        )
    axes.set(xlabel="first principal component", ylabel="second principal component")
    figure.legend(loc="outside lower center", frameon=False, markerscale=2.5, ncols=2)
    alt = (
        f"Scatter plot of {len(shown):,} of {len(places):,} customers, placed by similarity, "
        f"with a colour and marker for each segment: {words.listed(sorted(set(segments)))}."
    )
    return Chart(figure, "Customers by segment", alt)


@mpl.rc_context(STYLE)
def profile(deviations: pd.DataFrame) -> Chart:
    """Deviation of each segment (row) from the average customer by feature (column), in SD."""
    figure = Figure(figsize=(6.4, 1.5 + 0.36 * deviations.shape[1]))
    axes = figure.subplots()
    rows = np.arange(deviations.shape[1])
    axes.hlines(rows, deviations.min(), deviations.max(), color="#cccccc", linewidth=2)
    for i, (segment, row) in enumerate(deviations.sort_index().iterrows()):
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
        }
        axes.plot(row, rows, linestyle="", ms=7, label=segment, **style)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(rows, [words.FEATURES[name].label for name in deviations.columns])
    axes.invert_yaxis()
    axes.set_xlabel("less than the average customer  ←  standard deviations  →  more")
    figure.legend(loc="outside lower center", frameon=False, ncols=2)
    strongest = [
        f"{segment}: {words.FEATURES[row.abs().idxmax()].label} "
        f"{row[row.abs().idxmax()]:+.1f} standard deviations"
        for segment, row in deviations.iterrows()
    ]
    alt = f"Dot plot of segment profiles. Strongest deviation of each: {'; '.join(strongest)}."
    return Chart(figure, "What sets the segments apart", alt)

"""Contracts of segmentation: the cluster model, segments by strategy, and assigned perks."""

from __future__ import annotations

from collections.abc import Iterable

from traveltide_assets.schema.table import Column, Table

KMEANS_MODEL = Table(
    "gold",
    "kmeans_model",
    "One row per segment and feature of the fitted cluster model. The table is all that is needed "
    "to assign customers.",
    (
        Column("segment_rank", "int64", "Rank of the segment by activity of its profile, from 1"),
        Column("segment", "string", "Name of the segment"),
        Column("perk", "string", "Perk of the segment"),
        Column("position", "int64", "Position of the feature in the model, from 0"),
        Column("feature", "string", "Name of the feature"),
        Column("fill", "float64", "Replacement for undefined values: the cohort's mean"),
        Column("minimum", "float64", "Cohort minimum, in the unit of the feature; scaled to 0"),
        Column("maximum", "float64", "Cohort maximum, in the unit of the feature; scaled to 1"),
        Column("centroid", "float64", "Centroid in the unit of the feature"),
        Column("centroid_scaled", "float64", "Centroid on the model's scale from 0 to 1"),
        Column("model_version", "string", "Hash of features, scales and centroids"),
    ),
    key=("segment_rank", "position"),
    partitioned=True,
)
KMEANS_DIAGNOSTICS = Table(
    "gold",
    "kmeans_diagnostics",
    "One row per number of clusters tried.",
    (
        Column("k", "int64", "Number of clusters"),
        Column("inertia", "float64", "Sum of squared distances to the centroids"),
        Column("silhouette", "float64", "Mean silhouette", required=False),
        Column("davies_bouldin", "float64", "Davies-Bouldin index", required=False),
        Column("calinski_harabasz", "float64", "Calinski-Harabasz index", required=False),
        Column("smallest_share", "float64", "Share of customers in the smallest cluster"),
        Column("scored_rows", "int64", "Customers in the sample for the three indices"),
        Column("chosen", "boolean", "Whether the model has this number of clusters"),
    ),
    key=("k",),
    partitioned=True,
)
DBSCAN_TRIAL = Table(
    "gold",
    "dbscan_trial",
    "One row per parameter setting of DBSCAN, tried in the space of the wide model. The results "
    "show why DBSCAN is not a strategy.",
    (
        Column("min_samples", "int64", "Neighbours that make a point a core point"),
        Column("eps_quantile", "float64", "Quantile of the k-distance curve"),
        Column("eps", "float64", "Radius of the neighbourhood"),
        Column("clusters", "int64", "Clusters found"),
        Column("noise_share", "float64", "Share of customers in no cluster"),
        Column("largest_share", "float64", "Share of customers in the largest cluster"),
        Column("silhouette", "float64", "Silhouette of customers in clusters", required=False),
        Column("scored_rows", "int64", "Customers in the sample"),
    ),
    key=("min_samples", "eps_quantile"),
    partitioned=True,
)


SEGMENTS = (
    Column("user_id", "int64", "The customer"),
    Column("segment", "string", "Name of the segment"),
    Column("perk", "string", "The perk"),
    Column(
        "score", "float64", "How clearly the customer belongs; the scale depends on the strategy"
    ),
    Column("reason", "string", "Why the customer gets the perk"),
)
"""Columns of the segments table of every strategy."""


def segments(strategy: str, extra: tuple[Column, ...]) -> Table:
    """The contract of `gold/segments/<strategy>`; `extra` are columns of that strategy only."""
    return Table(
        "gold",
        f"segments/{strategy}",
        f"One row per cohort customer: segment and perk by the {strategy} strategy.",
        (*SEGMENTS, *extra),
        key=("user_id",),
        partitioned=True,
    )


def decided_segments(perks: Iterable[str]) -> Table:
    """The contract of `gold/decided_segments` for the perks of a catalogue."""
    return Table(
        "gold",
        "decided_segments",
        "One row per cohort customer: segment and perk by the strategy that decides the month.",
        (
            *SEGMENTS,
            *(preference(perk) for perk in perks),
            Column("strategy", "string", "The strategy that decided"),
            Column("model_version", "string", "Version of the model that decided"),
        ),
        key=("user_id",),
        partitioned=True,
    )


def preference(perk: str) -> Column:
    """What a strategy expects of a customer for a perk, in the tables of those that say so."""
    return Column(
        f"preference_{perk}",
        "float64",
        f"Expected behaviour for {perk}, divided by the average; null if nothing is expected",
        required=False,
    )


def perk_assignments(perks: Iterable[str]) -> Table:
    """The contract of `gold/perk_assignments` for the perks of a catalogue."""
    return Table(
        "gold",
        "perk_assignments",
        "One row per cohort customer: the perk to invite them with, and why.",
        (
            Column("user_id", "int64", "The customer"),
            Column("segment", "string", "Name of the segment"),
            Column("perk", "string", "The perk"),
            Column(
                "runner_up",
                "string",
                "The strategy's own perk if another one is kept, else that of the next highest "
                "affinity",
            ),
            Column("deciding_features", "string", "The features that decided, strongest first"),
            *(
                Column(f"affinity_{perk}", "float64", f"Affinity of the segment to {perk}, in SD")
                for perk in perks
            ),
            Column("steadiness", "string", "Why the perk is that of last month, or is not"),
            Column("strategy", "string", "The strategy that decided"),
            Column("model_version", "string", "Version of the model that decided"),
            Column("as_of_month", "string", "The decided month; only data up to its end was used"),
        ),
        key=("user_id",),
        partitioned=True,
    )


TABLES = (KMEANS_MODEL, KMEANS_DIAGNOSTICS, DBSCAN_TRIAL)

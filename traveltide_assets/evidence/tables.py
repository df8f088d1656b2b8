"""Contracts of the evidence: what back-tests, signals and the scorecard hold."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

PERK_EVIDENCE = Table(
    "gold",
    "perk_evidence",
    "One row per strategy and perk it gives: assigned as of the cut, measured after it.",
    (
        Column("strategy", "string", "The strategy"),
        Column("perk", "string", "The perk"),
        Column("outcome", "string", "The behaviour after the cut that the perk speaks to"),
        Column("customers", "int64", "Customers given the perk"),
        Column("opportunities", "int64", "Their opportunities after the cut"),
        Column("opportunities_others", "int64", "Opportunities of the others"),
        Column("mean", "float64", "Outcome per opportunity of those given", required=False),
        Column("mean_others", "float64", "Outcome per opportunity of the others", required=False),
        Column("lift", "float64", "Mean of those given / mean of the others", required=False),
        Column("lift_low", "float64", "Lower end of the 95 % bootstrap interval", required=False),
        Column("lift_high", "float64", "Upper end of the 95 % interval", required=False),
        Column(
            "lift_by_activity",
            "float64",
            "Mean lift among shuffles within equal numbers of earlier sessions",
            required=False,
        ),
        Column("p_value", "float64", "Share of shuffles with at least the lift", required=False),
        Column(
            "p_holm",
            "float64",
            "P-value corrected over all strategies and perks (Holm)",
            required=False,
        ),
        Column("verdict", "string", "supported, not supported or too little data"),
    ),
    key=("strategy", "perk"),
    partitioned=True,
)
PERK_SIGNALS = Table(
    "gold",
    "perk_signals",
    "One row per perk: how many customers signal it, and which other perk says the same.",
    (
        Column("perk", "string", "The perk"),
        Column("strong_customers", "int64", "Customers at least one SD above the cohort"),
        Column("strong_share", "float64", "Their share of the cohort"),
        Column("most_redundant_with", "string", "The perk of the closest index", required=False),
        Column("rank_correlation", "float64", "Spearman's rho of both indices", required=False),
    ),
    key=("perk",),
    partitioned=True,
)
SCORECARD = Table(
    "gold",
    "segmentation_scorecard",
    "One row per strategy: size, separation, stability and evidence on one yardstick.",
    (
        Column("strategy", "string", "The strategy"),
        Column("description", "string", "How it works"),
        Column("coverage", "float64", "Share of the cohort with a perk"),
        Column("segments", "int64", "Number of segments"),
        Column("smallest_share", "float64", "Of the smallest segment", required=False),
        Column("largest_share", "float64", "Of the largest segment", required=False),
        Column("silhouette", "float64", "In the space of all features", required=False),
        Column("davies_bouldin", "float64", "In the space of all features", required=False),
        Column("stability_bootstrap", "float64", "ARI with bootstrap refits", required=False),
        Column("stability_seed", "float64", "ARI with another seed", required=False),
        Column("persistence", "float64", "Share in the same segment as last month", required=False),
        Column("perks", "int64", "Number of perks given"),
        Column("supported_perks", "int64", "Perks the evidence supports"),
        Column("supported_share", "float64", "Share of customers given a supported perk"),
        Column("recommended", "boolean", "Gives most customers a supported perk"),
    ),
    key=("strategy",),
    partitioned=True,
)
AGREEMENT = Table(
    "gold",
    "strategy_agreement",
    "One row per pair of strategies: do they see the same groups, and give the same perks?",
    (
        Column("strategy", "string", "One strategy"),
        Column("other", "string", "The other"),
        Column("adjusted_rand_index", "float64", "Of their segments"),
        Column("normalized_mutual_information", "float64", "Of their segments"),
        Column("same_perk_share", "float64", "Share of customers given the same perk"),
    ),
    key=("strategy", "other"),
    partitioned=True,
)
TABLES = (PERK_EVIDENCE, PERK_SIGNALS, SCORECARD, AGREEMENT)

"""Contracts of the evidence: back-tests, signals, the scorecard and agreement of strategies."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

PERK_EVIDENCE = Table(
    "gold",
    "perk_evidence",
    "One row per strategy and perk it assigns: assigned as of the cut, measured after it.",
    (
        Column("strategy", "string", "The strategy"),
        Column("perk", "string", "The perk"),
        Column(
            "outcome",
            "string",
            "The behaviour after the cut that the perk rewards; none if no behaviour speaks to it",
        ),
        Column("customers", "int64", "Customers with the perk"),
        Column("opportunities", "int64", "Their opportunities after the cut, such as flights"),
        Column(
            "opportunities_others", "int64", "Opportunities of all other customers after the cut"
        ),
        Column("mean", "float64", "Their outcome per opportunity", required=False),
        Column("mean_others", "float64", "Outcome per opportunity of the others", required=False),
        Column("lift", "float64", "Mean with the perk / mean of the others", required=False),
        Column("lift_low", "float64", "Lower end of the 95 % bootstrap interval", required=False),
        Column("lift_high", "float64", "Upper end of the 95 % interval", required=False),
        Column(
            "lift_by_activity",
            "float64",
            "Mean lift of permutations among customers with equally many sessions before the cut",
            required=False,
        ),
        Column(
            "p_value", "float64", "Share of permutations with at least this lift", required=False
        ),
        Column(
            "p_holm",
            "float64",
            "P-value with Holm's correction over all strategies and perks",
            required=False,
        ),
        Column("verdict", "string", "supported, not supported, too little data or not tried"),
    ),
    key=("strategy", "perk"),
    partitioned=True,
)
PERK_SIGNALS = Table(
    "gold",
    "perk_signals",
    "One row per perk: how many customers signal it strongly, and the most similar other perk.",
    (
        Column("perk", "string", "The perk"),
        Column("strong_customers", "int64", "Customers at least one SD above the cohort"),
        Column("strong_share", "float64", "Their share of the cohort"),
        Column(
            "most_redundant_with", "string", "The perk with the most similar index", required=False
        ),
        Column("rank_correlation", "float64", "Spearman's rho of the two indices", required=False),
    ),
    key=("perk",),
    partitioned=True,
)
SCORECARD = Table(
    "gold",
    "segmentation_scorecard",
    "One row per strategy: size, separation, stability and evidence, measured the same way.",
    (
        Column("strategy", "string", "The strategy"),
        Column("description", "string", "How it works"),
        Column("coverage", "float64", "Share of the cohort with a perk"),
        Column("segments", "int64", "Number of segments"),
        Column(
            "smallest_share",
            "float64",
            "Share of customers in the smallest segment",
            required=False,
        ),
        Column(
            "largest_share", "float64", "Share of customers in the largest segment", required=False
        ),
        Column("silhouette", "float64", "Silhouette in the space of all features", required=False),
        Column("davies_bouldin", "float64", "Davies-Bouldin index in that space", required=False),
        Column(
            "stability_bootstrap",
            "float64",
            "Adjusted Rand index with bootstrap refits",
            required=False,
        ),
        Column(
            "stability_seed", "float64", "Adjusted Rand index with another seed", required=False
        ),
        Column(
            "persistence",
            "float64",
            "Share of customers who kept their segment since last month",
            required=False,
        ),
        Column("perks", "int64", "Number of perks assigned"),
        Column("supported_perks", "int64", "Number of perks that the evidence supports"),
        Column("supported_share", "float64", "Share of customers with a supported perk"),
        Column("recommended", "boolean", "Gives the most customers a supported perk"),
    ),
    key=("strategy",),
    partitioned=True,
)
AGREEMENT = Table(
    "gold",
    "strategy_agreement",
    "One row per pair of strategies: how far their segments and perks agree.",
    (
        Column("strategy", "string", "One strategy"),
        Column("other", "string", "The other strategy"),
        Column("adjusted_rand_index", "float64", "Adjusted Rand index of their segments"),
        Column("normalized_mutual_information", "float64", "Normalised mutual information of them"),
        Column("same_perk_share", "float64", "Share of customers with the same perk from both"),
    ),
    key=("strategy", "other"),
    partitioned=True,
)
TABLES = (PERK_EVIDENCE, PERK_SIGNALS, SCORECARD, AGREEMENT)

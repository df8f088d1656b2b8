"""Contracts of the evidence: back-tests, signals, scorecard, agreement and decision."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

SUPPORTED, NOT_SUPPORTED, TOO_LITTLE = "supported", "not supported", "too little data"
CONTRADICTED, NOT_TRIED = "contradicted", "not tried"
VERDICTS = (SUPPORTED, CONTRADICTED, NOT_SUPPORTED, TOO_LITTLE, NOT_TRIED)

_TRIED = (
    Column("strategy", "string", "The strategy"),
    Column("perk", "string", "The perk"),
    Column("outcome", "string", "The behaviour after the cuts that the perk rewards"),
)
_COUNTED = (
    Column("customers", "int64", "Customers with the perk"),
    Column("opportunities", "int64", "Their opportunities afterwards, such as flights"),
    Column("opportunities_others", "int64", "Opportunities of all other customers"),
    Column("events", "int64", "Customers with the perk who did it at least once"),
    Column("events_others", "int64", "Other customers who did it at least once"),
)
_LIFTS = (
    Column("mean", "float64", "Their outcome per opportunity", required=False),
    Column("mean_others", "float64", "Outcome per opportunity of the others", required=False),
    Column(
        "lift",
        "float64",
        "How many times as much they did as the others, compared within each cut",
        required=False,
    ),
    Column("lift_low", "float64", "Lower end of the 95 % bootstrap interval", required=False),
    Column("lift_high", "float64", "Upper end of the 95 % interval", required=False),
)
PERK_EVIDENCE = Table(
    "gold",
    "perk_evidence",
    "One row per strategy and perk it may give: assigned as of the cuts, measured after them.",
    (
        *_TRIED,
        Column("cuts", "int64", "Cuts at which it was given to anybody"),
        *_COUNTED,
        Column(
            "fewest_events",
            "float64",
            "Events of the side with fewer: seen, or expected from its share of opportunities",
            required=False,
        ),
        *_LIFTS,
        Column(
            "lift_by_activity",
            "float64",
            "Mean lift of permutations among customers with equally many sessions before each cut",
            required=False,
        ),
        Column(
            "detectable_lift",
            "float64",
            "Smallest lift that would have been shown with a power of 80 %",
            required=False,
        ),
        Column(
            "p_value", "float64", "Share of permutations with at least this lift", required=False
        ),
        Column(
            "p_below", "float64", "Share of permutations with at most this lift", required=False
        ),
        Column(
            "p_holm",
            "float64",
            "The smaller p-value, with Holm's correction over all strategies, perks and directions",
            required=False,
        ),
        Column(
            "verdict",
            "string",
            "supported, contradicted, not supported, too little data or not tried",
        ),
    ),
    key=("strategy", "perk"),
    partitioned=True,
)
EVIDENCE_BY_CUT = Table(
    "gold",
    "perk_evidence_by_cut",
    "One row per strategy, perk it gave and cut: what followed that cut alone.",
    (*_TRIED, Column("cut", "string", "Last month before the cut"), *_COUNTED, *_LIFTS),
    key=("strategy", "perk", "cut"),
    partitioned=True,
)
PERKS_TRIED = Table(
    "gold",
    "perks_tried",
    "One row per strategy, cut and customer of the back-test: the perk given as of the cut.",
    (
        Column("strategy", "string", "The strategy"),
        Column("cut", "string", "Last month before the cut"),
        Column("user_id", "int64", "The customer"),
        Column("perk", "string", "The perk"),
    ),
    key=("strategy", "cut", "user_id"),
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
        Column(
            "perk_persistence",
            "float64",
            "Share of customers who kept their perk since last month",
            required=False,
        ),
        Column(
            "reliability_ari",
            "float64",
            "Adjusted Rand index of the segments from odd and from even sessions",
            required=False,
        ),
        Column(
            "reliability_kappa",
            "float64",
            "Cohen's kappa of the perks from odd and from even sessions",
            required=False,
        ),
        Column("perks", "int64", "Number of perks assigned"),
        Column("supported_perks", "int64", "Number of perks that the evidence supports"),
        Column("contradicted_perks", "int64", "Number of perks that the evidence contradicts"),
        Column("supported_share", "float64", "Share of customers with a supported perk"),
        Column("contradicted_share", "float64", "Share of customers with a contradicted perk"),
        Column(
            "untried_share",
            "float64",
            "Share of the back-test's customers whose present perk was never tried on them",
            required=False,
        ),
        Column(
            "policy_cost",
            "float64",
            "Share of customers with a supported perk lost to features that may not be used, when "
            "both ways were tried at the latest cut; null if it would not use any of them",
            required=False,
        ),
        Column(
            "worth",
            "float64",
            "Share of customers with a supported perk; one that is not kept since last month, or "
            "not the same from odd and even sessions, counts less",
        ),
        Column("recommended", "boolean", "Whether it would decide with `strategy = recommended`"),
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
DECISION = Table(
    "gold",
    "strategy_decision",
    "One row per strategy: its worth against that of the strategy in service, and which decides.",
    (
        Column("strategy", "string", "The strategy"),
        Column("in_service", "string", "The strategy that decided before; null at first", False),
        Column("worth", "float64", "Its worth, as in the scorecard"),
        Column("supported_share", "float64", "Share of customers with a supported perk"),
        Column(
            "difference",
            "float64",
            "Its worth minus that of the one in service, whose perks also count if only the "
            "correction for the number of tests keeps them from being supported",
            required=False,
        ),
        Column(
            "difference_low",
            "float64",
            "Lower end of the 95 % interval over customers; verdicts are taken as given",
            required=False,
        ),
        Column("difference_high", "float64", "Upper end of that interval", required=False),
        Column("verdict", "string", "better, worse, no difference, in service or no rival"),
        Column("recommended", "boolean", "Whether the scorecard recommends it"),
        Column("decides", "boolean", "Whether it decides the month"),
        Column("because", "string", "Why the one that decides does"),
    ),
    key=("strategy",),
    partitioned=True,
)
TABLES = (
    PERK_EVIDENCE,
    EVIDENCE_BY_CUT,
    PERKS_TRIED,
    PERK_SIGNALS,
    SCORECARD,
    AGREEMENT,
    DECISION,
)

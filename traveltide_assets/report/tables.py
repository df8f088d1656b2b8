"""Contracts of the tables that pages are drawn from."""

from __future__ import annotations

from dataclasses import replace

from traveltide_assets.schema.table import Column, Table
from traveltide_assets.transforms.tables import USER_FEATURES

SEGMENT_PROFILES = Table(
    "gold",
    "segment_profiles",
    "One row per segment and feature: its mean beside that of the whole cohort.",
    (
        Column("segment", "string", "Name of the segment"),
        Column("feature", "string", "Name of the feature"),
        Column("customers", "int64", "Customers in the segment"),
        Column("mean", "float64", "Their mean; null if undefined for all", required=False),
        Column("mean_of_all", "float64", "The cohort's mean", required=False),
        Column(
            "place",
            "int64",
            "1 for the feature that sets the segment apart most, then 2 and 3; else null",
            required=False,
        ),
    ),
    key=("segment", "feature"),
    partitioned=True,
)
PERK_MOVES = Table(
    "gold",
    "perk_moves",
    "One row per perk of last month, perk of this month and feature: what those customers do now "
    "and did before.",
    (
        Column("perk_before", "string", "Last month's perk, or `not in the cohort`"),
        Column("perk", "string", "This month's perk, or `not in the cohort`"),
        Column("feature", "string", "Name of the feature"),
        Column("customers", "int64", "Customers with these perks"),
        Column("idle", "int64", "Those of them without a new session since"),
        Column("mean_before", "float64", "Their mean a month ago", required=False),
        Column("mean", "float64", "Their mean", required=False),
        Column(
            "sd_before",
            "float64",
            "Standard deviation over last month's cohort; null if it was not decided",
            required=False,
        ),
    ),
    key=("perk_before", "perk", "feature"),
    partitioned=True,
)
FEATURE_SAMPLE = replace(
    USER_FEATURES,
    name="feature_sample",
    description="One row per customer of a sample of 50,000 or fewer: the feature catalogue, as in "
    "`gold/user_features`. Empty if the cohort is no larger.",
)
TABLES = (SEGMENT_PROFILES, PERK_MOVES, FEATURE_SAMPLE)

"""Contracts of the campaign: who is invited with what, and what changed."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

CAMPAIGN = Table(
    "gold",
    "campaign",
    "One row per customer who is invited or held out; nobody suppressed, nothing personal.",
    (
        Column("user_id", "int64", "The customer"),
        Column("perk", "string", "What is offered: the perk, or the experiment's control offer"),
        Column("headline", "string", "The line of the mail"),
        Column("segment", "string", "Name of the segment"),
        Column("holdout", "boolean", "Not written to, for comparison"),
    ),
    key=("user_id",),
    partitioned=True,
)
CHANGES = Table(
    "gold",
    "campaign_changes",
    "One row per customer who is written to now or was last month, but not alike.",
    (
        Column("user_id", "int64", "The customer"),
        Column("change", "string", "new, moved (another perk) or dropped"),
        Column("perk_before", "string", "What was offered last month", required=False),
        Column("perk", "string", "What is offered now", required=False),
    ),
    key=("user_id",),
    partitioned=True,
)
TABLES = (CAMPAIGN, CHANGES)

"""Contracts of the campaign: the invitations, and their changes since last month."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

CAMPAIGN = Table(
    "gold",
    "campaign",
    "One row per customer who is invited or held out. Suppressed customers are left out. Contains "
    "no personal data but the id.",
    (
        Column("user_id", "int64", "The customer"),
        Column("perk", "string", "Offer: the perk, or the experiment's control offer"),
        Column("headline", "string", "Headline of the mail"),
        Column("segment", "string", "Name of the segment"),
        Column("holdout", "boolean", "Whether the customer gets no mail, for comparison"),
    ),
    key=("user_id",),
    partitioned=True,
)
CHANGES = Table(
    "gold",
    "campaign_changes",
    "One row per customer whose offer differs from last month's, in this or last month's mailing.",
    (
        Column("user_id", "int64", "The customer"),
        Column("change", "string", "Change: new, moved (another perk) or dropped"),
        Column("perk_before", "string", "Last month's offer", required=False),
        Column("perk", "string", "This month's offer", required=False),
        Column("reason", "string", "Why the offer changed"),
    ),
    key=("user_id",),
    partitioned=True,
)
MAILED = Table(
    "gold",
    "mailed_customers",
    "One row per customer who was sent a perk before the end of the month. What they did since "
    "says nothing about what they prefer.",
    (
        Column("user_id", "int64", "The customer"),
        Column("decided_in", "string", "First month whose decision was sent to them, in the next"),
    ),
    key=("user_id",),
    partitioned=True,
)
TABLES = (CAMPAIGN, CHANGES, MAILED)

"""Contracts of the campaign: offers, invitations, and their changes since last month."""

from __future__ import annotations

from collections.abc import Iterable

from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.experiment.assignment import CONTROL_OFFER
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
BUDGET_CURVE = Table(
    "gold",
    "budget_curve",
    "One row per budget: what the offers of the month would be expected to bring within it, before "
    "any response is known. Empty without `economics.margin_rate`.",
    (
        Column("budget_usd", "float64", "Most that all offers may be expected to cost, in USD"),
        Column("customers", "int64", "Customers who get a perk"),
        Column("expected_cost_usd", "float64", "Expected cost of their perks, in USD"),
        Column("expected_net_value_usd", "float64", "Expected margin less cost, in USD"),
        Column("low", "float64", "Lower end of its 95 % band by chance, assumptions as given"),
        Column("high", "float64", "Upper end of that band"),
        Column("configured", "boolean", "Whether it is the budget that the month was decided with"),
    ),
    key=("budget_usd",),
    partitioned=True,
)
TABLES = (CAMPAIGN, CHANGES, MAILED, BUDGET_CURVE)


def offers(perks: Iterable[str]) -> Table:
    """The contract of `gold/offers` for the perks of a catalogue."""
    return Table(
        "gold",
        "offers",
        "One row per customer of the campaign: what they are offered, and how likely each offer "
        "was. A probability is that within the arm: 1 if nothing is left to chance. Suppressed "
        "customers are left out.",
        (
            Column("user_id", "int64", "The customer"),
            Column("segment", "string", "Name of the segment"),
            Column("perk", "string", "The perk decided, before eligibility, arm and budget"),
            Column("arm", "string", "Arm: personalised, control, exploration or holdout"),
            Column("arm_probability", "float64", "Probability with which the arm was drawn"),
            Column("offer", "string", f"Offer: a perk, the control offer or `{NO_OFFER}`"),
            Column("probability", "float64", "Probability with which the offer was drawn"),
            *(
                Column(probability_of(offer), "float64", f"Probability of {offer}")
                for offer in could_be(perks)
            ),
            Column("eligible", "array<string>", "The perks that the customer may be offered"),
            Column("because", "string", "Why this is the offer"),
            Column(
                "expected_margin_usd",
                "float64",
                "Expected margin of extra trips, in USD; null without `economics.margin_rate`",
                required=False,
            ),
            Column(
                "expected_cost_usd",
                "float64",
                "Expected cost of the offer, in USD; null without `economics.margin_rate`",
                required=False,
            ),
            Column("strategy", "string", "The strategy that decided the perk"),
            Column(
                "policy_version",
                "string",
                "Hash of all that decides how likely an offer is: model, catalogue, settings",
            ),
        ),
        key=("user_id",),
        partitioned=True,
    )


def could_be(perks: Iterable[str]) -> tuple[str, ...]:
    """Everything that a customer may be offered, given the perks of a catalogue."""
    return tuple(dict.fromkeys((*perks, CONTROL_OFFER, NO_OFFER)))


def probability_of(offer: str) -> str:
    """The column of `gold/offers` with the probability of an offer."""
    return f"probability_{offer}"

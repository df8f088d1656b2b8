"""Contract of the perk catalogue as a month was decided with it."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

PERK_CATALOGUE = Table(
    "gold",
    "perk_catalogue",
    "One row per perk: the catalogue that the month was decided with, for those who only read the "
    "lake, as the service does. Other assets have it from the settings.",
    (
        Column("perk", "string", "The perk"),
        Column("position", "int64", "Place in the catalogue, from 0"),
        Column("title", "string", "What it is called"),
        Column("audience", "string", "For whom it is"),
        Column("headline", "string", "What the customer reads"),
        Column("features", "array<string>", "Features that speak for it"),
        Column("weights", "array<float64>", "Their weights"),
    ),
    key=("perk",),
    partitioned=True,
)
TABLES = (PERK_CATALOGUE,)

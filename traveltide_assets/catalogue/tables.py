"""Contract of the perk catalogue that a month was decided with."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

PERK_CATALOGUE = Table(
    "gold",
    "perk_catalogue",
    "One row per perk: the catalogue that the month was decided with. It is for readers who only "
    "have the lake, such as the scoring service; assets read the catalogue file in the settings.",
    (
        Column("perk", "string", "The perk"),
        Column("position", "int64", "Position in the catalogue, from 0"),
        Column("title", "string", "Title of the perk"),
        Column("audience", "string", "The customers it is for"),
        Column("headline", "string", "Headline that the customer reads"),
        Column(
            "features",
            "array<string>",
            "Features of its index; a negative weight counts against it",
        ),
        Column("weights", "array<float64>", "Weights of these features, in the same order"),
        Column("programs", "array<string>", "The programs that it belongs to"),
    ),
    key=("perk",),
    partitioned=True,
)
TABLES = (PERK_CATALOGUE,)

"""A small table with months, for engines to write and read."""

from __future__ import annotations

from traveltide_assets.schema.table import Column, Table

MONTHS = ["2023-03", "2023-04", "2023-05"]
EVENTS = Table(
    "silver",
    "events",
    "One row per key.",
    (Column("key", "string", "The key"), Column("time", "timestamp(6)", "A time")),
    key=("key",),
    partitioned=True,
)

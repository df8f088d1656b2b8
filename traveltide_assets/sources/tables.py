"""Contracts of bronze: the rows of the source, as text, with the origin of each."""

from __future__ import annotations

from traveltide_assets.schema.sources import PLACE, RAW, SESSIONS, as_text
from traveltide_assets.schema.table import Column, Table


def raw_table(name: str) -> Table:
    """The contract of bronze for a table of the source."""
    return Table(
        "bronze",
        f"{name}_raw",
        f"One row per row of {name} in the source: verbatim, as text, in file order.",
        (*as_text(RAW[name]), *PLACE),
        key=("source_file", "source_row"),
        partitioned=name == "sessions",
        by_file=name != "sessions",
        keeps_extra_columns=True,
    )


SESSIONS_UNDATED = Table(
    "bronze",
    "sessions_undated",
    "One row per session of the source that falls in no monthly partition, with the reason.",
    (*as_text(SESSIONS), *PLACE, Column("reason", "string", "Why the row is in no month")),
    key=("source_file", "source_row"),
    keeps_extra_columns=True,
)


TABLES = (*(raw_table(name) for name in RAW), SESSIONS_UNDATED)

"""Contracts of bronze: what the source said, as text, and where each row comes from."""

from __future__ import annotations

from traveltide_assets.schema.sources import PLACE, SESSIONS, SOURCES, as_text
from traveltide_assets.schema.table import Column, Table


def _raw(name: str) -> Table:
    return Table(
        "bronze",
        f"{name}_raw",
        f"One row per row of the source's {name}, as text, verbatim, in file order.",
        (*as_text(SOURCES[name]), *PLACE),
        key=("source_file", "source_row"),
        partitioned=name == "sessions",
        keeps_extra_columns=True,
    )


SESSIONS_UNDATED = Table(
    "bronze",
    "sessions_undated",
    "One row per session of the source that belongs to no monthly partition, with the reason.",
    (*as_text(SESSIONS), *PLACE, Column("reason", "string", "Why no month takes the row")),
    key=("source_file", "source_row"),
    keeps_extra_columns=True,
)


TABLES = (*(_raw(name) for name in SOURCES), SESSIONS_UNDATED)

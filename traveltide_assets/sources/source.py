"""What every source of the four raw tables is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import dagster as dg
import ibis


class SourceError(dg.Failure):
    """The source cannot be ingested; the message says which file, table or column is wrong.

    Trying again does not help.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem, allow_retries=False)


class Source(Protocol):
    """The four raw tables, as text, with the place each row comes from."""

    def table(self, name: str) -> ibis.Table:
        """One row per row of the source, every column as text, plus `source_file`, `source_row`.

        Sessions also have `month`: the month of `session_start`, null where it is unreadable.
        """

    def counts(self, name: str, months: Sequence[str]) -> dict[str | None, int]:
        """The number of rows in each of the months; without months, of the table under `None`."""

    def origins(self, name: str) -> list[str]:
        """What a table is read from, for people: names of files, or the name of a table."""

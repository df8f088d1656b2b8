"""What every source of the four raw tables is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import ibis

from traveltide_assets.schema.errors import TravelTideError


class SourceError(TravelTideError):
    """The source cannot be ingested; the message says which file, table or column is wrong."""


@dataclass(frozen=True)
class Run:
    """A run that reads the source: its id, and the first and last month it is for, if any."""

    id: str
    months: tuple[str, str] | None = None


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


@runtime_checkable
class FileSource(Source, Protocol):
    """A source whose tables land as files, in a folder or in S3."""

    def versions(self) -> dict[str, str]:
        """The version of every file of a table, by its name; a changed file has another one."""

    def versions_of(self, name: str) -> dict[str, str]:
        """The same of the files of one table."""

    def months_of(self, files: Iterable[str]) -> dict[str, set[str]]:
        """The months of `session_start` in each of the files; none in those of other tables."""

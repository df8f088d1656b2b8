"""The interface of a source of the raw tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from traveltide_assets.schema.errors import TravelTideError

if TYPE_CHECKING:
    from pathlib import Path

    import ibis


class SourceError(TravelTideError):
    """The source cannot be ingested; the message says which file, table or column is wrong."""


class BadFiles(SourceError):
    """Files that cannot be ingested, by name, each with its problem. Other files may be sound."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("\n".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Run:
    """A run that reads the source: its id, and its first and last month, if it has any.

    `without` are names of files that the run leaves out, because they cannot be ingested.
    """

    id: str
    months: tuple[str, str] | None = None
    without: tuple[str, ...] = ()


class Source(Protocol):
    """The raw tables, as text, with the origin of each row.

    An optional table that the source does not have is empty.
    """

    def table(self, name: str) -> ibis.Table:
        """One row per row of the source, every column as text, plus `source_file`, `source_row`.

        Sessions also have `month`: the month of `session_start`, null if that is unreadable.
        """

    def parts(self, name: str, months: Sequence[str]) -> dict[str, Path]:
        """The same rows as bronze stores them: a file of each month, or else of each source file.

        What is no file has its rows under the name of the table.
        """

    def sessions_outside(self, months: Sequence[str]) -> ibis.Table:
        """The rows of `table("sessions")` that are in none of the months."""

    def counts(self, name: str, months: Sequence[str]) -> dict[str | None, int]:
        """The number of rows per month. If no months are given, the total, under `None`."""

    def sessions_by_month(self) -> dict[str, int]:
        """The number of sessions of every month that the source has any of."""

    def origins(self, name: str) -> list[str]:
        """Where a table is read from, for display: file names, or the name of a database table."""


@runtime_checkable
class FileSource(Source, Protocol):
    """A source whose tables land as files, in a folder or in S3."""

    def landed(self) -> dict[str, str]:
        """The version of every landed file, by name, whichever table it is of."""

    def without(self, names: Collection[str]) -> Self:
        """The source without some files. A table that has no other file is empty."""

    def versions(self) -> dict[str, str]:
        """The version of every file, by file name. A changed file has a new version."""

    def versions_of(self, name: str) -> dict[str, str]:
        """The version of every file of one table, by file name."""

    def months_of(self, files: Iterable[str]) -> dict[str, set[str]]:
        """The months of `session_start` in each file; empty for files of other tables.

        Reads every one of these files, and raises `BadFiles` for those that cannot be ingested.
        """

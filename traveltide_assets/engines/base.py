"""What every engine is. Nothing here knows DuckDB or Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import ibis

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Spread(Protocol):
    """Calls a function with every item, on the machines of a cluster."""

    def __call__(
        self, function: Callable[[_Item], _Result], items: Sequence[_Item], /
    ) -> list[_Result]: ...


class UnreadableFile(Exception):
    """A file could not be parsed; the message names the file and the place."""


class LocalEngine(Protocol):
    """What reads and writes one file on the machine it is called on."""

    def read_csv(self, path: Path) -> ibis.Table:
        """A CSV file, plain or gzipped, with every column as the text it holds."""

    def read_parquet(self, files: Sequence[Path]) -> ibis.Table:
        """Parquet files as one table."""

    def write_parquet(self, table: ibis.Table, path: Path) -> str:
        """Write a table in its own order; the SHA-256 of the file."""


class Engine(Protocol):
    """What computes expressions over Parquet files."""

    @property
    def single(self) -> LocalEngine:
        """The engine for work on one file, on this machine."""

    @property
    def spread(self) -> Spread | None:
        """Runs file transfers on the cluster's machines; None on a single machine."""

    def opens(self, uri: str) -> bool:
        """Whether it reads what lies at a URI by itself, with no copy on any machine."""

    def read_parquet(
        self,
        files: Sequence[Path] | Sequence[str],
        partition: str | None = None,
        numbered: str | None = None,
    ) -> ibis.Table:
        """Parquet files, by path or by a URI that the engine opens, as one table.

        `partition` names the hive key that becomes a column, `numbered` a column to be made of the
        number of each row in its file, from 1.
        """

    def write_parquet(self, table: ibis.Table, path: Path, order: Sequence[str] = ()) -> str:
        """Write a table, ordered by columns or in its own order; the SHA-256 of the file."""

    def write_partitions(
        self, table: ibis.Table, by: str, paths: Mapping[str, Path], order: Sequence[str]
    ) -> dict[str, str]:
        """Compute a table once and write a file, without the column `by`, for each value of it.

        Returns the SHA-256 of each file. A value without rows gets an empty file.
        """

    def each(
        self, function: Callable[[LocalEngine, _Item], _Result], items: Sequence[_Item]
    ) -> list[_Result]:
        """The function of every item, called where the engine computes."""


def compile_step_by_step() -> None:
    """Have Ibis compile each step of an expression to a query of its own; engines need it.

    What one step computes, the next one reads: merged into one `SELECT`, it would be computed again
    wherever it is named, and cleaning names every value many times.
    """
    ibis.options.sql.fuse_selects = False

"""The interface of engines. Nothing here depends on DuckDB or Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from traveltide_assets.schema.errors import TravelTideError

if TYPE_CHECKING:
    import ibis

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Spread(Protocol):
    """A function that calls another with every item, on the machines of a cluster."""

    def __call__(
        self, function: Callable[[_Item], _Result], items: Sequence[_Item], /
    ) -> list[_Result]: ...


Partition = tuple[str, Sequence[str]]
"""A column that files do not contain: its name, and its value for each file."""


class UnreadableFile(TravelTideError):
    """A file could not be parsed. The message quotes nothing of its content."""


class OutOfMemory(TravelTideError):
    """The engine's limit is too small for the work; the message names the setting."""


class LocalEngine(Protocol):
    """Reads and writes single files on the machine where it is called."""

    def read_csv(self, path: Path, columns: Sequence[str]) -> ibis.Table:
        """An uncompressed CSV file with every column as unchanged text.

        The first line is a header; `columns` are the names to give its columns.
        """

    def read_parquet(self, files: Sequence[Path]) -> ibis.Table:
        """Parquet files as one table."""

    def numbered(self, table: ibis.Table, name: str) -> AbstractContextManager[ibis.Table]:
        """The rows in their own order, computed once, with the number of each, from 1, as `name`.

        They are there until the context ends.
        """

    def write_parquet(self, table: ibis.Table, path: Path, order: Sequence[str] = ()) -> str:
        """Write a table, sorted by `order` or in its own order. Returns the SHA-256 of the file."""


class Engine(Protocol):
    """Computes expressions over Parquet files."""

    @property
    def single(self) -> SingleEngine:
        """The engine for work on single files, and on few rows, on this machine."""

    @property
    def spread(self) -> Spread | None:
        """Runs file transfers on the cluster's machines; None on a single machine."""

    def opens(self, uri: str) -> bool:
        """Whether the engine can read a URI directly, without a local copy."""

    def read_parquet(
        self,
        files: Sequence[Path] | Sequence[str],
        partition: Partition | None = None,
    ) -> ibis.Table:
        """Parquet files as one table, by path or by a URI that the engine opens.

        Folders called `column=value` above the files add nothing.
        """

    def write_parquet(self, table: ibis.Table, path: Path, order: Sequence[str] = ()) -> str:
        """Write a table, sorted by `order` or in its own order. Returns the SHA-256 of the file."""

    def write_partitions(
        self, table: ibis.Table, by: str, paths: Mapping[str, Path], order: Sequence[str]
    ) -> dict[str, str]:
        """Compute a table once and write one file for each value of the column `by`.

        `paths` are the files by value; they do not contain the column. A value without rows gets a
        file without rows. Returns the SHA-256 of each file by value.
        """

    def each(
        self, function: Callable[[LocalEngine, _Item], _Result], items: Sequence[_Item]
    ) -> list[_Result]:
        """Call the function with every item where the engine computes; results in order."""


class SingleEngine(Engine, LocalEngine, Protocol):
    """An engine that computes on this machine."""


def compile_step_by_step() -> None:
    """Make Ibis compile each step of an expression to a separate query. All engines need this.

    Merged into one `SELECT`, a value would be computed again at each use, and cleaning uses every
    value many times.
    """
    import ibis

    ibis.options.sql.fuse_selects = False

"""The compute engine as an Ibis backend: DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import duckdb
import ibis
from ibis.backends.duckdb import Backend


class UnreadableFile(Exception):
    """A file could not be parsed; the message names the file and the place."""


class Engine:
    """One DuckDB connection that reads and writes Parquet and spills to `scratch`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    @cached_property
    def backend(self) -> Backend:
        self._scratch.mkdir(parents=True, exist_ok=True)
        return ibis.duckdb.connect(
            ":memory:", temp_directory=str(self._scratch), preserve_insertion_order=True
        )

    def read_parquet(self, paths: Sequence[Path], partition: str | None = None) -> ibis.Table:
        """Parquet files as one table; `partition` names the hive key that becomes a column."""
        return self.backend.read_parquet(
            [str(path) for path in paths],
            union_by_name=True,
            hive_partitioning=partition is not None,
            hive_types_autocast=False,
        )

    def read_csv(self, path: Path) -> ibis.Table:
        """A comma separated file (plain or gzipped) with every column as the text it holds."""
        try:
            return self.backend.read_csv(
                str(path), all_varchar=True, header=True, delim=",", quote='"', escape='"'
            )
        except duckdb.Error as error:
            raise UnreadableFile(f"{path}: {error}") from error

    def write_parquet(self, table: ibis.Table, path: Path) -> None:
        """Write a table in its own order; equal content gives equal bytes."""
        try:
            self.backend.to_parquet(table, path, compression="zstd")
        except duckdb.InvalidInputException as error:
            raise UnreadableFile(str(error)) from error

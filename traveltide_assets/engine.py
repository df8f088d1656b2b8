"""The compute engine as an Ibis backend: DuckDB."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import duckdb
import ibis
from ibis.backends.duckdb import Backend

# What one step of an expression computes, the next one reads: merged into one `SELECT`, it would be
# computed again wherever it is named, and cleaning names every value many times.
ibis.options.sql.fuse_selects = False


class UnreadableFile(Exception):
    """A file could not be parsed; the message names the file and the place."""


class Engine:
    """One DuckDB connection that reads and writes Parquet and spills to `scratch`."""

    def __init__(self, scratch: Path, memory: str | None = None) -> None:
        self._scratch = scratch
        self._memory = memory

    @cached_property
    def backend(self) -> Backend:
        # Processes side by side would delete one another's spilled files.
        scratch = self._scratch / str(os.getpid())
        scratch.mkdir(parents=True, exist_ok=True)
        limit = {"memory_limit": self._memory} if self._memory else {}
        return ibis.duckdb.connect(
            ":memory:", temp_directory=str(scratch), preserve_insertion_order=True, **limit
        )

    def read_parquet(self, paths: Sequence[Path], partition: str | None = None) -> ibis.Table:
        """Parquet files as one table; `partition` names the hive key that becomes a column."""
        try:
            return self.backend.read_parquet(
                [str(path) for path in paths],
                union_by_name=True,
                hive_partitioning=partition is not None,
                hive_types_autocast=False,
            )
        except duckdb.Error as error:
            raise UnreadableFile(_cause(error)) from error

    def read_csv(self, path: Path) -> ibis.Table:
        """A comma separated file (plain or gzipped) with every column as the text it holds.

        The first line names the columns. Nothing is guessed: a guess may take lines for a preamble
        and skip them.
        """
        return self.backend.read_csv(
            str(path),
            auto_detect=False,
            header=True,
            delim=",",
            quote='"',
            escape='"',
            columns=dict.fromkeys(_header(path), "VARCHAR"),
        )

    def write_parquet(self, table: ibis.Table, path: Path, compression: str = "zstd") -> None:
        """Write a table in its own order; equal content gives equal bytes."""
        try:
            self.backend.to_parquet(table, path, compression=compression)
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            raise UnreadableFile(_cause(error)) from error


def _header(path: Path) -> list[str]:
    """The names in the first line of a CSV file."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        # Of bytes further down that are not UTF-8 the engine names the line.
        with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise UnreadableFile(f"{path}: {error}") from error
    names = [name or f"column{position}" for position, name in enumerate(header)]
    if not names:
        raise UnreadableFile(f"{path}: the file is empty")
    if any("\ufffd" in name for name in names):
        raise UnreadableFile(f"{path}: the first line is not UTF-8")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UnreadableFile(f"{path}: several columns are called {', '.join(twice)}")
    return names


def _cause(error: duckdb.Error) -> str:
    """What went wrong and where, without the engine's advice on its options and its SQL."""
    return str(error).partition("\nPossible")[0].partition("\n\nLINE")[0].strip()

"""Where the raw tables come from: a folder of CSV, gzipped CSV or Parquet files.

Each file is parsed once into a staged Parquet copy of its text; what reads the source afterwards
reads the copy, until the file changes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import ibis

from traveltide_assets.contracts import SOURCES
from traveltide_assets.engine import Engine, UnreadableFile
from traveltide_assets.transforms.cleaning import month_of

_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_OURS = ("source_file", "source_row", "month", "reason")
_log = logging.getLogger(__name__)


class SourceError(Exception):
    """The source cannot be ingested; the message says which file, table or column is wrong."""


class Source:
    """The four raw tables of a folder, as text, with file and row number."""

    def __init__(self, folder: Path, engine: Engine, staging: Path) -> None:
        self._folder = folder
        self._engine = engine
        self._staging = staging

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """The files of each table, in name order, once all their headers are as they must be."""
        if not self._folder.is_dir():
            raise SourceError(f"source folder {self._folder} does not exist; set TRAVELTIDE_SOURCE")
        found: dict[str, list[Path]] = {name: [] for name in SOURCES}
        candidates = [p for p in sorted(self._folder.iterdir()) if p.name.endswith(_SUFFIXES)]
        for path in candidates:
            names = [name for name in SOURCES if name in path.name.lower()]
            if len(names) > 1:
                raise SourceError(f"{path}: the file name mentions {' and '.join(names)}")
            if names:
                found[names[0]].append(path)
        if missing := [name for name, paths in found.items() if not paths]:
            seen = ", ".join(path.name for path in candidates) or "no CSV or Parquet file"
            raise SourceError(
                f"{self._folder} has no file for {', '.join(missing)} (found: {seen}); a file is "
                f"recognised by the table's name in its own, as in {missing[0]}.csv"
            )
        for name, paths in found.items():
            for path in paths:
                self._columns(name, path)
        return found

    def table(self, name: str) -> ibis.Table:
        """One row per row of the source, every column as text, plus `source_file`, `source_row`.

        Sessions also have `month`: the month of `session_start`, null where it is unreadable.
        """
        staged = [self._staged(name, path) for path in self.files[name]]
        return self._engine.read_parquet(staged)

    def rows(self, name: str) -> int:
        """The number of rows of a table."""
        return int(self.table(name).count().to_pyarrow().as_py())

    def counts(self, name: str, months: Sequence[str]) -> dict[str | None, int]:
        """The number of rows in each of the months; without months, of the table under `None`."""
        if not months:
            return {None: self.rows(name)}
        table = self.table(name)
        found = table.group_by("month").agg(rows=table.count()).to_pyarrow().to_pylist()
        by_month = {line["month"]: line["rows"] for line in found}
        return {month: by_month.get(month, 0) for month in months}

    def _open(self, path: Path) -> ibis.Table:
        if path.suffix == ".parquet":
            table = self._engine.read_parquet([path])
            return table.mutate({name: table[name].cast("string") for name in table.columns})
        return self._engine.read_csv(path)

    def _columns(self, name: str, path: Path) -> dict[str, str]:
        """The names of the contract for the header of a file: {name: name in the file}."""
        try:
            header = self._open(path).columns
        except UnreadableFile as error:
            raise SourceError(str(error)) from error
        named = {_plain(column): column for column in header}
        if len(named) < len(header):
            raise SourceError(f"{path}: two columns have the same name: {', '.join(header)}")
        for column in SOURCES[name]:
            known = [alias for alias in (column.name, *column.aliases) if alias in named]
            if not known:
                raise SourceError(
                    f"{path}: table {name} lacks the required column {column.name} "
                    f"(the file has: {', '.join(header)})"
                )
            named[column.name] = named.pop(known[0])
        return named

    def _staged(self, name: str, path: Path) -> Path:
        status = path.stat()
        identity = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        staged = self._staging / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()}.parquet"
        if not staged.exists():
            self._staging.mkdir(parents=True, exist_ok=True)
            _log.info("reading %s", path)
            columns = self._columns(name, path)
            table = (
                self._open(path)
                .rename(columns)
                .mutate(source_file=ibis.literal(path.name), source_row=ibis.row_number() + 1)
            )
            if name == "sessions":
                table = table.mutate(month=month_of(table.session_start))
            partial = staged.with_suffix(f".{os.getpid()}.tmp")
            try:
                self._engine.write_parquet(table, partial)
            except UnreadableFile as error:
                raise SourceError(f"{path}: {error}") from error
            os.replace(partial, staged)
        return staged

    def forget_stale(self) -> None:
        """Delete the staged copies of files that are gone or have changed."""
        current = {self._staged(name, path) for name in self.files for path in self.files[name]}
        for path in set(self._staging.glob("*.parquet")) - current:
            path.unlink()


def _plain(header: str) -> str:
    name = re.sub(r"\W+", "_", header.strip().lower())
    return f"{name}_in_source" if name in _OURS else name

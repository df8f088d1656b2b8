"""A folder of CSV, gzipped CSV or Parquet files as the source.

Each file is parsed once into a staged Parquet copy of its text; what reads the source afterwards
reads the copy, until the file changes.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import ibis

from traveltide_assets.contracts import SOURCES
from traveltide_assets.engine import Engine, UnreadableFile
from traveltide_assets.lake import replacing
from traveltide_assets.sources.source import SourceError
from traveltide_assets.transforms.cleaning import month_of

_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_OURS = ("source_file", "source_row", "month", "reason")
_log = logging.getLogger(__name__)


class Files:
    """The four raw tables of a folder, as text, with file and row number."""

    def __init__(self, folder: Path, engine: Engine, staging: Path) -> None:
        self._folder = folder
        self._engine = engine
        self._staging = staging

    @property
    def files(self) -> dict[str, list[Path]]:
        """The files of each table, in name order."""
        if not self._folder.is_dir():
            raise SourceError(f"source folder {self._folder} does not exist; set TRAVELTIDE_SOURCE")
        found: dict[str, list[Path]] = {name: [] for name in SOURCES}
        candidates = [path for path in sorted(self._folder.iterdir()) if _is_candidate(path)]
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
        return found

    def table(self, name: str) -> ibis.Table:
        return self._engine.read_parquet(self._staged()[name])

    def counts(self, name: str, months: Sequence[str]) -> dict[str | None, int]:
        table = self.table(name)
        if not months:
            return {None: int(table.count().to_pyarrow().as_py())}
        found = table.group_by("month").agg(rows=table.count()).to_pyarrow().to_pylist()
        by_month = {line["month"]: line["rows"] for line in found}
        return {month: by_month.get(month, 0) for month in months}

    def origins(self, name: str) -> list[str]:
        return [path.name for path in self.files[name]]

    def versions(self) -> dict[str, str]:
        """The version of each file by its name."""
        return {path.name: _version(path) for paths in self.files.values() for path in paths}

    def months(self, file_name: str) -> set[str]:
        """The months of the sessions of a file; none for a file of another table."""
        if file_name not in self.origins("sessions"):
            return set()
        sessions = self.table("sessions")
        found = sessions.filter(sessions.source_file == file_name).select("month").distinct()
        return {month for month in found.to_pyarrow()["month"].to_pylist() if month}

    def _staged(self) -> dict[str, list[Path]]:
        """The staged copies of each table's files.

        All files are read before any is used, so that a broken one stops everything before the
        first table is written; all headers before any rows, because that takes no time.
        """
        copies = {name: {p: self._copy(name, p) for p in ps} for name, ps in self.files.items()}
        unread = [
            (name, path, copy)
            for name, of_table in copies.items()
            for path, copy in of_table.items()
            if not copy.exists()
        ]
        try:
            opened = [self._open(name, path) for name, path, _ in unread]
            for table, (_, path, copy) in zip(opened, unread, strict=True):
                self._stage(table, path, copy)
        except UnreadableFile as error:
            raise SourceError(str(error)) from error
        return {name: list(of_table.values()) for name, of_table in copies.items()}

    def _copy(self, name: str, path: Path) -> Path:
        """Where the staged copy of a file lies: a changed file has another one."""
        folder = self._staging / f"{name}-{_digest(str(path.resolve()))}"
        return folder / f"{_version(path)}.parquet"

    def _stage(self, table: ibis.Table, path: Path, copy: Path) -> None:
        _log.info("reading %s", path)
        with replacing(copy) as partial:
            try:
                self._engine.write_parquet(table, partial)
            except UnreadableFile as error:
                raise UnreadableFile(f"{path}: {error}") from error
        for outdated in set(copy.parent.glob("*.parquet")) - {copy}:
            outdated.unlink(missing_ok=True)

    def _open(self, name: str, path: Path) -> ibis.Table:
        """A file as text under the names of the contract, with the place of each row."""
        if path.suffix.lower() == ".parquet":
            table = self._engine.read_parquet([path])
            table = table.mutate({column: table[column].cast("string") for column in table.columns})
        else:
            table = self._engine.read_csv(path)
        table = table.rename(_columns(name, path, table.columns)).mutate(
            source_file=ibis.literal(path.name), source_row=ibis.row_number() + 1
        )
        return table.mutate(month=month_of(table.session_start)) if name == "sessions" else table


def _version(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def _is_candidate(path: Path) -> bool:
    # Names that begin with a dot are leftovers of other programs, such as `._users.csv` of macOS.
    hidden = path.name.startswith(".")
    return path.name.lower().endswith(_SUFFIXES) and not hidden and path.is_file()


def _columns(name: str, path: Path, header: Sequence[str]) -> dict[str, str]:
    """The names of the contract for the header of a file: {name: name in the file}."""
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


def _plain(header: str) -> str:
    name = re.sub(r"\W+", "_", header.strip().lower())
    return f"{name}_in_source" if name in _OURS else name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

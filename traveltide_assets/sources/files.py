"""Landed CSV, gzipped CSV or Parquet files as the source: a folder, or a prefix in S3.

Each file is parsed once into a staged Parquet copy of its text. Every later read uses the copy,
until the file changes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis

from traveltide_assets.engines.base import Engine, LocalEngine, UnreadableFile
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.lake.storage.folder import replacing
from traveltide_assets.schema import places
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.sources.base import SourceError
from traveltide_assets.sources.columns import contract_columns
from traveltide_assets.transforms.cleaning.parse import month_of

_SUFFIXES = (".csv", ".csv.gz", ".parquet")
# Files that the generator of the sample writes beside its tables.
_ANSWERS = ("truth", "damage")
_UNUSED_SECONDS = 7 * 24 * 3600
_log = logging.getLogger(__name__)


class Files:
    """The four raw tables of the landed files, as text, with file and row number."""

    def __init__(self, landing: Storage, engine: Engine, staging: Path) -> None:
        self._landing = landing
        self._engine = engine
        self._staging = staging
        self._passed_over: list[str] = []
        self._months: dict[tuple[str, str], set[str]] = {}

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """The files of each table, in name order, with their versions."""
        landed = self._landing.versions(deep=False)
        candidates = [name for name in landed if _is_candidate(name)]
        found: dict[str, dict[str, str]] = {table: {} for table in SOURCES}
        passed_over = []
        for name in candidates:
            tables = [table for table in SOURCES if table in name.lower()]
            if len(tables) > 1:
                raise SourceError(
                    f"{self._landing.uri(name)}: the file name mentions {' and '.join(tables)}"
                )
            if tables:
                found[tables[0]][name] = landed[name]
            elif name.partition(".")[0] not in _ANSWERS:
                passed_over.append(name)
        if missing := [table for table, files in found.items() if not files]:
            seen = ", ".join(candidates) or "no CSV or Parquet file, or it does not exist"
            raise SourceError(
                f"{self._landing.uri()} has no file for {', '.join(missing)} (found: {seen}). "
                f"The file name must contain the table's name, as in {missing[0]}.csv. "
                "TRAVELTIDE_SOURCE sets the folder"
            )
        self._tell(passed_over)
        return found

    def versions(self) -> dict[str, str]:
        return {name: version for files in self.files.values() for name, version in files.items()}

    def versions_of(self, name: str) -> dict[str, str]:
        return self.files[name]

    def months_of(self, files: Iterable[str]) -> dict[str, set[str]]:
        wanted = set(files)
        sessions = {f: v for f, v in self.files["sessions"].items() if f in wanted}
        if unread := {f: v for f, v in sessions.items() if (f, v) not in self._months}:
            self._months |= self._read_months(unread)
        return {f: self._months[f, sessions[f]] if f in sessions else set() for f in wanted}

    def _read_months(self, sessions: dict[str, str]) -> dict[tuple[str, str], set[str]]:
        """The months of `session_start` in each file, by its name and version."""
        rows = self._engine.single.read_parquet(self._staged({"sessions": sessions})["sessions"])
        dated = rows.select("source_file", "month").distinct().drop_null("month")
        found: dict[tuple[str, str], set[str]] = {place: set() for place in sessions.items()}
        for row in dated.to_pyarrow().to_pylist():
            found[row["source_file"], sessions[row["source_file"]]].add(row["month"])
        return found

    def table(self, name: str) -> ibis.Table:
        # All files are read before any is used, so that a broken file stops the run before the
        # first table is written.
        files = self.files
        staged = self._staged(files)
        self._forget_all_but(files)
        return self._engine.read_parquet(staged[name], numbered="source_row")

    def counts(self, name: str, months: Sequence[str]) -> dict[str | None, int]:
        table = self.table(name)
        if not months:
            return {None: int(table.count().to_pyarrow().as_py())}
        found = table.group_by("month").agg(rows=table.count()).to_pyarrow().to_pylist()
        by_month = {line["month"]: line["rows"] for line in found}
        return {month: by_month.get(month, 0) for month in months}

    def origins(self, name: str) -> list[str]:
        return list(self.files[name])

    def _tell(self, passed_over: list[str]) -> None:
        """Log the ignored files, once and again whenever they change."""
        if passed_over and passed_over != self._passed_over:
            _log.warning(
                "%s: ignored files, because their names contain no table's name: %s",
                self._landing.uri(),
                ", ".join(passed_over),
            )
        self._passed_over = passed_over

    def _staged(self, files: Mapping[str, Mapping[str, str]]) -> dict[str, list[Path]]:
        """The staged copies of each table's files. All headers are read before any rows."""
        copies = {
            (table, name): self._copy(table, name, version)
            for table, versions in files.items()
            for name, version in versions.items()
        }
        unread = [place for place, copy in copies.items() if not copy.exists()]
        here = self._landing.files(
            {name: files[table][name] for table, name in unread}, self._engine.spread
        )
        landed = [
            _Landed(table, name, self._landing.uri(name), file.resolve(), copies[table, name])
            for (table, name), file in zip(unread, here, strict=True)
        ]
        for file in landed:
            file.rows(self._engine.single)
        problems = self._engine.each(_stage, landed)
        if unreadable := [problem for problem in problems if problem]:
            raise SourceError("\n".join(unreadable))
        return {
            table: [copies[table, name] for name in versions] for table, versions in files.items()
        }

    def _copy(self, table: str, name: str, version: str) -> Path:
        """The path of a file's staged copy. It depends on the version of the file."""
        return self._folder / f"{table}-{_digest(name)}" / f"{_digest(version)}.parquet"

    @property
    def _folder(self) -> Path:
        """The folder of this source's staged copies."""
        return self._staging.resolve() / f"files-{_digest(self._landing.uri())}"

    def _forget_all_but(self, files: Mapping[str, Mapping[str, str]]) -> None:
        """Remove the staged copies of files that are gone, and sources that are not used."""
        if not self._folder.is_dir():
            return  # The machines of a cluster have staged them.
        here = {f"{table}-{_digest(name)}" for table in files for name in files[table]}
        for copies in self._folder.iterdir():
            if copies.name not in here:
                shutil.rmtree(copies, ignore_errors=True)
        os.utime(self._folder)
        for other in self._staging.resolve().glob("*-*"):
            if time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)


@dataclass(frozen=True)
class _Landed:
    """A landed file of a table, and the path of its staged copy."""

    table: str
    name: str
    uri: str
    file: Path
    copy: Path

    def rows(self, engine: LocalEngine) -> ibis.Table:
        """The rows of the file as text, named as in the contract and in file order, lazily."""
        try:
            if self.name.lower().endswith(".parquet"):
                rows = engine.read_parquet([self.file])
                rows = rows.mutate({column: rows[column].cast("string") for column in rows.columns})
            else:
                rows = engine.read_csv(self.file)
        except UnreadableFile as error:
            raise SourceError(str(error).replace(str(self.file), self.uri)) from error
        rows = rows.rename(contract_columns(self.table, self.uri, rows.columns))
        rows = rows.mutate(source_file=ibis.literal(self.name))
        if self.table == "sessions":
            return rows.mutate(month=month_of(rows.session_start))
        return rows


def _stage(engine: LocalEngine, landed: _Landed) -> str | None:
    """Write the staged copy of a file. Returns the problem with the file, or None.

    One engine on one machine reads each file, so that every engine finds the same text in the same
    order afterwards. The rows are not numbered here, because that would limit parsing to one core.
    """
    _log.info("reading %s", landed.uri)
    try:
        with places.explained(landed.copy.parent, places.HOME), replacing(landed.copy) as partial:
            engine.write_parquet(landed.rows(engine), partial)
    except UnreadableFile as error:
        return f"{landed.uri}: {str(error).replace(str(landed.file), landed.uri)}"
    for outdated in set(landed.copy.parent.glob("*.parquet")) - {landed.copy}:
        outdated.unlink(missing_ok=True)
    return None


def _is_candidate(name: str) -> bool:
    # Other programs leave files whose names begin with a dot, such as `._users.csv` on macOS.
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

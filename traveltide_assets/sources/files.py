"""Landed CSV, gzipped CSV, Parquet or JSON-lines files as the source: a folder, or a prefix in S3.

Each file is parsed once into a staged Parquet copy of its text. Every later read uses the copy,
until the file changes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import ibis

from traveltide_assets.engines.base import Engine, LocalEngine
from traveltide_assets.lake.storage.base import Entry, Storage
from traveltide_assets.lake.storage.folder import unused
from traveltide_assets.schema import places
from traveltide_assets.schema.sources import OPTIONAL
from traveltide_assets.sources.base import BadFiles, SourceError
from traveltide_assets.sources.columns import without_rows
from traveltide_assets.sources.delivery import carries_a_table, look
from traveltide_assets.sources.landed import Landed

# Changes whenever a staged copy of the same file has another content.
_FORMAT = 3
_UNUSED_SECONDS = 7 * 24 * 3600
_log = logging.getLogger(__name__)


class Files:
    """The raw tables of the landed files, as text, with file and row number."""

    def __init__(
        self, landing: Storage, engine: Engine, staging: Path, without: Collection[str] = ()
    ) -> None:
        self._landing = landing
        self._engine = engine
        self._staging = staging
        self._without = frozenset(without)
        self._said: list[str] = []
        self._months: dict[tuple[str, str], set[str]] = {}

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """The files of each table, in name order, with their versions."""
        return _versions(self._landed())

    def _landed(self) -> dict[str, dict[str, Entry]]:
        delivery = look(self._landing, self._without)
        self._tell(delivery.nameless, delivery.no_data)
        return delivery.tables

    def landed(self) -> dict[str, str]:
        found = [entry for entry in self._landing.entries() if carries_a_table(entry.name)]
        return {entry.name: entry.version or entry.problem for entry in found}

    def without(self, names: Collection[str]) -> Self:
        return type(self)(self._landing, self._engine, self._staging, names)

    def versions(self) -> dict[str, str]:
        return {name: version for files in self.files.values() for name, version in files.items()}

    def versions_of(self, name: str) -> dict[str, str]:
        return self.files[name]

    def months_of(self, files: Iterable[str]) -> dict[str, set[str]]:
        wanted = set(files)
        found = self.files
        # Also those of other tables, so that a damaged one is known before a run is started.
        self._staged({t: {f: v for f, v in found[t].items() if f in wanted} for t in found})
        sessions = {f: v for f, v in found["sessions"].items() if f in wanted}
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
        landed = self._landed()
        versions = _versions(landed)
        everything = self._staged(versions)
        self._forget_all_but(versions)
        if name in OPTIONAL and not versions[name]:
            return without_rows(name, self._engine.read_parquet(everything["users"]))
        staged = everything[name]
        rows = self._engine.read_parquet(staged)
        ages = _by_age(landed[name])
        if len(ages) == 1:
            return rows.mutate(source_order=ibis.literal(1, "int64"))
        order = ibis.memtable(
            {"source_file": list(ages), "source_order": list(ages.values())},
            schema={"source_file": "string", "source_order": "int64"},
        )
        return rows.join(order, "source_file")

    def counts(self, name: str, months: Sequence[str]) -> dict[str | None, int]:
        table = self.table(name)
        if not months:
            return {None: int(table.count().to_pyarrow().as_py())}
        found = table.group_by("month").agg(rows=table.count()).to_pyarrow().to_pylist()
        by_month = {line["month"]: line["rows"] for line in found}
        return {month: by_month.get(month, 0) for month in months}

    def sessions_by_month(self) -> dict[str, int]:
        rows = self._engine.single.read_parquet(self._staged(self.files)["sessions"])
        counted = rows.drop_null("month").group_by("month").agg(rows=ibis._.count())
        return {line["month"]: line["rows"] for line in counted.to_pyarrow().to_pylist()}

    def origins(self, name: str) -> list[str]:
        return list(self.files[name])

    def _tell(self, nameless: Sequence[str], no_data: Sequence[str]) -> None:
        """Log the ignored files, once and again whenever they change."""
        said = []
        if nameless:
            said.append(f"because their names contain no table's name: {', '.join(nameless)}")
        if no_data:
            said.append(f"because their endings are not those of data: {', '.join(no_data)}")
        for reason in said:
            if reason not in self._said:
                _log.warning("%s: ignored files, %s", self._landing.uri(), reason)
        self._said = said

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
            Landed(table, name, self._landing.uri(name), file.resolve(), copies[table, name])
            for (table, name), file in zip(unread, here, strict=True)
        ]
        names = [file.name for file in landed]
        _raise_together(names, map(_header_problem, landed))
        _raise_together(names, self._engine.each(_stage, landed))
        return {
            table: [copies[table, name] for name in versions] for table, versions in files.items()
        }

    def _copy(self, table: str, name: str, version: str) -> Path:
        """The path of a file's staged copy. It depends on the version of the file, and on ours."""
        copies = self._folder / f"{table}-{_digest(name)}"
        return copies / f"{_digest(f'{version} {_FORMAT}')}.parquet"

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
        for other in unused(self._staging.resolve().glob("*-*"), _UNUSED_SECONDS):
            shutil.rmtree(other, ignore_errors=True)


def _versions(landed: Mapping[str, Mapping[str, Entry]]) -> dict[str, dict[str, str]]:
    return {
        table: {name: str(file.version) for name, file in files.items()}
        for table, files in landed.items()
    }


def _raise_together(names: Iterable[str], problems: Iterable[str]) -> None:
    """Raise `BadFiles` if there is a problem with any of the files of these names."""
    if found := {name: said for name, said in zip(names, problems, strict=True) if said}:
        raise BadFiles(found)


def _header_problem(landed: Landed) -> str:
    try:
        landed.header()
    except SourceError as error:
        return str(error)
    return ""


def _stage(engine: LocalEngine, landed: Landed) -> str:
    """Stage a file. Returns the problem with it, or nothing.

    One engine on one machine reads each file, so that every engine finds the same text in the same
    order afterwards.
    """
    try:
        with places.explained(landed.copy.parent, places.HOME):
            landed.stage(engine)
            _number(engine, landed.copy)
    except SourceError as error:
        return str(error)
    return ""


def _number(engine: LocalEngine, copy: Path) -> None:
    rows = engine.read_parquet([copy], numbered="source_row")  # type: ignore[call-arg]
    numbered = copy.with_suffix(".numbered")
    engine.write_parquet(rows, numbered)
    numbered.replace(copy)


def _by_age(files: Mapping[str, Entry]) -> dict[str, int]:
    """The place of each file, the file that was changed first being 1. Of equal age: by name."""
    ordered = sorted(files.values(), key=lambda file: (file.time, file.name))
    return {file.name: place for place, file in enumerate(ordered, 1)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""Landed CSV, gzipped CSV, Parquet or JSON-lines files as the source: a folder, or a prefix in S3.

Each file is parsed once, into staged rows that bronze takes as they are. Every later read uses
these, until the file changes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import ibis

from traveltide_assets.engines.base import Engine, LocalEngine
from traveltide_assets.lake.storage.base import Entry, Storage
from traveltide_assets.lake.storage.folder import unused
from traveltide_assets.schema import places
from traveltide_assets.sources.base import BadFiles, SourceError
from traveltide_assets.sources.columns import without_rows
from traveltide_assets.sources.delivery import carries_a_table, look
from traveltide_assets.sources.landed import Landed
from traveltide_assets.sources.staged import Staged, every_month
from traveltide_assets.transforms.cleaning.parse import with_month

# Changes whenever staged rows of the same file have another content.
_FORMAT = 3
_JOINED = "joined"
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

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """The files of each table, in name order, with their versions."""
        return {
            table: {name: str(file.version) for name, file in files.items()}
            for table, files in self._landed().items()
        }

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
        # Also those of other tables, so that a damaged one is known before a run is started.
        staged = self._staged(self._landed(), wanted)
        found: dict[str, set[str]] = {name: set() for name in wanted}
        for name, rows in staged["sessions"].items():
            found[name] = {month for month in rows.rows if month}
        return found

    def table(self, name: str) -> ibis.Table:
        files = [file for each in self._intact(name).values() for file in each.files.values()]
        rows = self._engine.read_parquet(files or [self._joined(name, None, [])])
        return with_month(rows) if name == "sessions" else rows

    def parts(self, name: str, months: Sequence[str]) -> dict[str, Path]:
        wanted: Sequence[str | None] = months or [None]
        staged = self._intact(name, wanted.__contains__)
        if months:
            return {month: self._part(name, staged.values(), month) for month in months}
        found = {file: each.files[None] for file, each in staged.items()}
        return found or {name: self._joined(name, None, [])}

    def _part(self, name: str, staged: Iterable[Staged], month: str) -> Path:
        """The file with the rows of a month: a staged one if it holds them all."""
        holding = [each for each in staged if each.rows.get(month)]
        if len(holding) == 1:
            return holding[0].files[month]
        return self._joined(name, month, [each.files[month] for each in holding])

    def _joined(self, name: str, month: str | None, files: Sequence[Path]) -> Path:
        """The rows of several staged files, one after the other; of none, no rows."""
        joined = Staged(self._folder / f"{name}-{_JOINED}" / f"{month}-{_digest(repr(files))}")
        if not (joined.exists() and joined.is_intact()):
            joined.remove()
            for outdated in joined.folder.parent.glob(f"{month}-*"):
                shutil.rmtree(outdated, ignore_errors=True)
            engine = self._engine.single
            rows = engine.read_parquet(files) if files else self._without_rows(name)
            joined.write_one(engine, name, rows)
        return joined.files[None]

    def _without_rows(self, name: str) -> ibis.Table:
        users = [each.files[None] for each in self._intact("users").values()]
        return without_rows(name, self._engine.single.read_parquet(users))

    def sessions_outside(self, months: Sequence[str]) -> ibis.Table:
        def is_outside(month: str | None) -> bool:
            return month not in months

        staged = self._intact("sessions", is_outside).values()
        files = [each.files[month] for each in staged for month in filter(is_outside, each.files)]
        return with_month(self._engine.read_parquet(files))

    def counts(self, name: str, months: Sequence[str]) -> dict[str | None, int]:
        rows = self._counts(name)
        return {month: rows[month] for month in months} if months else {None: rows.total()}

    def sessions_by_month(self) -> dict[str, int]:
        found = self._counts("sessions")
        return {month: found[month] for month in sorted(filter(None, found))}

    def _counts(self, name: str) -> Counter[str | None]:
        found: Counter[str | None] = Counter()
        for each in self._everything(name).values():
            found.update(each.rows)
        return found

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

    def _intact(
        self, name: str, wanted: Callable[[str | None], bool] = every_month
    ) -> dict[str, Staged]:
        """As `_everything`. Files of which wanted staged rows are damaged are read again."""
        staged = self._everything(name)
        damaged = [each for each in staged.values() if not each.is_intact(wanted)]
        for each in damaged:
            _log.warning("%s is damaged: its file is read again", each.folder)
            each.remove()
        return self._everything(name) if damaged else staged

    def _everything(self, name: str) -> dict[str, Staged]:
        """The staged rows of every file of a table, by its name, in name order.

        All files are read before any is used, so that a broken file stops the run before the first
        table is written.
        """
        staged = self._staged(self._landed())
        self._forget_all_but(staged)
        return staged[name]

    def _staged(
        self, landed: Mapping[str, Mapping[str, Entry]], names: Collection[str] | None = None
    ) -> dict[str, dict[str, Staged]]:
        """The staged rows of each table by file, of all files or of those of these names."""
        found: dict[str, dict[str, Staged]] = {}
        unread: dict[str, tuple[str, int, Staged]] = {}
        for table, files in landed.items():
            ages = _by_age(files)
            wanted = [name for name in files if names is None or name in names]
            found[table] = {name: self._place(table, files[name], ages[name]) for name in wanted}
            unread |= {
                name: (table, ages[name], staged)
                for name, staged in found[table].items()
                if not staged.exists()
            }
        versions = {name: str(landed[table][name].version) for name, (table, *_) in unread.items()}
        here = self._landing.files(versions, self._engine.spread)
        self._read(
            [
                Landed(table, name, self._landing.uri(name), file.resolve(), age, staged)
                for (name, (table, age, staged)), file in zip(unread.items(), here, strict=True)
            ]
        )
        return found

    def _read(self, landed: Sequence[Landed]) -> None:
        """Stage files. All headers are read before any rows."""
        names = [file.name for file in landed]
        _raise_together(names, map(_header_problem, landed))
        _raise_together(names, self._engine.each(_stage, landed))

    def _place(self, table: str, file: Entry, age: int) -> Staged:
        """The staged rows of a file. They depend on its version, its place by age, and on us."""
        files = self._folder / f"{table}-{_digest(file.name)}"
        return Staged(files / f"{_digest(f'{file.version} {_FORMAT}')}-{age}")

    @property
    def _folder(self) -> Path:
        """The folder of this source's staged rows."""
        return self._staging.resolve() / f"files-{_digest(self._landing.uri())}"

    def _forget_all_but(self, files: Mapping[str, Collection[str]]) -> None:
        """Remove the staged rows of files that are gone, and sources that are not used."""
        if not self._folder.is_dir():
            return  # The machines of a cluster have staged them.
        here = {f"{table}-{_digest(name)}" for table in files for name in files[table]}
        here |= {f"{table}-{_JOINED}" for table in files}
        for staged in self._folder.iterdir():
            if staged.name not in here:
                shutil.rmtree(staged, ignore_errors=True)
        os.utime(self._folder)
        for other in unused(self._staging.resolve().glob("*-*"), _UNUSED_SECONDS):
            shutil.rmtree(other, ignore_errors=True)


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
        with places.explained(landed.staged.folder.parent, places.HOME):
            landed.stage(engine)
    except SourceError as error:
        return str(error)
    return ""


def _by_age(files: Mapping[str, Entry]) -> dict[str, int]:
    """The place of each file, the file that was changed first being 1. Of equal age: by name."""
    ordered = sorted(files.values(), key=lambda file: (file.time, file.name))
    return {file.name: place for place, file in enumerate(ordered, 1)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

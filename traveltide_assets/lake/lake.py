"""The lake: Parquet in a folder or in S3. A table is one file, or one per month or source file.

This module has the layout of the lake, and reads and replaces its tables. `storage/` stores the
files, and `defs/io_manager.py` connects the lake to Dagster.

Keys are hive-style, `<layer>/<table>/month=YYYY-MM/<table>.parquet` or `…/file=flights.csv/…`, so
that DuckDB, pandas, Athena and Spark can read them directly. A part is replaced in one step: a
reader sees either the old or the new file, and a killed writer leaves the old one.
"""

from __future__ import annotations

import hashlib
import posixpath
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from traveltide_assets.engines.base import Engine, Spread
from traveltide_assets.engines.checksum import digest_of
from traveltide_assets.lake.conformed import conformed, conformed_frame
from traveltide_assets.lake.release import Releases
from traveltide_assets.lake.storage.base import Fence, Replaced, Storage
from traveltide_assets.schema.config import Partitions
from traveltide_assets.schema.errors import NotStored, TravelTideError
from traveltide_assets.schema.months import span
from traveltide_assets.schema.table import Table

_MONTH, _FILE = "month", "file"
# In expressions, rows have the name of their source file under a name that no source has.
OF_FILE = "own source file"


@dataclass(frozen=True)
class Written:
    """A stored file: URI, size in bytes and SHA-256; for a table, also the Parquet footer."""

    uri: str
    size_bytes: int
    sha256: str
    footer: pq.FileMetaData | None = None


class Unreadable(TravelTideError):
    """A stored file is damaged or may not be read; the message names it and says what to do."""


class Damaged(Unreadable):
    """A stored file is not what was written."""


class Months(Mapping[str, pd.DataFrame]):
    """The stored months of a table: `months["2023-07"]` reads that month into memory."""

    def __init__(self, lake: Lake, path: str, months: Sequence[str]) -> None:
        self._lake = lake
        self._path = path
        self._months = list(months)

    def __getitem__(self, month: str) -> pd.DataFrame:
        if month not in self._months:
            raise KeyError(month)
        return self._lake.frame(self._path, month)

    def __iter__(self) -> Iterator[str]:
        return iter(self._months)

    def __len__(self) -> int:
        return len(self._months)

    def table(self, month: str) -> ibis.Table:
        """One month, as an expression."""
        return self._lake.table(self._path, [month])


class Lake:
    """Tables by path, stored with the columns and types of their contracts.

    Reading raises `NotStored` if the table or month is not in the lake.
    """

    def __init__(self, storage: Storage, engine: Engine, tables: Mapping[str, Table]) -> None:
        self._storage = storage
        self._engine = engine
        self._tables = tables
        self.releases = Releases(storage)

    def fenced(self, fence: Fence) -> Lake:
        """The same lake, which calls `fence` right before it replaces or removes a file."""
        return Lake(self._storage.fenced(fence), self._engine, self._tables)

    def for_few(self, paths: Sequence[str], rows: int) -> Lake:
        """The same lake, computed on this machine if these tables have no more rows than that."""
        single = self._engine.single
        if single is self._engine:
            return self
        stored = [path for path in paths if self._tables[path].partitioned or self.exists(path)]
        if sum(map(self.total_rows, stored)) > rows:
            return self
        return Lake(self._storage, single, self._tables)

    @property
    def tables(self) -> Mapping[str, Table]:
        """The contract of every table, by path."""
        return self._tables

    @property
    def storage(self) -> Storage:
        """Where the files of the lake are."""
        return self._storage

    def table(self, path: str, months: Sequence[str] | None = None) -> ibis.Table:
        """A table, or the given months or files of it, as an expression.

        Rows of given months have the column `month`, and those of given files `OF_FILE`.
        """
        keys = self._keys(path, months or ())
        # Not from the path: a folder above the lake may be called `month=…`, too.
        partition = (self._column(path), months) if months else None
        if self._engine.opens(self._storage.uri(keys[0])):
            uris = [self._storage.uri(key) for key in self._stored(keys)]
            return self._engine.read_parquet(uris, partition)
        return self._engine.read_parquet(self._files(keys, self._engine.spread), partition)

    def frame(
        self, path: str, month: str | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """A table, or one month of it, in memory, with all columns or only the given ones."""
        wanted = None if columns is None else list(columns)
        rows = []
        for part, file in self._each(path, [month] if month else ()):
            with self._reading(path, part):
                rows.append(pq.read_table(file, columns=wanted, partitioning=None))
        return pa.concat_tables(rows, promote_options="default").to_pandas()

    def stored_frame(self, path: str, month: str) -> pd.DataFrame | None:
        """One month of a table in memory; None if it is not in the lake."""
        return self.frame(path, month) if self.exists(path, month) else None

    def digest(self, path: str, month: str | None = None, name: str | None = None) -> str:
        """SHA-256 of the stored file, or of the file `name` beside it."""
        return digest_of(self.path(path, month, name))

    def rows(self, path: str, month: str | None = None) -> int:
        """The number of rows of a table, or of one month of it."""
        footers = self.footers(path, [month] if month else ())
        return sum(footer.num_rows for footer in footers.values())

    def total_rows(self, path: str, bounds: Partitions | None = None) -> int:
        """The number of rows of a table over all stored months, or those within the bounds."""
        if not self._tables[path].partitioned:
            return self.rows(path)
        months = [month for month in self.months(path) if bounds is None or bounds.include(month)]
        if not months:
            return 0
        return sum(footer.num_rows for footer in self.footers(path, months).values())

    def footers(self, path: str, months: Sequence[str] = ()) -> dict[str | None, pq.FileMetaData]:
        """The Parquet footers of a table, or of some months of it, by month or file.

        No row is read. A table in one file has its footer under None.
        """
        found = {}
        for part, file in self._each(path, months, self._engine.spread):
            with self._reading(path, part):
                found[part] = pq.read_metadata(file)
        return found

    def months(self, path: str) -> list[str]:
        """The stored months of a table, in order. None if it has no months."""
        return [] if self._by_file(path) else list(self.versions(path))

    def parts(self, path: str) -> list[str]:
        """The names of the source's files that are stored of a table by file, in order."""
        return list(self.versions(path)) if self._by_file(path) else []

    def versions(self, path: str) -> dict[str, str]:
        """The stored months or files of a table, in order, each with the version of what is stored.

        A new version means that the file was replaced, perhaps with equal content; compare contents
        by `digest`.
        """
        stored = self._storage.versions(path)
        start = f"{path}/{_FILE if self._by_file(path) else _MONTH}="
        named = {key: unquote(key.removeprefix(start).partition("/")[0]) for key in stored}
        found = {part: stored[key] for key, part in named.items() if key == self._key(path, part)}
        return dict(sorted(found.items()))

    def exists(self, path: str, month: str | None = None, name: str | None = None) -> bool:
        """Whether a table, one month of it, or the file `name` beside it is stored."""
        if month is None and self.parts(path):
            return True
        key = self._key(path, month, name)
        return key in self._storage.versions(posixpath.dirname(key))

    def path(self, path: str, month: str | None = None, name: str | None = None) -> Path:
        """The file of a table, of one month of it, or the file `name` beside it, on this machine.

        If the lake is in S3, it is a local copy.
        """
        (file,) = self._files([self._key(path, month, name)])
        return file

    def uri(self, path: str, month: str | None = None, name: str | None = None) -> str:
        """The URI of the same file, for messages."""
        return self._storage.uri(self._key(path, month, name))

    def sweep(self) -> None:
        """Remove what killed runs left in the storage."""
        self._storage.sweep()

    def contract(self, path: str) -> Table:
        """The contract of a table."""
        return self._tables[path]

    def write(
        self, table: Table, obj: ibis.Table | pd.DataFrame, month: str | None = None
    ) -> Written:
        """Replace a table, or one month of it, in one step.

        `ContractError` if a column of the contract is missing; `Conflict` if another run replaced
        the file meanwhile.
        """
        known = self._storage.versions(posixpath.dirname(self._key(table.path, month)))
        content = (
            conformed(obj, table) if isinstance(obj, ibis.Table) else conformed_frame(obj, table)
        )
        return self._replace(table, content, month, known)

    def take(self, table: Table, file: Path, month: str | None = None) -> Written:
        """Replace a table, or one month of it, by a file that is as the lake would write it."""
        key = self._key(table.path, month)
        known = self._storage.versions(posixpath.dirname(key)).get(key)
        with self._storage.replacing(key, known) as partial:
            shutil.copyfile(file, partial)
            return self._written(key, partial, digest_of(partial))

    def stored(self, table: Table, part: str) -> Written:
        """What is stored of a month or of a file, as if it had just been written."""
        key = self._key(table.path, part)
        (file,) = self._files([key], self._engine.spread)
        return self._written(key, file, digest_of(file))

    def keep_only(self, table: Table, parts: Collection[str]) -> None:
        """Remove everything of a table but these months or files of it."""
        kept = {self._key(table.path, part) for part in parts}
        for key in self._storage.versions(table.path):
            if key not in kept:
                self._storage.remove(key)

    def write_text(self, path: str, month: str, name: str, text: str) -> Written:
        """Replace a text file, such as a report, in one step."""
        return self.write_bytes(path, month, name, text.encode())

    def write_bytes(self, path: str, month: str, name: str, content: bytes) -> Written:
        """Replace a file that is not a table in one step."""
        key = self._key(path, month, name)
        known = self._storage.versions(posixpath.dirname(key)).get(key)
        with self._storage.replacing(key, known) as partial:
            partial.write_bytes(content)
        return Written(self._storage.uri(key), len(content), hashlib.sha256(content).hexdigest())

    def remove(self, path: str, month: str, name: str) -> None:
        """Remove a file that is not a table, if it exists."""
        self._storage.remove(self._key(path, month, name))

    def _stored(self, keys: Sequence[str]) -> dict[str, str]:
        """The versions of keys from one listing of the lake; `NotStored` if one is missing."""
        stored = self._storage.versions(
            posixpath.commonpath([posixpath.dirname(key) for key in keys])
        )
        if missing := [key for key in keys if key not in stored]:
            raise NotStored(
                f"{self._storage.uri(missing[0])} does not exist: materialize that asset first"
            )
        return {key: stored[key] for key in keys}

    def _by_file(self, path: str) -> bool:
        return path in self._tables and self._tables[path].by_file

    def _column(self, path: str) -> str:
        """The column that says which part of a table a row is in."""
        return OF_FILE if self._by_file(path) else _MONTH

    def _wanted(self, path: str, parts: Sequence[str]) -> Sequence[str | None]:
        """These months or files of a table, or else all files of it, or else the table itself."""
        return parts or self.parts(path) or (None,)

    def _keys(self, path: str, parts: Sequence[str]) -> list[str]:
        return [self._key(path, part) for part in self._wanted(path, parts)]

    def _each(
        self, path: str, parts: Sequence[str], spread: Spread | None = None
    ) -> Iterator[tuple[str | None, Path]]:
        """The files of `_wanted` parts."""
        wanted = self._wanted(path, parts)
        keys = [self._key(path, part) for part in wanted]
        return zip(wanted, self._files(keys, spread), strict=True)

    def _key(self, path: str, part: str | None = None, name: str | None = None) -> str:
        by = _FILE if self._by_file(path) else _MONTH
        folder = path if part is None else f"{path}/{by}={quote(part, safe='')}"
        return f"{folder}/{name or posixpath.basename(path) + '.parquet'}"

    def _files(
        self, keys: Sequence[str], spread: Spread | None = None, attempts: int = 3
    ) -> list[Path]:
        """Files that this machine and those of the engine can read."""
        try:
            return self._storage.files(self._stored(keys), spread)
        except Replaced:
            if attempts == 1:
                raise
        return self._files(keys, spread, attempts - 1)

    def read_bytes(self, path: str, month: str, name: str) -> bytes:
        """The content of a file from `write_text` or `write_bytes`."""
        file = self.path(path, month, name)
        with self._reading(path, month, name):
            return file.read_bytes()

    @contextmanager
    def _reading(
        self, path: str, month: str | None = None, name: str | None = None
    ) -> Iterator[None]:
        """Raises `Unreadable` if the file is damaged, or may not be read."""
        try:
            yield
        except PermissionError:
            raise Unreadable(
                f"{self.uri(path, month, name)}: permission denied. Allow the user of this command "
                "to read the lake, or set TRAVELTIDE_LAKE"
            ) from None
        except (pa.ArrowException, OSError) as error:
            raise Damaged(
                f"{self.uri(path, month, name)} cannot be read: {error}. If the file is damaged, "
                "materialize the asset again (in the UI, or `traveltide run`)"
            ) from None

    def file_names(self, path: str, month: str) -> list[str]:
        """The names of all files in the folder of a month, in order."""
        folder = posixpath.dirname(self._key(path, month))
        return [posixpath.basename(key) for key in self._storage.versions(folder, deep=False)]

    def _replace(
        self,
        table: Table,
        content: ibis.Table | pa.Table,
        month: str | None,
        known: Mapping[str, str],
    ) -> Written:
        key = self._key(table.path, month)
        if isinstance(content, pa.Table):
            with self._storage.replacing(key, known.get(key)) as partial:
                pq.write_table(content, partial, compression="zstd")
                return self._written(key, partial, digest_of(partial))
        with self._storage.replacing_all({key: known.get(key)}, self._engine.spread) as partials:
            digest = self._engine.write_parquet(content, partials[key], table.key)
            return self._written(key, partials[key], digest)

    def _written(self, key: str, file: Path, digest: str) -> Written:
        size, footer = file.stat().st_size, pq.read_metadata(file)
        return Written(self._storage.uri(key), size, digest, footer)

    def write_parts(
        self, table: Table, obj: ibis.Table, parts: Sequence[str]
    ) -> dict[str | None, Written]:
        """Replace several months, or files, from one expression, which is computed once.

        The column `month`, or `OF_FILE`, says which one a row is of. Each part is replaced in one
        step, but not all of them together.
        """
        known, column = self._storage.versions(table.path), self._column(table.path)
        keys = {part: self._key(table.path, part) for part in parts}
        content = conformed(obj, table, keep=(column,))
        versions = {key: known.get(key) for key in keys.values()}
        with self._storage.replacing_all(versions, self._engine.spread) as places:
            partial = {part: places[key] for part, key in keys.items()}
            digests = self._engine.write_partitions(content, column, partial, table.key)
            return {part: self._written(keys[part], partial[part], digests[part]) for part in parts}

    def available(self, path: str, months: Sequence[str]) -> list[str]:
        """The stored months among the given ones; `NotStored` if there is a gap.

        Months before the first stored one are before the data begins, so they are no gap.
        """
        stored = sorted(set(months).intersection(self.months(path)))
        if stored:
            missing = sorted(set(span(stored[0], max(months))) - set(stored))
            if missing:
                raise NotStored(
                    f"{path} lacks {', '.join(missing)}: materialize these months first "
                    "(in the UI, or `traveltide run`)"
                )
        return stored

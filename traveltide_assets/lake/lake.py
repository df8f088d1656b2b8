"""The lake: Parquet in a folder or in S3, one file per table or monthly partition.

What lies in it and how it is read and replaced; where files lie is `storage/`, how Dagster uses it
`defs/io_manager.py`.

Keys are hive-style, `<layer>/<table>/month=YYYY-MM/<table>.parquet`, so that DuckDB, pandas, Athena
and Spark read them as they are. A partition is replaced in one step: a reader sees the old file or
the new one, and a killed writer leaves the old one.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from traveltide_assets.engines.base import Engine, Spread
from traveltide_assets.engines.checksum import digest_of
from traveltide_assets.lake.storage.base import Replaced, Storage
from traveltide_assets.schema.config import Partitions
from traveltide_assets.schema.errors import ContractError, NotStored
from traveltide_assets.schema.months import span
from traveltide_assets.schema.table import Column, Table

_PARTITION = "month"


@dataclass(frozen=True)
class Written:
    """A file that was stored: where, its bytes and SHA-256; of a table, also its footer."""

    uri: str
    size_bytes: int
    sha256: str
    footer: pq.FileMetaData | None = None


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
        """One month, lazily."""
        return self._lake.table(self._path, [month])


class Lake:
    """Tables by their path, written as their contracts say; a month is read only when asked for."""

    def __init__(self, storage: Storage, engine: Engine, tables: Mapping[str, Table]) -> None:
        self._storage = storage
        self._engine = engine
        self._tables = tables

    def table(self, path: str, months: Sequence[str] | None = None) -> ibis.Table:
        """A table, or the given months of it, lazily."""
        table = self._tables[path]
        keys = [_key(path, month) for month in months] if months else [_key(path)]
        partition = _PARTITION if table.partitioned else None
        if self._engine.opens(self._storage.uri(keys[0])):
            uris = [self._storage.uri(key) for key in self._stored(keys)]
            return self._engine.read_parquet(uris, partition)
        return self._engine.read_parquet(self._files(keys, self._engine.spread), partition)

    def frame(
        self, path: str, month: str | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """A table, or one month of it, in memory; of its columns all, or those named."""
        wanted = None if columns is None else list(columns)
        return pq.read_table(self.path(path, month), columns=wanted, partitioning=None).to_pandas()

    def stored_frame(self, path: str, month: str) -> pd.DataFrame | None:
        """One month of a table in memory, or none if the lake does not have it."""
        return self.frame(path, month) if self.exists(path, month) else None

    def stored_schema(self, path: str, month: str | None = None) -> pa.Schema:
        """The schema that the stored file really has."""
        return pq.read_schema(self._shared(path, month))

    def digest(self, path: str, month: str | None = None) -> str:
        """SHA-256 of the stored file."""
        return digest_of(self.path(path, month))

    def rows(self, path: str, month: str | None = None) -> int:
        """The number of rows of a table, or of one month of it."""
        return pq.read_metadata(self._shared(path, month)).num_rows

    def total_rows(self, path: str, bounds: Partitions) -> int:
        """The number of rows of a table, over all its months within the bounds."""
        if not self._tables[path].partitioned:
            return self.rows(path)
        months = [month for month in self.months(path) if bounds.include(month)]
        if not months:
            return 0
        files = self._files([_key(path, month) for month in months], self._engine.spread)
        return sum(pq.read_metadata(file).num_rows for file in files)

    def months(self, path: str) -> list[str]:
        """The months that a table holds, in order."""
        return list(self.versions(path))

    def versions(self, path: str) -> dict[str, str]:
        """The months that a table holds, in order, each with the version of its file.

        Another version says that the file was replaced; only `digest` compares contents.
        """
        stored = self._storage.versions(path)
        named = {key: key.removeprefix(f"{path}/{_PARTITION}=").partition("/")[0] for key in stored}
        found = {month: stored[key] for key, month in named.items() if key == _key(path, month)}
        return dict(sorted(found.items()))

    def exists(self, path: str, month: str | None = None, name: str | None = None) -> bool:
        """Whether the lake has a table, one month of it, or a file of that name beside it."""
        key = _key(path, month, name)
        return key in self._storage.versions(posixpath.dirname(key))

    def path(self, path: str, month: str | None = None, name: str | None = None) -> Path:
        """The file of a table, of one month of it, or of that name beside it, on this machine.

        Where the lake is in S3 it is a copy.
        """
        (file,) = self._files([_key(path, month, name)])
        return file

    def uri(self, path: str, month: str | None = None, name: str | None = None) -> str:
        """Where that file lies, for people."""
        return self._storage.uri(_key(path, month, name))

    def contract(self, path: str) -> Table:
        """The contract of a table."""
        return self._tables[path]

    def write(
        self, table: Table, obj: ibis.Table | pd.DataFrame, month: str | None = None
    ) -> Written:
        """Replace a table, or one month of it."""
        known = self._storage.versions(posixpath.dirname(_key(table.path, month)))
        conformed = _conformed if isinstance(obj, ibis.Table) else _conformed_frame
        return self._replace(table, conformed(obj, table), month, known)

    def write_text(self, path: str, month: str, name: str, text: str) -> Written:
        """Replace a file of text, such as a report, in one step."""
        return self.write_bytes(path, month, name, text.encode())

    def write_bytes(self, path: str, month: str, name: str, content: bytes) -> Written:
        """Replace a file that is no table in one step."""
        key = _key(path, month, name)
        known = self._storage.versions(posixpath.dirname(key)).get(key)
        with self._storage.replacing(key, known) as partial:
            partial.write_bytes(content)
        return Written(self._storage.uri(key), len(content), hashlib.sha256(content).hexdigest())

    def write_folder(self, path: str, month: str, files: Mapping[str, bytes], last: str) -> str:
        """Replace all files that lie there, the one called `last` at the end; the folder's URI.

        Files of an earlier writer are removed before the last one vouches for the rest.
        """
        for name in files:
            if name != last:
                self.write_bytes(path, month, name, files[name])
        for name in set(self.file_names(path, month)) - set(files):
            self._storage.remove(_key(path, month, name))
        self.write_bytes(path, month, last, files[last])
        return self.uri(path, month, last).removesuffix(f"/{last}")

    def _stored(self, keys: Sequence[str]) -> dict[str, str]:
        """The versions of keys, all as of one look at the lake."""
        stored = self._storage.versions(
            posixpath.commonpath([posixpath.dirname(key) for key in keys])
        )
        if missing := [key for key in keys if key not in stored]:
            raise NotStored(
                f"{self._storage.uri(missing[0])} does not exist: materialize that asset first"
            )
        return {key: stored[key] for key in keys}

    def _shared(self, path: str, month: str | None) -> Path:
        """The file of a table, however large: brought here by the machines of the engine."""
        (file,) = self._files([_key(path, month)], self._engine.spread)
        return file

    def _files(
        self, keys: Sequence[str], spread: Spread | None = None, attempts: int = 3
    ) -> list[Path]:
        """Files that this machine sees, and with it those of the engine."""
        try:
            return self._storage.files(self._stored(keys), spread)
        except Replaced:
            if attempts == 1:
                raise
        return self._files(keys, spread, attempts - 1)

    def read_bytes(self, path: str, month: str, name: str) -> bytes:
        """The content of a file that `write_text` or `write_bytes` wrote."""
        return self.path(path, month, name).read_bytes()

    def file_names(self, path: str, month: str) -> list[str]:
        """The names of the files that lie there, in order."""
        folder = posixpath.dirname(_key(path, month))
        return [posixpath.basename(key) for key in self._storage.versions(folder, deep=False)]

    def _replace(
        self,
        table: Table,
        content: ibis.Table | pa.Table,
        month: str | None,
        known: Mapping[str, str],
    ) -> Written:
        key = _key(table.path, month)
        if isinstance(content, pa.Table):
            with self._storage.replacing(key, known.get(key)) as partial:
                pq.write_table(content, partial, compression="zstd")
                return self._written(key, partial, digest_of(partial))
        with self._storage.replacing_all({key: known.get(key)}, self._engine.spread) as partials:
            digest = self._engine.write_parquet(content, partials[key], table.key)
            return self._written(key, partials[key], digest)

    def _written(self, key: str, file: Path, digest: str) -> Written:
        footer = pq.read_metadata(file)
        return Written(
            self._storage.uri(key),
            file.stat().st_size,
            digest,
            footer,
        )

    def write_months(
        self, table: Table, obj: ibis.Table, months: Sequence[str]
    ) -> dict[str | None, Written]:
        """Write several months of one expression, which is computed once."""
        known = self._storage.versions(table.path)
        keys = {month: _key(table.path, month) for month in months}
        content = _conformed(obj, table, keep=(_PARTITION,))
        versions = {key: known.get(key) for key in keys.values()}
        with self._storage.replacing_all(versions, self._engine.spread) as places:
            partial = {month: places[key] for month, key in keys.items()}
            digests = self._engine.write_partitions(content, _PARTITION, partial, table.key)
            return {
                month: self._written(keys[month], partial[month], digests[month])
                for month in months
            }

    def available(self, path: str, months: Sequence[str]) -> list[str]:
        """The stored months among those asked for; `NotStored` if there is a hole in them.

        Months before the first stored one lie before the data.
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


def _key(path: str, month: str | None = None, name: str | None = None) -> str:
    folder = path if month is None else f"{path}/{_PARTITION}={month}"
    return f"{folder}/{name or posixpath.basename(path) + '.parquet'}"


def _check_columns(columns: Sequence[str], table: Table) -> None:
    missing = [name for name in table.column_names if name not in columns]
    if missing:
        raise ContractError(f"{table.path} needs the columns {', '.join(missing)}")


def _conformed(expression: ibis.Table, table: Table, keep: tuple[str, ...] = ()) -> ibis.Table:
    """The columns and types of the contract, and those to `keep`."""
    _check_columns(expression.columns, table)
    extra = (
        [c for c in expression.columns if c not in table.column_names and c != _PARTITION]
        if table.keeps_extra_columns
        else []
    )
    return expression.select(
        *[_stored(expression[column.name], column) for column in table.columns],
        *extra,
        *keep,
    )


def _stored(value: ir.Value, column: Column) -> ir.Value:
    # `value.cast` leaves out what Ibis takes to be the type already, yet DuckDB adds up integers
    # into 128 bits, which Parquet stores as floats.
    return ops.Cast(value, to=ibis.dtype(column.type)).to_expr().name(column.name)


def _conformed_frame(frame: pd.DataFrame, table: Table) -> pa.Table:
    _check_columns(list(frame.columns), table)
    ordered = frame[list(table.column_names)].sort_values(list(table.key))
    return pa.Table.from_pandas(ordered, schema=table.arrow_schema, preserve_index=False)

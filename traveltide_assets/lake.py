"""The lake: Parquet in a folder, one file per table or monthly partition.

Keys are hive-style, `<layer>/<table>/month=YYYY-MM/<table>.parquet`, so that DuckDB, pandas, Athena
and Spark read them as they are. A partition is replaced in one step: a reader sees the old file or
the new one, and a killed writer leaves the old one.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from traveltide_assets.contracts import Column, Table
from traveltide_assets.engine import Engine
from traveltide_assets.months import next_month

_PARTITION = "month"
_ABANDONED_SECONDS = 3600


class ContractError(Exception):
    """A table does not have the columns its contract promises."""


class Lake(dg.IOManager):
    """Stores assets as their contracts say and hands them over as their annotation says.

    `ibis.Table` is read lazily by the engine, `pandas.DataFrame` is read into memory. An input that
    spans several months is one table with a `month` column.
    """

    def __init__(self, root: Path, engine: Engine, tables: Mapping[str, Table]) -> None:
        self._root = root
        self._engine = engine
        self._tables = tables

    def handle_output(self, context: dg.OutputContext, obj: ibis.Table | pd.DataFrame) -> None:
        table = self._tables["/".join(context.asset_key.path)]
        months = list(context.asset_partition_keys) if context.has_asset_partitions else []
        if len(months) > 1:
            written = self._write_range(table, obj, months)
        else:
            month = months[0] if months else None
            written = {month: self.write(table, obj, month)}
        for month, (path, rows, digest) in written.items():
            context.step_context.add_asset_metadata(
                {
                    "dagster/row_count": rows,
                    "path": dg.MetadataValue.path(str(path)),
                    "size_bytes": path.stat().st_size,
                    "sha256": digest,
                },
                asset_key=context.asset_key,
                partition_key=month,
            )
        digests = "".join(digest for _, _, digest in written.values())
        version = hashlib.sha256(digests.encode()).hexdigest() if len(written) > 1 else digests
        context.step_context.set_data_version(context.asset_key, dg.DataVersion(version))

    def load_input(self, context: dg.InputContext) -> ibis.Table | pd.DataFrame | None:
        table = self._tables["/".join(context.asset_key.path)]
        months = list(context.asset_partition_keys) if context.has_asset_partitions else None
        if months is not None:
            optional = bool((context.definition_metadata or {}).get("optional"))
            months = self._available(table, months)
            if not months and optional:
                return None
        if context.dagster_type.typing_type is ibis.Table:
            return self.table(table.path, months)
        return self.frame(table.path, months[-1] if months else None)

    def table(self, path: str, months: Sequence[str] | None = None) -> ibis.Table:
        """A table, or the given months of it, lazily."""
        table = self._tables[path]
        files = [self.path(path, month) for month in months] if months else [self.path(path)]
        self._must_exist(files)
        return self._engine.read_parquet(files, _PARTITION if table.partitioned else None)

    def frame(self, path: str, month: str | None = None) -> pd.DataFrame:
        """A table, or one month of it, in memory."""
        file = self.path(path, month)
        self._must_exist([file])
        return pq.read_table(file, partitioning=None).to_pandas()

    def stored_frame(self, path: str, month: str) -> pd.DataFrame | None:
        """One month of a table in memory, or none if the lake does not have it."""
        return self.frame(path, month) if self.path(path, month).exists() else None

    def stored_schema(self, path: str, month: str | None = None) -> pa.Schema:
        """The schema that the stored file really has."""
        return pq.read_schema(self.path(path, month))

    def digest(self, path: str, month: str | None = None) -> str:
        """SHA-256 of the stored file."""
        return hashlib.sha256(self.path(path, month).read_bytes()).hexdigest()

    def rows(self, path: str, month: str | None = None) -> int:
        """The number of rows of a table, or of one month of it."""
        file = self.path(path, month)
        self._must_exist([file])
        return pq.read_metadata(file).num_rows

    def total_rows(self, path: str) -> int:
        """The number of rows of a table, over all its months."""
        months = self.months(path)
        return sum(self.rows(path, month) for month in months) if months else self.rows(path)

    def months(self, path: str) -> list[str]:
        """The months that a table holds, in order."""
        return sorted(
            file.parent.name.removeprefix(f"{_PARTITION}=")
            for file in (self._root / path).glob(f"{_PARTITION}=*/{_file_name(path)}")
        )

    def path(self, path: str, month: str | None = None) -> Path:
        """Where a table, or one month of it, lies."""
        folder = self._root / path
        if month is not None:
            folder = folder / f"{_PARTITION}={month}"
        return folder / _file_name(path)

    def write(
        self, table: Table, obj: ibis.Table | pd.DataFrame, month: str | None = None
    ) -> tuple[Path, int, str]:
        """Replace a table, or one month of it; returns its path, rows and SHA-256."""
        if isinstance(obj, ibis.Table):
            return self._replace(table, _conformed(obj, table), month)
        return self._replace(table, _conformed_frame(obj, table), month)

    def text_path(self, path: str, month: str, name: str) -> Path:
        """Where a file of text, such as a report, lies."""
        return self.path(path, month).with_name(name)

    def write_text(self, path: str, month: str, name: str, text: str) -> tuple[Path, str]:
        """Replace a file of text in one step; returns its path and SHA-256."""
        return self.write_bytes(path, month, name, text.encode())

    def write_bytes(self, path: str, month: str, name: str, content: bytes) -> tuple[Path, str]:
        """Replace a file in one step; returns its path and SHA-256."""
        target = self.text_path(path, month, name)
        with replacing(target) as partial:
            partial.write_bytes(content)
        return target, hashlib.sha256(content).hexdigest()

    def read_bytes(self, path: str, month: str, name: str) -> bytes:
        """The content of a file that `write_text` or `write_bytes` wrote."""
        file = self.text_path(path, month, name)
        self._must_exist([file])
        return file.read_bytes()

    def file_names(self, path: str, month: str) -> list[str]:
        """The names of the files that lie there, in order."""
        folder = self.path(path, month).parent
        return sorted(f.name for f in folder.glob("[!.]*")) if folder.is_dir() else []

    def remove_file(self, path: str, month: str, name: str) -> None:
        """Remove a file, if it is there."""
        self.text_path(path, month, name).unlink(missing_ok=True)

    def _replace(
        self, table: Table, content: ibis.Table | pa.Table, month: str | None
    ) -> tuple[Path, int, str]:
        target = self.path(table.path, month)
        with replacing(target) as partial:
            if isinstance(content, pa.Table):
                pq.write_table(content, partial, compression="zstd")
            else:
                self._engine.write_parquet(content.order_by(list(table.key)), partial)
            digest = hashlib.sha256(partial.read_bytes()).hexdigest()
            rows = pq.read_metadata(partial).num_rows
        return target, rows, digest

    def _write_range(
        self, table: Table, obj: ibis.Table, months: Sequence[str]
    ) -> dict[str | None, tuple[Path, int, str]]:
        """Write several months of one expression, which is computed once."""
        with _conformed(obj, table, keep=(_PARTITION,)).cache() as computed:
            return {
                month: self._replace(
                    table, computed.filter(computed[_PARTITION] == month).drop(_PARTITION), month
                )
                for month in months
            }

    def _available(self, table: Table, months: Sequence[str]) -> list[str]:
        """The stored months among those asked for; a hole in them is an error.

        Months before the first stored one lie before the data.
        """
        stored = [month for month in months if self.path(table.path, month).exists()]
        if stored:
            missing = sorted(set(_span(stored[0], max(months))) - set(stored))
            if missing:
                raise dg.Failure(
                    f"{table.path} lacks {', '.join(missing)}: materialize these months first "
                    f"(in the UI, or `traveltide run`)",
                    allow_retries=False,
                )
        return stored

    def _must_exist(self, files: Sequence[Path]) -> None:
        for file in files:
            if not file.exists():
                raise dg.Failure(
                    f"{file} does not exist: materialize that asset first", allow_retries=False
                )


def _file_name(path: str) -> str:
    return f"{path.rsplit('/', 1)[-1]}.parquet"


def _span(first: str, last: str) -> Iterator[str]:
    while first <= last:
        yield first
        first = next_month(first)


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


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes the target in one step once everything is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in target.parent.glob(".*.tmp"):
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
            abandoned.unlink(missing_ok=True)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)

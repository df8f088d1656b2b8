"""Writes lake files on Spark's executors.

Every Python process of Spark imports this module, so it imports little.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from traveltide_assets.engines.checksum import digest_of

NUMBER = "own number"
"""A column that the rows may have: the number of each in its file, from 1. It is not stored."""

_ROW_GROUP = 122_880


@dataclass(frozen=True)
class Writing:
    """Writes the ordered rows of an executor, one file for each value of `by`.

    With numbers, rows out of order are an error.
    """

    schema: pa.Schema
    by: str
    paths: Mapping[str, str]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write the files. Yields one row per file: the value of `by` and the SHA-256."""
        file: File | None = None
        try:
            for part, rows in self._split(batches):
                if file is None or file.part != part:
                    if file is not None:
                        yield file.line()
                    file = self.file(part)
                file.write(rows)
            if file is not None:
                yield file.line()
        finally:
            if file is not None:
                file.abandon()

    def file(self, part: str) -> File:
        return File(part, Path(self.paths[part]), self.schema)

    def _split(self, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            for value in pc.unique(table[self.by]).to_pylist():
                yield value, table.filter(pc.equal(table[self.by], value))


class File:
    """A Parquet file that appears in one step, because a retried task may write the same file."""

    def __init__(self, part: str, path: Path, schema: pa.Schema) -> None:
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"{path.parent} does not exist on {os.uname().nodename}: lake and home must be on "
                "storage that every machine of the cluster sees under the same path"
            )
        self.part = part
        self._path = path
        self._partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        self._writer = pq.ParquetWriter(self._partial, schema, compression="zstd")
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def write(self, rows: pa.Table) -> None:
        if NUMBER in rows.column_names:
            wanted = np.arange(self._rows, self._rows + len(rows)) + 1
            if not np.array_equal(rows[NUMBER].to_numpy(), wanted):
                raise RuntimeError(f"the engine did not keep the order of the rows of {self._path}")
        self._rows += len(rows)
        self._waiting.append(rows.select(self._schema.names).cast(self._schema))
        if sum(map(len, self._waiting)) >= _ROW_GROUP:
            self._flush()

    def close(self) -> str:
        """Finish the file and move it to its path. Returns its SHA-256."""
        self._flush()
        self._writer.close()
        digest = digest_of(self._partial)
        os.replace(self._partial, self._path)
        return digest

    def line(self) -> pa.RecordBatch:
        """Finish the file and move it to its path. Returns one row: its part and its SHA-256."""
        return pa.RecordBatch.from_pydict({"part": [self.part], "digest": [self.close()]})

    def abandon(self) -> None:
        """Remove the partial file, if it was not finished."""
        self._writer.close()
        self._partial.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=_ROW_GROUP)
        self._waiting = []

"""Writes lake files on Spark's executors, with the bytes that DuckDB gives the same rows.

Every Python process of Spark imports this module, so it imports little.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traveltide_assets.engines import parquet
from traveltide_assets.engines.checksum import digest_of

NUMBER = "own number"
"""A column that the rows may have: the number of each in its file, from 1. It is not stored."""

_COPY = """
COPY rows TO $path (
    FORMAT parquet,
    COMPRESSION $compression,
    COMPRESSION_LEVEL $compression_level,
    DICTIONARY_SIZE_LIMIT $dictionary_size_limit
)
"""
# DuckDB takes this many rows at a time, and ends a row group with the batch that fills it.
_VECTOR = 2048


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
        for part, found in groupby(self._split(batches), itemgetter(0)):
            digest = self.write(part, map(itemgetter(1), found))
            yield pa.RecordBatch.from_pydict({"part": [part], "digest": [digest]})

    def write(self, part: str, rows: Iterable[pa.Table] = ()) -> str:
        """Write the file of a part. Returns its SHA-256.

        The file appears in one step, because a retried task may write the same file.
        """
        path = Path(self.paths[part])
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"{path.parent} does not exist on {os.uname().nodename}: lake and home must be on "
                "storage that every machine of the cluster sees under the same path"
            )
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        batches = _in_vectors(self._stored(rows), self.schema)
        try:
            # A task has one core.
            with duckdb.connect(config={"threads": 1}) as connection:
                stream = pa.RecordBatchReader.from_batches(self.schema, batches)
                connection.register("rows", stream)
                connection.execute(_COPY, {"path": str(partial), **parquet.OPTIONS})
            digest = digest_of(partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        return digest

    def _split(self, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            for value in pc.unique(table[self.by]).to_pylist():
                yield value, table.filter(pc.equal(table[self.by], value))

    def _stored(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The rows as they are stored, after a look at their numbers."""
        seen = 0
        for rows in tables:
            if NUMBER in rows.column_names:
                wanted = np.arange(seen, seen + len(rows)) + 1
                if not np.array_equal(rows[NUMBER].to_numpy(), wanted):
                    raise RuntimeError("the engine did not keep the order of the rows")
            seen += len(rows)
            yield rows.select(self.schema.names).cast(self.schema)


def _in_vectors(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of full vectors, so that row groups end where they do in DuckDB."""
    left = schema.empty_table()
    for rows in tables:
        left = pa.concat_tables([left, rows])
        full = len(left) - len(left) % _VECTOR
        yield from left.slice(0, full).combine_chunks().to_batches()
        left = left.slice(full)
    yield from left.combine_chunks().to_batches()

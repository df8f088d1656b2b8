"""Reads Parquet from bytes in memory, such as a file of a release whose hash was verified."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def read_table(
    content: bytes, columns: Sequence[str] | None = None, categories: Sequence[str] = ()
) -> pa.Table:
    """The table in a Parquet file, with all columns or only the given ones.

    `categories` are columns of text with few values, which are read as such.

    It is read in the calling thread. `pq.read_table` hands the Python object to Arrow's threads,
    and one of them may still hold it when Python exits; it then needs the interpreter to release
    it, and the process aborts ("terminate called without an active exception").
    """
    wanted = None if columns is None else list(columns)
    file = pq.ParquetFile(BytesIO(content), pre_buffer=False, read_dictionary=list(categories))
    return file.read(wanted, use_threads=False)


def read_rows(
    content: bytes, key: str, value: int, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of a table whose `key` has a value. Only row groups that may hold one are read."""
    file = pq.ParquetFile(BytesIO(content), pre_buffer=False)
    names = file.schema_arrow.names
    place, wanted = names.index(key), names if columns is None else list(columns)
    found = [file.schema_arrow.empty_table().select(wanted)]
    for group in range(file.num_row_groups):
        known = file.metadata.row_group(group).column(place).statistics
        if known is None or not known.has_min_max or known.min <= value <= known.max:
            ours = pc.equal(file.read_row_group(group, [key], use_threads=False)[key], value)
            if pc.any(ours).as_py():
                read = file.read_row_group(group, wanted, use_threads=False)
                found.append(read.filter(ours))
    return pa.concat_tables(found)

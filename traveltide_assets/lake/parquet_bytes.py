"""Reads Parquet from bytes in memory, such as a file of a release whose hash was verified."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in a Parquet file, with all columns or only the given ones.

    It is read in the calling thread. `pq.read_table` hands the Python object to Arrow's threads,
    and one of them may still hold it when Python exits; it then needs the interpreter to release
    it, and the process aborts ("terminate called without an active exception").
    """
    wanted = None if columns is None else list(columns)
    return pq.ParquetFile(BytesIO(content), pre_buffer=False).read(wanted, use_threads=False)

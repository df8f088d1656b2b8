"""Parquet that is read from memory."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow as pa

from traveltide_assets.lake.parquet_bytes import read_table

READ = """
import sys
from pathlib import Path
import psutil
from traveltide_assets.lake.parquet_bytes import read_table
content = Path(sys.argv[1]).read_bytes()
before = psutil.Process().num_threads()
read_table(content)
print(psutil.Process().num_threads() - before)
"""


def test_a_table_in_bytes_is_read_whole_or_by_columns() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [[1.5], []]})
    file = BytesIO()
    frame.to_parquet(file)
    assert read_table(file.getvalue()).equals(pa.Table.from_pandas(frame))
    assert read_table(file.getvalue(), ["c", "a"]).column_names == ["c", "a"]


def test_no_other_thread_takes_part_as_it_might_outlive_the_interpreter(tmp_path: Path) -> None:
    """A thread of Arrow that lets go of a Python object after Python's end aborts the process."""
    file = tmp_path / "table.parquet"
    pd.DataFrame({f"c{n}": range(1_000) for n in range(40)}).to_parquet(file)
    read = subprocess.run(
        [sys.executable, "-c", READ, str(file)], capture_output=True, text=True, check=True
    )
    assert read.stdout == "0\n"

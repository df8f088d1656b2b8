"""Parquet that is read from memory."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from traveltide_assets.lake.parquet_bytes import read_rows, read_table

READ = """
import sys
from pathlib import Path
import psutil
from traveltide_assets.lake.parquet_bytes import read_rows, read_table
content = Path(sys.argv[1]).read_bytes()
before = psutil.Process().num_threads()
read_table(content)
read_rows(content, "c0", 7)
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


@pytest.mark.parametrize("users", [range(100), [*range(50, 100), *range(50), 7]])
def test_the_rows_of_a_customer_are_found_in_every_order(users: list[int]) -> None:
    frame = pd.DataFrame({"perk": "meal", "user_id": list(users), "spend": list(users)})
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False, row_group_size=30)
    for user in (0, 7, 99, 100):
        found = read_rows(buffer.getvalue(), "user_id", user, ["spend"]).to_pandas()
        expected = frame.loc[frame["user_id"] == user, ["spend"]].reset_index(drop=True)
        assert found.equals(expected)


def test_text_is_read_as_categories_where_asked_for() -> None:
    buffer = BytesIO()
    pd.DataFrame({"perk": ["meal", "bag", "meal"], "n": [1, 2, 3]}).to_parquet(buffer)
    read = read_table(buffer.getvalue(), ["perk"], ["perk"]).to_pandas()["perk"]
    assert read.dtype == "category"
    assert read.tolist() == ["meal", "bag", "meal"]

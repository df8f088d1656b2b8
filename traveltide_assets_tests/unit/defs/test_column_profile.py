"""The profile of a stored table: what its footer knows, and nothing that names a customer."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from traveltide_assets.defs.column_profile import profile


def rows(path: Path) -> dict[str, dict[str, Any]]:
    return {str(r.data["column"]): dict(r.data) for r in profile([pq.read_metadata(path)]).records}


def test_it_tells_how_much_is_filled_and_the_range_over_all_row_groups(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": [3, None, 7, 5],
            "day": [dt.date(2023, 1, d) for d in (4, 2, 9, 3)],
            "name": ["ada", None, None, None],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    found = rows(tmp_path / "t.parquet")
    assert found["n"] == {
        "column": "n",
        "type": "int64",
        "filled": 0.75,
        "smallest": "3",
        "largest": "7",
    }
    assert (found["day"]["smallest"], found["day"]["largest"]) == ("2023-01-02", "2023-01-09")
    assert found["name"]["filled"] == 0.25
    assert "ada" not in str(found), "text is not shown"


def test_a_table_without_rows_has_columns_and_no_range(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": pa.array([], pa.int64())}), tmp_path / "t.parquet")
    assert rows(tmp_path / "t.parquet")["n"]["largest"] == ""

"""The contract of a stored table is checked by the footers of its files where they say enough."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.defs.checks.every_table import contract_problems
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.table import Column, Table

MONTHS = ["2023-05", "2023-06"]
ONE_AND_NONE: tuple[list[float | None], ...] = ([1.0], [])
TABLE = Table(
    "silver",
    "things",
    "One row per thing.",
    (
        Column("key", "int64", "The key"),
        Column("size", "float64", "How large it is"),
        Column("name", "string", "What it is called", required=False),
    ),
    key=("key",),
    partitioned=True,
)
LISTS = Table(
    "gold",
    "lists",
    "One row per list.",
    (Column("key", "int64", "The key"), Column("values", "array<string>", "The values")),
    key=("key",),
)


def read_by(folder: Path, engine: DuckDB) -> Lake:
    return Lake(Folder(folder), engine, {table.path: table for table in (TABLE, LISTS)})


def store(file: Path, columns: Mapping[str, pa.Array], statistics: bool = True) -> None:
    file.parent.mkdir(parents=True)
    table = pa.table(dict(columns))
    pq.write_table(table, file, row_group_size=2, write_statistics=statistics)


def things(sizes: list[float | None]) -> dict[str, pa.Array]:
    return {
        "key": pa.array(range(len(sizes)), pa.int64()),
        "size": pa.array(sizes, pa.float64()),
        "name": pa.nulls(len(sizes), pa.string()),
    }


@pytest.mark.parametrize("statistics", [True, False])
def test_missing_values_of_all_months_and_row_groups_are_counted(
    tmp_path: Path, statistics: bool
) -> None:
    for month, sizes in zip(MONTHS, ([1.0, None, None], [None, 2.0, 3.0]), strict=True):
        file = tmp_path / TABLE.path / f"month={month}" / "things.parquet"
        store(file, things(sizes), statistics)
    engine = DuckDB(tmp_path / "scratch")
    lake = read_by(tmp_path, engine)
    assert contract_problems(TABLE, lake, MONTHS) == ["size is empty in 3 rows"]
    read = "backend" in vars(engine)  # It is opened when rows are read.
    assert read is not statistics


def test_a_sound_table_and_one_without_rows_have_no_problems(tmp_path: Path) -> None:
    for month, sizes in zip(MONTHS, ONE_AND_NONE, strict=True):
        store(tmp_path / TABLE.path / f"month={month}" / "things.parquet", things(sizes))
    engine = DuckDB(tmp_path / "scratch")
    assert contract_problems(TABLE, read_by(tmp_path, engine), MONTHS) == []
    assert "backend" not in vars(engine)


def test_a_list_is_missing_if_it_is_null_and_not_if_it_is_empty_or_holds_a_null(
    tmp_path: Path,
) -> None:
    values = pa.array([["a", None], [], None, ["b"]], pa.list_(pa.string()))
    store(
        tmp_path / LISTS.path / "lists.parquet",
        {"key": pa.array(range(4), pa.int64()), "values": values},
    )
    lake = read_by(tmp_path, DuckDB(tmp_path / "scratch"))
    assert contract_problems(LISTS, lake, []) == ["values is empty in 1 rows"]

"""Files that executors write: DuckDB's bytes, and no file at all if the order was lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.engines.checksum import digest_of
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.engines.spark_writer import NUMBER, Writing

SCHEMA = pa.schema([("key", pa.int64())])


def _batch(part: list[str], key: list[int], number: list[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"part": part, "key": key, NUMBER: number})


def test_each_part_is_a_file_though_batches_end_elsewhere(tmp_path: Path) -> None:
    paths = {part: str(tmp_path / f"{part}.parquet") for part in "ab"}
    batches = [
        _batch(["a", "a"], [1, 2], [1, 2]),
        _batch(["a", "b"], [3, 7], [3, 1]),
        _batch(["b"], [8], [2]),
    ]
    lines = [line.to_pylist()[0] for line in Writing(SCHEMA, "part", paths)(batches)]
    assert {line["part"]: line["digest"] for line in lines} == {
        part: digest_of(Path(path)) for part, path in paths.items()
    }
    assert [pq.read_table(path).to_pydict() for path in paths.values()] == [
        {"key": [1, 2, 3]},
        {"key": [7, 8]},
    ]


@pytest.mark.parametrize("numbers", [[2, 1], [1, 3], [2, 3]])
def test_rows_out_of_order_leave_no_file(tmp_path: Path, numbers: list[int]) -> None:
    writing = Writing(SCHEMA, "part", {"a": str(tmp_path / "a.parquet")})
    with pytest.raises(duckdb.Error, match="order of the rows"):
        list(writing([_batch(["a", "a"], [1, 2], numbers)]))
    assert not list(tmp_path.iterdir())


def test_a_task_that_runs_again_replaces_the_file_and_one_that_ends_early_does_not(
    tmp_path: Path,
) -> None:
    writing = Writing(SCHEMA, "part", {"a": str(tmp_path / "a.parquet")})
    first = list(writing([_batch(["a"], [1], [1])]))

    def lost() -> Iterator[pa.RecordBatch]:
        yield _batch(["a"], [2], [1])
        raise OSError("the machine that has the rest is gone")

    with pytest.raises(duckdb.Error, match="is gone"):
        list(writing(lost()))
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]
    assert list(writing([_batch(["a"], [1], [1])])) == first


def _rows(count: int) -> pa.Table:
    random = np.random.default_rng(1)
    places = range(count)
    columns = {
        "key": random.permutation(count),
        "few": pa.array([f"ü {place % 50}" if place % 7 else None for place in places], pa.utf8()),
        "many": pa.array([f"{place * 7919 % 100_003}" for place in places], pa.utf8()),
        "number": random.normal(size=count).round(2),
        "time": pa.array(random.integers(0, 10**15, count), pa.timestamp("us")),
        "day": pa.array(random.integers(0, 20_000, count).astype("int32"), pa.date32()),
        "flag": pa.array(random.random(count) < 0.5),
        "none": pa.nulls(count, pa.float64()),
    }
    return pa.table(columns)


# Full and started vectors of DuckDB, and more than one row group.
@pytest.mark.parametrize("count", [0, 1, 2048, 30_001, 300_000])
def test_the_bytes_are_those_of_duckdb_whatever_the_batches(tmp_path: Path, count: int) -> None:
    table, own = _rows(count), tmp_path / "own.parquet"
    pq.write_table(table, tmp_path / "rows.parquet")
    engine = DuckDB(tmp_path / "scratch")
    rows = engine.read_parquet([tmp_path / "rows.parquet"])
    expected = engine.write_parquet(rows, own, ["key"])
    assert pq.read_metadata(own).num_row_groups == -(-count // 122_880)
    writing = Writing(rows.schema().to_pyarrow(), "part", {"a": str(tmp_path / "a.parquet")})
    ordered = table.sort_by("key").append_column("part", pa.repeat("a", count)).combine_chunks()
    for size in (1_000, 8_192, 10_000):
        batches = ordered.to_batches(max_chunksize=size)
        digests = [line["digest"][0].as_py() for line in writing(batches)]
        assert digests == ([expected] if count else [])
    assert writing.write("a", [ordered] if count else []) == expected

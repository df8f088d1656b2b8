"""Files that executors write: by part, in order, and not at all if the order was lost."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.engines.checksum import digest_of
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
    with pytest.raises(RuntimeError, match="order of the rows"):
        list(writing([_batch(["a", "a"], [1, 2], numbers)]))
    assert not list(tmp_path.iterdir())

"""What is Sail's own: how it takes paths, what it keeps of files, and a lake in S3."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.engines.base import Engine, OutOfMemory
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.resources import open_engine, open_storage
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.events_table import EVENTS, MONTHS
from traveltide_assets_tests.support.s3_server import S3Server


def _sail(home: Path) -> Engine:
    pytest.importorskip("pysail", reason="the extra `spark` is not installed")
    return open_engine(Settings(home=home, engine="sail"))


def _stored(rows: list[Any], file: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


@pytest.mark.parametrize(
    "name", ["month=2023-03", "a b", "a%20b", "ü", "a[1]", "a*b", "{x}", "a#b"]
)
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    engine = _sail(folder / "home")
    rows = [{"key": "b", "month": "2023-03"}, {"key": "a", "month": "2023-03"}]
    table = engine.read_parquet([_stored(rows, folder / "t.parquet")])
    paths = {month: folder / f"{month}.parquet" for month in MONTHS}
    with table.filter(table.key != "").cache() as kept:
        engine.write_partitions(kept, "month", paths, ["key"])
    found = [pq.read_table(path, partitioning=None)["key"].to_pylist() for path in paths.values()]
    assert found == [["a", "b"], [], []]


def test_many_rows_are_stored_in_order(tmp_path: Path) -> None:
    engine = _sail(tmp_path)
    numbers = pd.Series(range(300_000)).sample(frac=1, random_state=1)
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"key": numbers.to_numpy()}), file, row_group_size=20_000)
    table = engine.read_parquet([file])
    engine.write_parquet(table, tmp_path / "one.parquet", ["key"])
    assert pq.read_table(tmp_path / "one.parquet")["key"].to_pylist() == list(range(300_000))
    by = table.mutate(month=ibis.ifelse(table.key % 3 == 0, MONTHS[0], MONTHS[1]))
    paths = {month: tmp_path / f"{month}.parquet" for month in MONTHS}
    engine.write_partitions(by, "month", paths, ["key"])
    first = pq.read_table(paths[MONTHS[0]])["key"].to_pylist()
    assert first == list(range(0, 300_000, 3))


def test_too_little_memory_names_its_setting(tmp_path: Path) -> None:
    _sail(tmp_path).read_parquet([_stored([{"key": "a"}], tmp_path / "a.parquet")])
    pq.write_table(
        pa.table({"key": [f"{number:0200}" for number in range(300_000)]}), tmp_path / "t.parquet"
    )
    little = open_engine(Settings(home=tmp_path, engine="sail", memory="5MB"))
    table = little.read_parquet([tmp_path / "t.parquet"])
    with pytest.raises(OutOfMemory, match="raise TRAVELTIDE_MEMORY"):
        little.write_parquet(table, tmp_path / "one.parquet", ["key"])
    with pytest.raises(OutOfMemory, match="raise TRAVELTIDE_MEMORY"):
        table.group_by("key").agg(rows=table.count()).order_by("key").to_pyarrow()
    assert not (tmp_path / "one.parquet").exists()


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    engine = _sail(tmp_path)
    file = tmp_path / "t.parquet"
    for key in ("first", "other"):  # Of equal size.
        table = engine.read_parquet([_stored([{"key": key}], file)])
        assert table.to_pyarrow().to_pylist() == [{"key": key}]
        assert table.count().to_pyarrow().as_py() == 1
    table = engine.read_parquet([_stored([{"key": "a"}, {"key": "b"}], file)])
    assert table.count().to_pyarrow().as_py() == 2


def test_a_lake_in_s3_is_that_of_duckdb(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    rows = [
        {"key": "b", "time": dt.datetime(2023, 3, 12, 2, 30, 0, 1), "month": MONTHS[0]},
        {"key": "a", "time": None, "month": MONTHS[0]},
        {"key": "c", "time": dt.datetime(2023, 4, 1), "month": MONTHS[1]},
    ]
    file = _stored(rows, tmp_path / "events.parquet")
    bucket = s3_server.bucket()
    found = []
    for prefix, engine in (("one", DuckDB(tmp_path / "scratch")), ("two", _sail(tmp_path))):
        storage = open_storage(S3Location(bucket, prefix), tmp_path / "cache", "TRAVELTIDE_LAKE")
        lake = Lake(storage, engine, {EVENTS.path: EVENTS})
        for _ in range(2):  # The second time, what is stored is replaced.
            lake.write_parts(EVENTS, engine.read_parquet([file]), MONTHS)
        stored = lake.table(EVENTS.path, MONTHS).order_by("month", "key")
        found.append(stored.to_pyarrow().to_pandas())
    pd.testing.assert_frame_equal(*found)
    assert found[0]["key"].tolist() == ["a", "b", "c"]


def test_where_sail_is_not_installed_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "traveltide_assets.engines.sail", raising=False)
    monkeypatch.setitem(sys.modules, "pysail.spark", None)
    with pytest.raises(SettingsError, match="extra `spark`"):
        open_engine(Settings(home=tmp_path, engine="sail"))

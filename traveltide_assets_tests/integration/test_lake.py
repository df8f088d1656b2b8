"""The lake keeps the last good file, the types of the contract and the months in a row."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pytest

from traveltide_assets.defs.partitions import ALL_UP_TO, bounded
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.table import Column, Table

COLUMNS = (
    Column("key", "string", "The key"),
    Column("clicks", "int64", "A count", required=False),
    Column("price", "float64", "An amount", required=False),
    Column("day", "date", "A day", required=False),
    Column("time", "timestamp(6)", "A time", required=False),
    Column("flag", "boolean", "A flag", required=False),
)
SNAPSHOT = Table("silver", "things", "One row per key.", COLUMNS, key=("key",))
MONTHLY = Table("silver", "events", "One row per key.", COLUMNS, key=("key",), partitioned=True)
EXTRA = Table("bronze", "raw", "As it came.", COLUMNS, key=("key",), keeps_extra_columns=True)
TOTALS = Table(
    "gold",
    "totals",
    "One row per month that the run saw.",
    (Column("seen", "string", "A month"), Column("rows", "int64", "Its rows")),
    key=("seen",),
    partitioned=True,
)
TABLES = {table.path: table for table in (SNAPSHOT, MONTHLY, EXTRA, TOTALS)}
MONTHS = ["2023-05", "2023-06", "2023-07"]


def lake_in(folder: Path) -> Lake:
    return Lake(Folder(folder / "lake"), DuckDB(folder / "scratch"), TABLES)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_in(tmp_path)


def things(*keys: str, clicks: int = 1) -> pd.DataFrame:
    moment = pd.Timestamp("2023-05-01 10:00:00.123456")
    return pd.DataFrame(
        {
            "key": list(keys),
            "clicks": clicks,
            "price": 0.1,
            "day": moment.date(),
            "time": moment,
            "flag": True,
        }
    )


def lazily(frame: pd.DataFrame) -> ibis.Table:
    return ibis.memtable(pa.Table.from_pandas(frame, preserve_index=False))


# A writer that dies

KILLED = """
import os, signal, sys
from pathlib import Path
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets_tests.integration import test_lake

class Dying(DuckDB):
    def write_parquet(self, table, path, order=()):
        super().write_parquet(table, path, order)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
storage = test_lake.Folder(folder / "lake")
lake = test_lake.Lake(storage, Dying(folder / "scratch"), test_lake.TABLES)
lake.write(test_lake.SNAPSHOT, test_lake.lazily(test_lake.things("new")))
"""


def test_a_killed_writer_leaves_the_last_good_file_and_a_new_run_replaces_it(
    tmp_path: Path, lake: Lake
) -> None:
    lake.write(SNAPSHOT, lazily(things("old")))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -9
    folder = lake.path(SNAPSHOT.path).parent
    assert len(list(folder.iterdir())) == 2, "the half-written file lies beside the good one"
    assert list(pd.read_parquet(folder / "things.parquet")["key"]) == ["old"]
    readers = duckdb.connect().execute(f"SELECT key FROM '{folder}/*.parquet'").fetchall()
    assert readers == [("old",)]
    lake.write(SNAPSHOT, lazily(things("new")))
    assert list(lake.frame(SNAPSHOT.path)["key"]) == ["new"]


# Months


@dg.asset(
    key_prefix="silver",
    partitions_def=bounded(MONTHS[0], MONTHS[-1]),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def events(context: dg.AssetExecutionContext, engine: dg.ResourceParam[DuckDB]) -> ibis.Table:
    frames = [things("b", "a").assign(month=month) for month in MONTHS]
    table = engine.backend.create_table("events", pd.concat(frames), temp=True)
    return table.filter(table.month.isin(list(context.partition_keys)))


@dg.asset(
    key_prefix="gold",
    ins={"found": dg.AssetIn(["silver", "events"], partition_mapping=ALL_UP_TO)},
    partitions_def=bounded(MONTHS[0], MONTHS[-1]),
)
def totals(found: ibis.Table) -> ibis.Table:
    return found.group_by(seen=found.month).agg(rows=found.count())

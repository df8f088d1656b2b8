"""A lake of four small tables, to be written and read in every way."""

from __future__ import annotations

from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa

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

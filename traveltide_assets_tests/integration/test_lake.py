"""The lake keeps the last good file, the types of the contract and the months in a row."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from traveltide_assets.lake.lake import Lake
from traveltide_assets_tests.support.small_lake import (
    SNAPSHOT,
    lake_in,
    lazily,
    things,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_in(tmp_path)


# A writer that dies

KILLED = """
import os, signal, sys
from pathlib import Path
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets_tests.support.small_lake import SNAPSHOT, TABLES, lazily, things

class Dying(DuckDB):
    def write_parquet(self, table, path, order=()):
        super().write_parquet(table, path, order)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
lake = Lake(Folder(folder / "lake"), Dying(folder / "scratch"), TABLES)
lake.write(SNAPSHOT, lazily(things("new")))
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

"""Bronze does not take a source that has lost many rows, and replaces what is damaged."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from traveltide_assets.defs.checks.soundness import ROWS_BEFORE
from traveltide_assets.defs.gate import Gate
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.settings import Settings
from traveltide_assets.sources import tables as bronze
from traveltide_assets.sources.base import SourceError
from traveltide_assets.sources.files import Files
from traveltide_assets_tests.support.landed_files import SOUND, source, text, write_sound

RAW = "bronze/hotels_raw"
HOTELS = ("hotels.csv", "hotels-2.csv")


@pytest.fixture
def landed(tmp_path: Path) -> Files:
    """A source whose hotels come in two files of 20 rows."""
    folder = write_sound(tmp_path)
    for name in HOTELS:
        (folder / name).write_text(text("hotels", *[SOUND["hotels"]] * 20), encoding="utf-8")
    return source(folder)


@pytest.fixture
def lake(tmp_path: Path, landed: Files) -> Lake:
    """A lake that has ingested its hotels."""
    tables = {table.path: table for table in bronze.TABLES}
    lake = Lake(Folder(tmp_path / "lake"), DuckDB(tmp_path / "scratch"), tables)
    for name, file in landed.parts("hotels", []).items():
        lake.take(tables[RAW], file, name)
    return lake


@pytest.fixture
def gate(tmp_path: Path, lake: Lake) -> Gate:
    return Gate(Settings(source=str(tmp_path), lake=tmp_path / "lake", home=tmp_path), lake)


def test_a_source_that_has_lost_a_file_is_not_taken(
    tmp_path: Path, gate: Gate, landed: Files
) -> None:
    gate.require_rows(landed, dg.DagsterRun("ingest"))
    (tmp_path / "source" / HOTELS[1]).unlink()
    with pytest.raises(SourceError, match="hotels: 20 rows instead of 40"):
        gate.require_rows(landed, dg.DagsterRun("ingest"))


def test_damaged_bronze_is_not_compared_but_replaced(
    gate: Gate, lake: Lake, landed: Files, caplog: pytest.LogCaptureFixture
) -> None:
    assert gate.rows_before("hotels") == {ROWS_BEFORE: 40}
    file = lake.path(RAW, HOTELS[1])
    file.write_bytes(b"PAR1")
    gate.require_rows(landed, dg.DagsterRun("ingest"))
    assert gate.rows_before("hotels") == {}
    assert f"{file} cannot be read" in caplog.text

"""A folder of files in any dialect becomes four tables of text, or a clear error and nothing."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from traveltide_assets.defs.jobs import INGEST
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.sources.files import Files
from traveltide_assets_tests.support.project import Project, failure

HEADER = {name: [column.name for column in columns] for name, columns in SOURCES.items()}
SOUND = {
    "users": "1,1985-02-28,F,true,false,usa,new york,LGA,40.7,-73.8,2022-11-30",
    "sessions": "1-a,1,1-t,2023-07-01 10:00:00,2023-07-01 10:01:00,f,f,,,t,t,17,f",
    "flights": "1-t,LGA,montreal,YUL,1,t,2023-07-09 07:00:00,2023-07-10 07:00:00,0,Aéreo,45.4,"
    "-73.7,410.5",
    "hotels": "1-t,Hilton - montreal,1,1,2023-07-09 16:00:00,2023-07-10 11:00:00,120",
}


def text(name: str, *lines: str) -> str:
    return "\n".join([",".join(HEADER[name]), *(lines or [SOUND[name]])]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound source of one row per table."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in SOURCES:
        (folder / f"{name}.csv").write_text(text(name), encoding="utf-8")
    return folder


def source(folder: Path) -> Files:
    return Files(Folder(folder), DuckDB(folder.parent / "scratch"), folder.parent / "staging")


def rows(folder: Path, name: str) -> list[dict[str, str | int | None]]:
    table = source(folder).table(name).order_by(["source_file", "source_row"])
    return table.to_pyarrow().to_pylist()


def test_extra_columns_of_any_name_reach_bronze(folder: Path) -> None:
    names = [
        "",
        "month",
        "source_file",
        "Reason",
        "Loyalty Card",
        "user",
        "rows",
        "file_row_number",
    ]
    header = text("sessions").splitlines()[0]
    (folder / "sessions.csv").write_text(
        f"{','.join(names)},{header}\n0,m,f,r,gold,u,9,2,{SOUND['sessions']}\n", encoding="utf-8"
    )
    project = one_month(folder)
    assert materialize(project, "bronze/sessions_raw").success
    (row,) = project.frame("bronze/sessions_raw", "2023-07").to_dict("records")
    extra = {
        "column0": "0",
        "month_in_source": "m",
        "source_file_in_source": "f",
        "reason_in_source": "r",
        "loyalty_card": "gold",
        "user": "u",
        "rows": "9",
        "file_row_number_in_source": "2",
    }
    assert {name: row[name] for name in extra} == extra
    assert row["source_file"] == "sessions.csv"


# What is wrong with a source


def shorten_a_line(folder: Path) -> None:
    sound = SOUND["hotels"]
    (folder / "hotels.csv").write_text(text("hotels", sound, "1-u,Hilton", sound), "utf-8")


def one_month(folder: Path) -> Project:
    bounds = {"first": "2023-07", "last": "2023-07"}
    return Project(folder.parent, folder, partitions=bounds)


def materialize(project: Project, asset: str) -> dg.ExecuteInProcessResult:
    return project.definitions.resolve_job_def(INGEST).execute_in_process(
        asset_selection=[dg.AssetKey(asset.split("/"))],
        partition_key="2023-07",
        raise_on_error=False,
    )


def test_nothing_is_written_to_the_lake_from_a_source_with_one_broken_line(folder: Path) -> None:
    shorten_a_line(folder)
    project = one_month(folder)
    result = materialize(project, "bronze/users_raw")
    assert not result.success
    assert "hotels.csv" in failure(result)
    assert [path for path in project.lake.rglob("*") if path.is_file()] == []

"""A folder of files in any dialect becomes four tables of text, or a clear error and nothing."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from traveltide_assets.defs.jobs import INGEST
from traveltide_assets_tests.support.landed_files import (
    SOUND,
    shorten_a_line,
    text,
    write_sound,
)
from traveltide_assets_tests.support.project import Project, failure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sound(tmp_path)


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

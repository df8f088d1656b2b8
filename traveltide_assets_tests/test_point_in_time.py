"""A month's decision sees nothing that happened after the month."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest

from traveltide_assets.months import end_of
from traveltide_assets_tests.conftest import BOUNDS
from traveltide_assets_tests.project import Project

FAST = {"max_k": 4, "restarts": 2, "sample_rows": 500}
QUICK = {"bootstraps": 2}


def cut(source: Path, month: str, folder: Path) -> Path:
    """The source as it would have been exported at the end of a month."""
    folder.mkdir()
    end = str(end_of(month))
    tables = {
        name: pd.read_csv(source / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in ("users", "sessions", "flights", "hotels")
    }
    sessions = tables["sessions"]
    sessions = sessions[sessions["session_start"] < end]
    users = tables["users"]
    kept = {"users": users[users["sign_up_date"] < end], "sessions": sessions}
    for name in ("flights", "hotels"):
        kept[name] = tables[name][tables[name]["trip_id"].isin(sessions["trip_id"])]
    for name, table in kept.items():
        assert 0 < len(table) < len(tables[name]) or name == "users"
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def gold(project: Project, month: str) -> dict[str, str]:
    """SHA-256 of every gold file of a month, by its path."""
    root = project.settings.lake / "gold"
    return {
        str(file.relative_to(root)): sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob(f"month={month}/*.parquet"))
    }


def assert_same_gold(one: Project, other: Project, month: str) -> None:
    files = gold(one, month)
    assert {"perk_assignments", "user_features", "trips_final"} <= {
        Path(file).stem for file in files
    }
    assert files.keys() == gold(other, month).keys()
    for file in files:
        path = f"gold/{Path(file).parents[1]}"
        pd.testing.assert_frame_equal(
            one.frame(path, month), other.frame(path, month), check_exact=True, obj=path
        )


@pytest.fixture(scope="module")
def sample_cut(
    tmp_path_factory: pytest.TempPathFactory, sample_source: Path, sample_project: Project
) -> Project:
    """The sample as it was at the end of June, decided for June."""
    folder = tmp_path_factory.mktemp("sample_cut")
    source = cut(sample_source, "2023-06", folder / "source")
    project = Project(folder, source, partitions=BOUNDS)
    assert project.ingest(BOUNDS["first"], "2023-06").success
    assert project.assign("2023-06").success
    return project


def test_a_month_from_the_full_sample_equals_the_month_from_its_past(
    sample_project: Project, sample_cut: Project
) -> None:
    assert_same_gold(sample_project, sample_cut, "2023-06")


def test_deciding_a_month_again_changes_no_byte(sample_cut: Project) -> None:
    before = gold(sample_cut, "2023-06")
    assert len(before) >= 10
    assert sample_cut.assign("2023-06").success
    assert gold(sample_cut, "2023-06") == before


def test_a_month_of_the_real_cohort_equals_the_month_from_its_past(
    tmp_path: Path, real_source: Path, real_project: Project
) -> None:
    month, bounds = "2023-05", {"first": "2023-01", "last": "2023-07"}
    (tmp_path / "full").mkdir()
    (tmp_path / "past").mkdir()
    options = {"partitions": bounds, "kmeans": FAST, "checks": QUICK}
    full = Project(tmp_path / "full", real_source, **options)
    shutil.copytree(real_project.settings.lake / "silver", full.settings.lake / "silver")
    past = Project(
        tmp_path / "past", cut(real_source, month, tmp_path / "past" / "source"), **options
    )
    assert full.assign(month).success
    assert past.ingest("2023-01", month).success
    assert past.assign(month).success
    assert_same_gold(full, past, month)

"""A month's decision sees nothing that happened after the month."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from traveltide_assets.schema.months import end_of
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project, owned, succeed

# What is known of customers and what they did: the rest is made from these tables alone.
KNOWN = [
    f"gold/{name}"
    for name in (
        "users_final",
        "sessions_final",
        "flights_final",
        "hotels_final",
        "trips_final",
        "mailed_customers",
        "user_features",
        "earlier_features",
        "perk_outcomes",
        "cut_features",
        "cut_outcomes",
        "half_features",
        "early_features",
        "early_outcomes",
    )
]
FAST = {"kmeans": {"max_k": 4, "restarts": 2, "sample_rows": 500}} | scenario.QUICK


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
    root = project.lake / "gold"
    return {
        str(file.relative_to(root)): sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob(f"month={month}/*.parquet"))
    }


def assert_same_gold(one: Project, other: Project, month: str) -> None:
    files = gold(one, month)
    assert {*KNOWN} <= {f"gold/{Path(file).stem}" for file in files}
    assert files.keys() == gold(other, month).keys()
    for file in files:
        here, there = (
            pq.read_table(project.lake / "gold" / file, partitioning=None).to_pandas()
            for project in (one, other)
        )
        pd.testing.assert_frame_equal(here, there, check_exact=True, obj=file)


def full(folder: Path, ingested: Project) -> Project:
    """A project with everything that another one ingested."""
    for layer in ("bronze", "silver"):
        shutil.copytree(ingested.lake / layer, folder / "lake" / layer)
    bounds = ingested.settings.partitions.model_dump()
    return owned(Project(folder, folder / "source", partitions=bounds, **FAST))


def past(folder: Path, source: Path, ingested: Project, month: str) -> Project:
    """A project with what a source that ends with the month gave."""
    bounds = ingested.settings.partitions.model_dump()
    project = Project(folder, cut(source, month, folder / "source"), partitions=bounds, **FAST)
    succeed(project.ingest(bounds["first"], month))
    return project


def test_a_month_from_the_full_sample_equals_the_month_from_its_past(
    tmp_path_factory: pytest.TempPathFactory, sample_source: Path, sample_project: Project
) -> None:
    month = "2023-05"
    one = full(tmp_path_factory.mktemp("full"), sample_project)
    other = past(tmp_path_factory.mktemp("past"), sample_source, sample_project, month)
    for project in (one, other):
        succeed(project.decide(month))
        beyond = [path for path in KNOWN if not project.file(path, month).exists()]
        succeed(project.materialize_all(beyond, month))
    assert (one.lake / "gold/perk_assignments").is_dir()
    assert_same_gold(one, other, month)


def test_what_is_known_of_the_real_cohort_in_a_month_equals_what_its_past_tells(
    tmp_path_factory: pytest.TempPathFactory, real_source: Path, real_project: Project
) -> None:
    month = "2023-05"
    one = full(tmp_path_factory.mktemp("real_full"), real_project)
    other = past(tmp_path_factory.mktemp("real_past"), real_source, real_project, month)
    succeed(one.materialize_all(KNOWN, month))
    succeed(other.materialize_all(KNOWN, month))
    assert_same_gold(one, other, month)

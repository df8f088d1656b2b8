"""Who counts as an active customer."""

from __future__ import annotations

import shutil

import dagster as dg
import ibis
import pytest

from traveltide_assets.transforms.cohort import (
    completed_years,
    describe,
)
from traveltide_assets.transforms.config import Config as Cohort
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project


@pytest.fixture(scope="module")
def silver(scenario_project: Project) -> tuple[ibis.Table, ibis.Table]:
    """Users and sessions of the scenario, as silver has them."""
    backend = ibis.duckdb.connect()
    users = backend.read_parquet(scenario_project.file("silver/users_processed"))
    lake = scenario_project.lake
    sessions = backend.read_parquet(
        str(lake / "silver/sessions_processed/*/*.parquet"), hive_partitioning=True
    )
    return users, sessions


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        ("2000-02-29", "2018-02-28", 17),
        ("2000-02-29", "2018-03-01", 18),
        ("2000-02-29", "2020-02-29", 20),
        ("1984-05-31", "2023-05-30", 38),
        ("1984-05-31", "2023-05-31", 39),
        ("2023-01-01", "2023-12-31", 0),
    ],
)
def test_an_age_counts_completed_years(born: str, day: str, age: int) -> None:
    years = completed_years(ibis.date(born), ibis.date(day))
    assert ibis.duckdb.connect().execute(years) == age


def test_the_rule_is_told_in_words() -> None:
    rule = Cohort(minimum_age=18)
    assert describe(rule, "2023-05") == (
        "at least 8 sessions from 2023-01-04 to 2023-05-31, aged 18 or more"
    )
    everybody = Cohort(active_since=None, min_sessions=1)
    assert describe(everybody, "2023-02") == "at least 1 sessions to 2023-02-28"


@pytest.fixture(scope="module")
def nobody(
    scenario_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, dg.ExecuteInProcessResult]:
    """The ingested scenario, decided by a rule that nobody meets, and its run."""
    folder = tmp_path_factory.mktemp("nobody")
    shutil.copytree(scenario_project.lake / "silver", folder / "lake" / "silver")
    rule = scenario.COHORT | {"min_sessions": 99}
    project = Project(folder, folder / "source", **scenario.settings(cohort=rule))
    return project, project.assign(scenario.MONTH)

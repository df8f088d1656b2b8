"""Who counts as an active customer."""

from __future__ import annotations

import datetime as dt
import shutil
from typing import Any

import dagster as dg
import ibis
import pytest

from traveltide_assets.transforms.cohort import (
    cohort_sessions,
    cohort_users,
)
from traveltide_assets.transforms.config import Config as Cohort
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project, failed_checks, failure, owned


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


def members(silver: tuple[ibis.Table, ibis.Table], month: str, **rule: Any) -> list[int]:
    users, sessions = silver
    found = cohort_users(users, sessions, Cohort(**rule), month)
    return sorted(found.user_id.to_pyarrow().to_pylist())


def test_a_customer_needs_the_minimum_of_sessions(silver: tuple[ibis.Table, ibis.Table]) -> None:
    rule = {"active_since": dt.date(2023, 4, 1)}
    assert members(silver, "2023-05", min_sessions=2, **rule) == scenario.CUSTOMERS
    assert members(silver, "2023-05", min_sessions=3, **rule) == [
        scenario.PACKAGE,
        scenario.CANCELLER,
    ]


def test_sessions_after_the_month_do_not_count_yet(
    silver: tuple[ibis.Table, ibis.Table],
) -> None:
    rule = {"active_since": dt.date(2023, 4, 1), "min_sessions": 2}
    later = set(members(silver, "2023-06", **rule)) - set(members(silver, "2023-05", **rule))
    assert later == {scenario.SEEN_ONCE, scenario.SEEN_LATER}


def test_sessions_before_the_first_day_do_not_count(
    silver: tuple[ibis.Table, ibis.Table],
) -> None:
    # The browser's first session begins on the last minute of April.
    rule = {"min_sessions": 2}
    assert scenario.BROWSER in members(silver, "2023-05", active_since=dt.date(2023, 4, 30), **rule)
    assert scenario.BROWSER not in members(
        silver, "2023-05", active_since=dt.date(2023, 5, 1), **rule
    )


def test_a_rolling_window_counts_whole_months_up_to_the_decided_one(
    silver: tuple[ibis.Table, ibis.Table],
) -> None:
    rule = {"active_since": None, "min_sessions": 2}
    assert members(silver, "2023-05", window_months=1, **rule) == [
        scenario.PACKAGE,
        scenario.ELSEWHERE,
        scenario.UPCOMING,
    ]
    assert members(silver, "2023-05", window_months=2, **rule) == scenario.CUSTOMERS


def test_of_a_first_day_and_a_window_the_later_start_counts(
    silver: tuple[ibis.Table, ibis.Table],
) -> None:
    rule = {"active_since": dt.date(2023, 4, 1), "min_sessions": 2}
    assert members(silver, "2023-05", window_months=1, **rule) == members(
        silver, "2023-05", active_since=None, min_sessions=2, window_months=1
    )
    assert members(silver, "2023-05", window_months=12, **rule) == scenario.CUSTOMERS


def test_the_minimum_age_leaves_the_cohort_as_it_is(
    silver: tuple[ibis.Table, ibis.Table],
) -> None:
    """It is of whoever is written to; everybody is analysed."""
    rule = {"active_since": dt.date(2023, 4, 1), "min_sessions": 2}
    assert members(silver, "2023-05", minimum_age=99, **rule) == scenario.CUSTOMERS


def test_the_cohort_keeps_only_its_sessions_in_the_window(
    silver: tuple[ibis.Table, ibis.Table],
) -> None:
    users, sessions = silver
    rule = Cohort(active_since=dt.date(2023, 5, 1), min_sessions=2)
    cohort = cohort_users(users, sessions, rule, "2023-05")
    kept = cohort_sessions(sessions, cohort, rule, "2023-05").execute()
    assert set(kept["user_id"]) == {scenario.PACKAGE, scenario.ELSEWHERE, scenario.UPCOMING}
    assert kept["session_start"].min() >= dt.datetime(2023, 5, 1)
    assert kept["session_start"].max() < dt.datetime(2023, 6, 1)
    assert len(kept) == 6


@pytest.fixture(scope="module")
def nobody(
    scenario_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, dg.ExecuteInProcessResult]:
    """The ingested scenario, decided by a rule that nobody meets, and its run."""
    folder = tmp_path_factory.mktemp("nobody")
    for layer in ("bronze", "silver"):
        shutil.copytree(scenario_project.lake / layer, folder / "lake" / layer)
    rule = scenario.COHORT | {"min_sessions": 99}
    project = owned(Project(folder, folder / "source", **scenario.settings(cohort=rule)))
    return project, project.assign(scenario.MONTH)


def test_an_empty_cohort_stops_the_run_at_the_blocking_check(
    nobody: tuple[Project, dg.ExecuteInProcessResult],
) -> None:
    project, result = nobody
    assert not result.success
    assert failed_checks(result) == {"gold/users_final:large_enough"}
    assert project.frame("gold/users_final", scenario.MONTH).empty
    assert not project.file("gold/sessions_final", scenario.MONTH).exists()
    assert not project.file("gold/perk_assignments", scenario.MONTH).exists()


def test_the_message_of_an_empty_cohort_names_the_check_and_the_rule(
    nobody: tuple[Project, dg.ExecuteInProcessResult],
) -> None:
    _, result = nobody
    assert "gold/users_final: large_enough" in failure(result)
    evaluation = next(e for e in result.get_asset_check_evaluations() if not e.passed)
    assert evaluation.metadata["customers"].value == 0
    assert evaluation.metadata["cohort_rule"].value == (
        "at least 99 sessions from 2023-04-01 to 2023-05-31"
    )

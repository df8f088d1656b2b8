"""Every check of the decision passes where it should and fails where it should."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest
from dagster import AssetCheckEvaluation, AssetCheckSeverity

from traveltide_assets.defs import tags as dagster_tags
from traveltide_assets.defs.run import QUIET
from traveltide_assets_tests.conftest import BOUNDS, LAST
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project, failure, instance_in, owned

LENIENT = {
    "max_cohort_change": 10,
    "min_segment_share": 0,
    "min_silhouette": -1,
    "min_stability": -1,
    "max_psi": 100,
}
STRICT = {
    "max_cohort_change": 0,
    "min_segment_share": 1,
    "min_silhouette": 1,
    "min_stability": 1,
    "max_psi": 0,
}
TABLES = (
    "gold/users_final",
    "gold/sessions_final",
    "gold/flights_final",
    "gold/hotels_final",
    "gold/trips_final",
    "gold/user_features",
    "gold/kmeans_model",
    "gold/kmeans_diagnostics",
    "gold/segments/kmeans",
    "gold/perk_assignments",
)
WARNINGS = (
    "gold/users_final:size_change",
    "gold/user_features:drift",
    "gold/kmeans_diagnostics:silhouette",
    "gold/kmeans_model:stability",
    "gold/segments/kmeans:smallest_segment",
)
BLOCKING = (
    *(f"{table}:{check}" for table in TABLES for check in ("contract", "primary_key")),
    "gold/users_final:large_enough",
    "gold/user_features:one_row_per_customer",
    "gold/perk_assignments:exactly_one_perk",
)
Evaluations = dict[str, AssetCheckEvaluation]
Damage = Callable[[pd.DataFrame], pd.DataFrame]


def copy_of(project: Project, folder: Path, limits: Mapping[str, float]) -> Project:
    """A project with the gold of another and limits of its own."""
    shutil.copytree(project.lake / "gold", folder / "lake" / "gold")
    return Project(folder, folder / "source", partitions=BOUNDS, checks=limits)


def check(project: Project, *tables: str) -> Evaluations:
    """Run the checks of the tables, and nothing else, on what the lake holds."""
    keys = [dg.AssetKey(table.split("/")) for table in tables]
    job = dg.define_asset_job("checks_only", dg.AssetSelection.checks_for_assets(*keys))
    result = (
        dg.Definitions.merge(project.definitions, dg.Definitions(jobs=[job]))
        .resolve_job_def("checks_only")
        .execute_in_process(
            # A job of checks alone has no partitions of its own to look the month up in.
            tags={dagster_tags.PARTITION: LAST},
            run_config=QUIET,
            raise_on_error=False,
        )
    )
    return {
        f"{evaluation.asset_key.to_user_string()}:{evaluation.check_name}": evaluation
        for evaluation in result.get_asset_check_evaluations()
    }


def execute_alone(project: Project, *names: str) -> Evaluations:
    """Execute checks as the UI does: for no month, on an instance that knows the runs so far."""
    keys = {
        dg.AssetCheckKey(dg.AssetKey(table.split("/")), check)
        for table, check in (name.split(":") for name in names)
    }
    job = project.definitions.resolve_implicit_global_asset_job_def()
    alone = job.get_subset(asset_selection=set(), asset_check_selection=keys)
    with instance_in(project.folder / "dagster") as instance:
        result = alone.execute_in_process(instance=instance, run_config=QUIET)
    return {
        f"{evaluation.asset_key.to_user_string()}:{evaluation.check_name}": evaluation
        for evaluation in result.get_asset_check_evaluations()
    }


def damage(project: Project, table: str, how: Damage) -> None:
    """Change a stored table; what is not changed keeps its type."""
    file = project.file(table, LAST)
    frame = pq.read_table(file, partitioning=None).to_pandas(types_mapper=pd.ArrowDtype)
    how(frame).to_parquet(file, index=False)


@pytest.fixture(scope="module")
def sound(sample_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Evaluations:
    """The checks of a sound month within lenient limits."""
    return check(copy_of(sample_project, tmp_path_factory.mktemp("sound"), LENIENT), *TABLES)


@pytest.fixture(scope="module")
def strict(sample_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Evaluations:
    """The checks of a sound month within limits that nothing real can keep."""
    return check(copy_of(sample_project, tmp_path_factory.mktemp("strict"), STRICT), *TABLES)


@pytest.fixture
def copy(sample_project: Project, tmp_path: Path) -> Project:
    """A sound month to damage."""
    return copy_of(sample_project, tmp_path, LENIENT)


@pytest.mark.parametrize("name", [*BLOCKING, *WARNINGS, "gold/user_features:accepted_range"])
def test_a_sound_month_passes(sound: Evaluations, name: str) -> None:
    assert sound[name].passed
    assert sound[name].blocking == (name in BLOCKING)


@pytest.mark.parametrize("name", WARNINGS)
def test_what_exceeds_its_limit_warns(strict: Evaluations, name: str) -> None:
    assert not strict[name].passed
    assert strict[name].severity == AssetCheckSeverity.WARN
    assert "limit" in strict[name].metadata


@pytest.mark.parametrize("name", BLOCKING)
def test_limits_do_not_touch_the_blocking_checks(strict: Evaluations, name: str) -> None:
    assert strict[name].passed


def test_without_a_month_before_there_is_nothing_to_compare_with(copy: Project) -> None:
    for table in ("gold/users_final", "gold/user_features"):
        shutil.rmtree(copy.file(table, "2023-06").parent)
    found = check(copy, "gold/users_final", "gold/user_features")
    for name in ("gold/users_final:size_change", "gold/user_features:drift"):
        assert found[name].passed
        assert "compared_with" in found[name].metadata


def test_an_empty_cohort_is_an_error(copy: Project) -> None:
    damage(copy, "gold/users_final", lambda frame: frame.head(0))
    found = check(copy, "gold/users_final")["gold/users_final:large_enough"]
    assert not found.passed
    assert found.severity == AssetCheckSeverity.ERROR
    assert found.metadata["customers"].value == 0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda f: f.drop(columns="seats"), "seats is missing, not int64"),
        (lambda f: f.assign(seats=f["seats"].astype("double[pyarrow]")), "seats is float64"),
        (lambda f: f.assign(kind=f["kind"].where(f.index > 2)), "kind is empty in 3 rows"),
        (lambda f: f.assign(mood="good"), "unexpected columns mood"),
    ],
    ids=["missing column", "wrong type", "empty value", "unexpected column"],
)
def test_a_table_that_breaks_its_contract_is_an_error(
    copy: Project, how: Damage, said: str
) -> None:
    damage(copy, "gold/trips_final", how)
    found = check(copy, "gold/trips_final")["gold/trips_final:contract"]
    assert not found.passed
    assert found.severity == AssetCheckSeverity.ERROR
    assert said in str(found.metadata["problems"].value)


def test_a_key_that_occurs_twice_is_an_error(copy: Project) -> None:
    damage(copy, "gold/sessions_final", lambda f: pd.concat([f, f.head(2)]))
    found = check(copy, "gold/sessions_final")["gold/sessions_final:primary_key"]
    assert not found.passed
    assert found.severity == AssetCheckSeverity.ERROR
    assert found.metadata["rows_with_a_key_of_another"].value == 2


def test_a_customer_without_features_is_an_error(copy: Project) -> None:
    damage(copy, "gold/user_features", lambda f: f.tail(-1))
    found = check(copy, "gold/user_features")["gold/user_features:one_row_per_customer"]
    assert not found.passed
    assert found.severity == AssetCheckSeverity.ERROR


@pytest.mark.parametrize(
    ("feature", "value"),
    [("session_cancellation_rate", 1.5), ("total_nights", -1), ("age", 121), ("mean_nights", 0.5)],
)
def test_a_value_outside_the_catalogues_range_fails_with_its_name(
    copy: Project, feature: str, value: float
) -> None:
    damage(
        copy,
        "gold/user_features",
        lambda f: f.assign(**{feature: f[feature].where(f.index > 1, value)}).astype(f.dtypes),
    )
    found = check(copy, "gold/user_features")["gold/user_features:accepted_range"]
    assert not found.passed
    assert found.metadata["rows_outside"].value == {feature: 2}


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        (lambda f: f.tail(-3), {"customers_without_perk": 3}),
        (lambda f: pd.concat([f, f.head(1)]), {"customers_with_several": 1}),
        (
            lambda f: pd.concat([f, f.head(1).assign(user_id=1)]),
            {"not_in_cohort": 1},
        ),
        (lambda f: f.assign(perk=f["perk"].where(f.index > 0, "a pony")), {"unknown_perks": 1}),
    ],
    ids=["none", "several", "stranger", "unknown"],
)
def test_anything_but_one_perk_per_customer_is_an_error(
    copy: Project, how: Damage, problem: dict[str, int]
) -> None:
    damage(copy, "gold/perk_assignments", how)
    found = check(copy, "gold/perk_assignments")["gold/perk_assignments:exactly_one_perk"]
    assert not found.passed
    assert found.severity == AssetCheckSeverity.ERROR
    counted = {name: value.value for name, value in found.metadata.items()}
    assert "Every customer in the cohort has exactly one perk" in str(counted.pop("problem"))
    assert {name: rows for name, rows in counted.items() if rows} == problem


@pytest.fixture
def instance_too(sample_project: Project, tmp_path: Path) -> Project:
    """A copy of the sample with its instance: Dagster knows which months were computed."""
    shutil.copytree(sample_project.folder, tmp_path / "project")
    return Project(tmp_path / "project", sample_project.source, partitions=BOUNDS)


def test_the_checks_of_an_asset_alone_are_those_of_its_latest_month(instance_too: Project) -> None:
    names = [f"gold/users_final:{name}" for name in ("contract", "large_enough", "size_change")]
    found = execute_alone(instance_too, *names)
    assert set(found) == set(names)
    assert {evaluation.partition for evaluation in found.values()} == {LAST}
    large_enough = found["gold/users_final:large_enough"]
    customers = len(instance_too.frame("gold/users_final", LAST))
    assert large_enough.metadata["customers"].value == customers
    assert large_enough.severity == AssetCheckSeverity.ERROR
    assert large_enough.blocking
    assert not found["gold/users_final:size_change"].blocking


def test_one_check_alone_leaves_out_the_others_of_its_step(instance_too: Project) -> None:
    (evaluation,) = execute_alone(instance_too, "silver/users_processed:reconciliation").values()
    assert evaluation.passed
    assert evaluation.partition is None


def test_the_job_check_evaluates_every_check_of_a_month_and_computes_nothing(
    sample_project: Project,
) -> None:
    job = sample_project.definitions.resolve_job_def("check")
    result = job.execute_in_process(partition_key="2023-06", run_config=QUIET)
    found = result.get_asset_check_evaluations()
    steps = sample_project.definitions.asset_checks or ()
    expected = {spec.key for step in steps for spec in step.check_specs}
    assert {evaluation.asset_check_key for evaluation in found} == expected
    assert {evaluation.partition for evaluation in found} == {"2023-06", None}
    assert not result.get_asset_materialization_events()


def test_silver_that_breaks_its_key_stops_gold_and_nothing_else(
    scenario_project: Project, tmp_path: Path
) -> None:
    # A second row of a customer in silver: gold judges silver before it reads it.
    for layer in ("bronze", "silver"):
        shutil.copytree(scenario_project.lake / layer, tmp_path / "lake" / layer)
    project = owned(Project(tmp_path, tmp_path / "source", **scenario.settings()))
    users = project.file("silver/users_processed")
    frame = pd.read_parquet(users)
    pd.concat([frame, frame.head(1)]).to_parquet(users, index=False)
    result = project.assign(scenario.MONTH)
    assert not result.success
    assert "silver/users_processed: primary_key" in failure(result)
    written = {
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert written == {"gold/perk_catalogue"}, "the catalogue needs no cohort"

"""Bronze and silver in real runs: nothing is lost, a re-run changes nothing, checks can fail."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.defs.jobs import INGEST
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.schema.sources import KEYS, SOURCES
from traveltide_assets_tests.support.project import Project, failed_checks, instance_in, owned

FIRST, LAST = "2023-06", "2023-07"
BOUNDS = {"first": FIRST, "last": LAST}
WHOLE = {"first": "2021-04", "last": "2023-07"}


def read_text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def write_text(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, quoting=csv.QUOTE_ALL)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean source of two months in which every flight and stay has its session."""
    folder = tmp_path_factory.mktemp("source") / "clean"
    write_sample(folder, SampleSpec(users=250, seed=5, active_share=0.8))
    sessions = read_text(folder / "sessions.csv")
    sessions = sessions[sessions["session_start"].str.slice(0, 7).between(FIRST, LAST)]
    write_text(sessions, folder / "sessions.csv")
    for name in ("flights", "hotels"):
        trips = read_text(folder / f"{name}.csv")
        write_text(trips[trips["trip_id"].isin(sessions["trip_id"])], folder / f"{name}.csv")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Project:
    """The clean source, ingested in one run. Do not change it."""
    project = Project(tmp_path_factory.mktemp("clean"), source, partitions=BOUNDS)
    result = project.ingest(FIRST, LAST)
    assert result.success
    assert failed_checks(result) == set()
    return project


@pytest.fixture
def copy(tmp_path: Path, project: Project, source: Path) -> Project:
    """A copy of the ingested project and its source, to be tampered with."""
    shutil.copytree(source, tmp_path / "source")
    shutil.copytree(project.lake, tmp_path / "lake")
    return owned(Project(tmp_path, tmp_path / "source", partitions=BOUNDS))


def materialize(
    project: Project, *assets: str, month: str | None = None
) -> dg.ExecuteInProcessResult:
    """A run of some assets, or of all, and their checks."""
    return project.definitions.resolve_job_def(INGEST).execute_in_process(
        asset_selection=[dg.AssetKey(asset.split("/")) for asset in assets] or None,
        partition_key=month,
        raise_on_error=False,
    )


def check(project: Project, step: str, month: str | None = None) -> set[str]:
    """The checks of a step that fail on the lake as it is; nothing is materialised."""
    (keys,) = [
        found.check_keys
        for found in project.definitions.asset_checks or ()
        if isinstance(found, dg.AssetChecksDefinition) and found.node_def.name == step
    ]
    whole = project.definitions.resolve_implicit_global_asset_job_def()
    job = whole.get_subset(asset_selection=set(), asset_check_selection=set(keys))
    result = job.execute_in_process(partition_key=month, raise_on_error=False)
    assert len(result.get_asset_check_evaluations()) == len(set(keys))
    return failed_checks(result)


def contents(project: Project) -> dict[str, str]:
    lake = project.lake
    return {
        str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(lake.rglob("*.parquet"))
        if path.is_file()
    }


def versions(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], str]:
    return {
        (event.asset_key.to_user_string(), event.partition): event.tags["dagster/data_version"]
        for step in result.get_asset_materialization_events()
        if (event := step.step_materialization_data.materialization).tags
    }


# Runs


def test_the_job_takes_a_range_of_months_in_a_single_run(project: Project) -> None:
    job = project.definitions.resolve_job_def(INGEST)
    assert job.backfill_policy == dg.BackfillPolicy.single_run()


def test_month_by_month_gives_the_files_of_one_range(
    tmp_path: Path, project: Project, source: Path
) -> None:
    months = Project(tmp_path, source, partitions=BOUNDS)
    assert materialize(months, month=FIRST).success
    monthly = (
        "bronze/sessions_raw",
        "silver/sessions_processed",
        "silver/sessions_quarantine",
    )
    assert materialize(months, *monthly, month=LAST).success
    found = contents(months)
    assert found == contents(project)
    assert len(found) == 4 * 3 + 1 + 3 * 2, "four snapshots and monthly sessions, and undated"


def test_a_second_run_gives_the_same_bytes_and_their_hash_as_data_version(copy: Project) -> None:
    before = contents(copy)
    found = versions(materialize(copy, month=LAST))
    assert contents(copy) == before
    assert len(found) == 5 + 1 + 5 * 2
    for (asset, month), version in found.items():
        content = copy.file(asset, month).read_bytes()
        assert version == hashlib.sha256(content).hexdigest()


def test_bronze_is_the_source_word_by_word(project: Project, source: Path) -> None:
    for name in SOURCES:
        months = [FIRST, LAST] if name == "sessions" else [None]
        stored = pd.concat([project.frame(f"bronze/{name}_raw", month) for month in months])
        stored = stored.sort_values("source_row").reset_index(drop=True)
        said = read_text(source / f"{name}.csv")
        assert list(stored["source_row"]) == list(range(1, len(said) + 1))
        assert stored[list(said.columns)].astype(object).fillna("").equals(said.astype(object))


def test_every_row_of_a_clean_source_is_processed(project: Project, source: Path) -> None:
    for name in SOURCES:
        months = [FIRST, LAST] if name == "sessions" else [None]
        processed = pd.concat([project.frame(f"silver/{name}_processed", m) for m in months])
        assert sorted(processed[KEYS[name]].astype(str)) == sorted(
            read_text(source / f"{name}.csv")[KEYS[name]]
        )
        assert all(project.frame(f"silver/{name}_quarantine", m).empty for m in months)


def test_sessions_that_no_month_takes_go_to_a_table_of_their_own(copy: Project) -> None:
    path = copy.source / "sessions.csv"
    sessions = read_text(path)
    starts = ["", "soon", "2023-05-31 23:59:59.9", "2023-08-01 00:00:00", "2023-06-01T00:00:00Z"]
    sessions.loc[: len(starts) - 1, "session_start"] = starts
    write_text(sessions, path)
    result = materialize(copy, "bronze/sessions_undated")
    assert result.success
    assert failed_checks(result) == {
        "bronze/sessions_undated:no_undated_sessions",
        "bronze/sessions_undated:within_bounds",
    }
    undated = copy.frame("bronze/sessions_undated")
    assert list(undated["session_id"]) == list(sessions["session_id"][: len(starts)])
    unreadable, outside = "unreadable_session_start", "month_outside_partitions"
    assert list(undated["reason"]) == [unreadable, unreadable, outside, outside, unreadable]
    assert materialize(copy, "bronze/sessions_raw", month=FIRST).success
    assert materialize(copy, "bronze/sessions_raw", month=LAST).success
    dated = sum(len(copy.frame("bronze/sessions_raw", month)) for month in (FIRST, LAST))
    assert dated + len(undated) == len(sessions)


def test_flights_whose_session_is_not_ingested_stay_and_are_counted(copy: Project) -> None:
    path = copy.source / "flights.csv"
    flights = read_text(path)
    # More than ten would block: sessions would be missing.
    few = flights.iloc[: len(flights) // 30]
    later = few.assign(trip_id="later-" + few["trip_id"])
    write_text(pd.concat([flights, later]), path)
    keys = ("bronze/flights_raw", "silver/flights_processed", "silver/flights_quarantine")
    result = materialize(copy, *keys)
    assert result.success
    warned = {f"silver/flights_processed:{check}" for check in ("foreign_key", "no_orphans")}
    assert failed_checks(result) == warned
    assert len(copy.frame("silver/flights_processed")) == len(flights) + len(later)
    (counted,) = [
        evaluation.metadata["rows_without_session"].value
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "foreign_key"
    ]
    assert counted == len(later)


def test_flights_may_be_ingested_before_the_first_month_of_sessions(copy: Project) -> None:
    shutil.rmtree(copy.lake / "silver" / "sessions_processed")
    keys = ("bronze/flights_raw", "silver/flights_processed", "silver/flights_quarantine")
    result = materialize(copy, *keys)
    assert result.success
    assert failed_checks(result) == {"silver/flights_processed:foreign_key"}


# Damage


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, set[str]]:
    """A source of which every twentieth row is damaged, beside the same one without damage."""
    folder = tmp_path_factory.mktemp("dirty")
    spec = {"users": 2_000, "seed": 3, "active_share": 0.3}
    write_sample(folder / "clean", SampleSpec(**spec))  # type: ignore[arg-type]
    write_sample(folder / "source", SampleSpec(**spec, dirt=0.05))  # type: ignore[arg-type]
    project = Project(folder, folder / "source", partitions=WHOLE)
    result = project.ingest(WHOLE["first"], WHOLE["last"])
    assert result.success
    return project, failed_checks(result)


def whole(project: Project, path: str) -> pd.DataFrame:
    """All months of a table of the lake."""
    return pq.ParquetDataset(project.lake / path, partitioning=None).read().to_pandas()


def ledger(project: Project, table: str) -> pd.DataFrame:
    lines = read_text(project.source / "damage.csv")
    return lines[lines["table"] == table]


def test_damage_warns_but_blocks_nothing(dirty: tuple[Project, set[str]]) -> None:
    _, failed = dirty
    expected = {f"silver/{name}_quarantine:quarantine_share" for name in SOURCES}
    expected |= {"bronze/sessions_undated:no_undated_sessions"}
    expected |= {f"silver/{name}_processed:foreign_key" for name in ("flights", "hotels")}
    expected |= {"silver/sessions_processed:known_users"}
    assert failed == expected


@pytest.mark.parametrize("name", SOURCES)
def test_quarantine_is_what_the_ledger_says_and_nothing_else(
    dirty: tuple[Project, set[str]], name: str
) -> None:
    project, _ = dirty
    lines = ledger(project, name)
    lines = lines[lines["expectation"].str.startswith("quarantine:")]
    expected = lines.assign(reason=lines["expectation"].str.removeprefix("quarantine:"))
    refused = whole(project, f"silver/{name}_quarantine")
    assert len(refused) > 30
    assert Counter(refused["reason"]) == Counter(expected["reason"])
    # A damaged key is not in the quarantine under the key it had.
    key = KEYS[name]
    of_key = {f"missing_{key}", f"unreadable_{key}"}
    found, told = (frame[~frame["reason"].isin(of_key)] for frame in (refused, expected))
    assert Counter(zip(found[key].str.strip(), found["reason"], strict=True)) == Counter(
        zip(told["key"], told["reason"], strict=True)
    )


def test_sessions_without_a_time_are_those_of_the_ledger(dirty: tuple[Project, set[str]]) -> None:
    project, _ = dirty
    lines = ledger(project, "sessions")
    undated = project.frame("bronze/sessions_undated")
    expected = lines[lines["expectation"] == "bronze:sessions_undated"]
    assert sorted(undated["session_id"]) == sorted(expected["key"])
    assert set(undated["reason"]) == {"unreadable_session_start"}


@pytest.mark.parametrize("name", SOURCES)
def test_what_the_ledger_calls_a_repair_has_the_value_of_the_clean_source(
    dirty: tuple[Project, set[str]], name: str
) -> None:
    project, _ = dirty
    lines = ledger(project, name)
    lines = lines[lines["expectation"].str.startswith("repair:")]
    processed = whole(project, f"silver/{name}_processed")
    processed = processed.set_index(processed[KEYS[name]].astype(str))
    clean = read_text(project.folder / "clean" / f"{name}.csv").set_index(KEYS[name], drop=False)
    assert len(lines) > 5
    for line in lines.itertuples():
        row, said = processed.loc[str(line.key)], clean.loc[str(line.key), str(line.column)]
        if line.column == "hotel_name":
            brand, _, city = said.rpartition(" - ")
            assert (row["hotel_brand"], row["hotel_city"]) == (brand.strip(), city)
        elif str(line.damage).endswith(("_dialect", "_boolean")):
            assert row[str(line.column)] == (said == "true")
        else:
            assert row[str(line.column)] == said


@pytest.mark.parametrize("name", SOURCES)
def test_no_row_of_a_damaged_source_is_lost(dirty: tuple[Project, set[str]], name: str) -> None:
    project, _ = dirty
    source = len(read_text(project.source / f"{name}.csv"))
    bronze = len(whole(project, f"bronze/{name}_raw"))
    undated = len(project.frame("bronze/sessions_undated")) if name == "sessions" else 0
    silver = len(whole(project, f"silver/{name}_processed"))
    assert source == bronze + undated
    assert bronze == silver + len(whole(project, f"silver/{name}_quarantine"))


@pytest.mark.parametrize("name", SOURCES)
def test_silver_tells_how_many_rows_each_rule_touched(
    dirty: tuple[Project, set[str]], name: str
) -> None:
    project, _ = dirty
    refused = whole(project, f"silver/{name}_quarantine")
    with instance_in(project.folder / "dagster") as instance:
        event = instance.get_latest_materialization_event(
            dg.AssetKey(["silver", f"{name}_quarantine"])
        )
    assert event is not None
    assert event.asset_materialization is not None
    table = event.asset_materialization.metadata["rejected"]
    assert isinstance(table, dg.TableMetadataValue)
    told = {record.data["rule"]: record.data["rows"] for record in table.records}
    assert told == dict(Counter(refused["reason"]))


# Checks


def edit(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def cast(column: str, to: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(
        table.schema.get_field_index(column), column, table[column].cast(to)
    )


def blank(column: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        position = table.schema.get_field_index(column)
        return table.set_column(position, column, pa.nulls(len(table), table[column].type))

    return change


def repeat_last(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, len(table) - 1), table.slice(0, 1)])


def drop_last(table: pa.Table) -> pa.Table:
    return table.slice(0, len(table) - 1)


def add_unexpected(table: pa.Table) -> pa.Table:
    return table.append_column("surprise", pa.nulls(len(table), pa.int64()))


STEPS: Mapping[str, str | None] = {
    **{f"{name}_{layer}_checks": None for name in SOURCES for layer in ("bronze", "silver")},
    "sessions_undated_checks": None,
    "sessions_bronze_checks": LAST,
    "sessions_silver_checks": LAST,
}
TAMPERED: list[tuple[str, str, Callable[[pa.Table], pa.Table], str]] = [
    ("users_bronze_checks", "bronze/users_raw", cast("user_id", pa.int64()), "contract"),
    ("users_bronze_checks", "bronze/users_raw", repeat_last, "primary_key"),
    ("users_bronze_checks", "bronze/users_raw", drop_last, "reconciliation"),
    ("sessions_bronze_checks", "bronze/sessions_raw", drop_last, "reconciliation"),
    ("flights_silver_checks", "silver/flights_processed", cast("seats", pa.int32()), "contract"),
    ("flights_silver_checks", "silver/flights_processed", add_unexpected, "contract"),
    ("flights_silver_checks", "silver/flights_processed", blank("destination"), "contract"),
    ("hotels_silver_checks", "silver/hotels_processed", repeat_last, "primary_key"),
    ("hotels_silver_checks", "silver/hotels_processed", drop_last, "reconciliation"),
    ("sessions_silver_checks", "silver/sessions_processed", repeat_last, "primary_key"),
    ("sessions_silver_checks", "silver/sessions_processed", drop_last, "reconciliation"),
]


@pytest.mark.parametrize(("step", "month"), STEPS.items())
def test_checks_pass_on_what_a_run_wrote(project: Project, step: str, month: str | None) -> None:
    assert check(project, step, month) == set()


@pytest.mark.parametrize(("step", "path", "change", "name"), TAMPERED)
def test_a_check_fails_on_a_table_that_was_tampered_with(
    copy: Project, step: str, path: str, change: Callable[[pa.Table], pa.Table], name: str
) -> None:
    edit(copy.file(path, STEPS[step]), change)
    # Where a stay is gone, its trip lacks it.
    gone = {f"{path}:complete"} if step == "hotels_silver_checks" else set()
    assert check(copy, step, STEPS[step]) == {f"{path}:{name}"} | gone


def test_a_session_lost_between_source_and_undated_fails_reconciliation(copy: Project) -> None:
    path = copy.source / "sessions.csv"
    sessions = read_text(path)
    sessions.loc[0, "session_start"] = "soon"
    write_text(sessions, path)
    failed = check(copy, "sessions_undated_checks")
    assert failed == {"bronze/sessions_undated:reconciliation"}


def test_a_source_that_changes_during_the_run_stops_silver(copy: Project) -> None:
    """The blocking check of bronze fails, so nothing after it is materialised in that run."""
    before = contents(copy)
    path = copy.source / "flights.csv"
    grown = path.read_text() + path.read_text().splitlines()[-1] + "\n"

    @dg.success_hook
    def grow(_: dg.HookContext) -> None:
        path.write_text(grown, encoding="utf-8")

    job = copy.definitions.resolve_job_def(INGEST).with_hooks({grow})
    result = job.execute_in_process(
        asset_selection=[
            dg.AssetKey(["bronze", "flights_raw"]),
            dg.AssetKey(["silver", "flights_processed"]),
            dg.AssetKey(["silver", "flights_quarantine"]),
        ],
        raise_on_error=False,
    )
    assert not result.success
    assert failed_checks(result) == {"bronze/flights_raw:reconciliation"}
    materialized = {asset for asset, _ in versions(result)}
    assert materialized == {"bronze/flights_raw"}
    assert contents(copy) == before

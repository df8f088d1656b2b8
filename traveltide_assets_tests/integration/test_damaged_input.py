"""Incomplete or damaged input stops the decision before gold, whichever way gold is computed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from traveltide_assets.connections.locations import PostgresLocation, S3Location
from traveltide_assets.defs.checks.check import Context
from traveltide_assets.defs.checks.gaps import missing_rows
from traveltide_assets.defs.jobs import INGEST
from traveltide_assets.defs.tags import without
from traveltide_assets.resources import open_lake
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets_tests.support.database import load
from traveltide_assets_tests.support.postgres_server import PostgresServer
from traveltide_assets_tests.support.project import (
    Project,
    failed_checks,
    failure,
    instance_in,
    succeed,
)
from traveltide_assets_tests.support.s3_server import S3Server

FIRST, LAST = "2023-06", "2023-07"
BOUNDS = {"first": FIRST, "last": LAST}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound source of two months."""
    folder = tmp_path_factory.mktemp("sound") / "source"
    write_sample(folder, SampleSpec(users=250, seed=5, active_share=0.8))
    sessions = read(folder, "sessions")
    sessions = sessions[sessions["session_start"].str[:7].between(FIRST, LAST)]
    write(folder, "sessions", sessions)
    for name in ("flights", "hotels"):
        rows = read(folder, name)
        write(folder, name, rows[rows["trip_id"].isin(sessions["trip_id"])])
    return folder


@pytest.fixture
def project(tmp_path: Path, clean: Path) -> Project:
    """A project on a copy of the sound source, not ingested yet."""
    shutil.copytree(clean, tmp_path / "source")
    return Project(tmp_path, tmp_path / "source", partitions=BOUNDS)


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)


def write(folder: Path, name: str, rows: pd.DataFrame) -> None:
    rows.to_csv(folder / f"{name}.csv", index=False)


def changed(name: str, column: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        rows = read(folder, name)
        write(folder, name, rows.assign(**{column: rows[column].map(change)}))

    return damage


def cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        rows = read(folder, name)
        write(folder, name, rows.head(int(len(rows) * share)))

    return damage


def a_second_file(folder: Path) -> None:
    """Twelve rows among hundreds, in a dialect of their own."""
    rows = read(folder, "flights")
    write(folder, "flights", rows.head(len(rows) - 12))
    fares = rows["base_fare_usd"].str.replace(".", ",")
    write(folder, "flights-2", rows.assign(base_fare_usd=fares).tail(12))


def us_date(day: str) -> str:
    return f"{day[5:7]}/{day[8:10]}/{day[:4]}"


def a_thousand(fare: str) -> str:
    return f"{float(fare):,.2f}" if float(fare) >= 1_000 else fare


def shifted(name: str, column: str) -> Callable[[Path], None]:
    """Every value of a column moves to the next row."""

    def damage(folder: Path) -> None:
        rows = read(folder, name)
        write(folder, name, rows.assign(**{column: np.roll(rows[column].to_numpy(), 1)}))

    return damage


def swapped(name: str, one: str, other: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        rows = read(folder, name)
        write(folder, name, rows.rename(columns={one: other, other: one}))

    return damage


def two_years_later(time: str) -> str:
    return time and f"{int(time[:4]) + 2}{time[4:]}"


DAMAGES: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "flights cut": (cut("flights", 0.5), "flights_processed:complete", ["flights", "such as"]),
    "no hotels": (cut("hotels", 0), "hotels_processed:not_empty", ["hotels", "without any row"]),
    "US dates": (
        changed("users", "birthdate", us_date),
        "users_processed:readable",
        ["birthdate", "US dates"],
    ),
    "the dearest flights": (
        changed("flights", "base_fare_usd", a_thousand),
        "flights_processed:formats",
        ["base_fare_usd", "between thousands", "checks.block_format_share"],
    ),
    "NULL": (
        changed("sessions", "page_clicks", lambda _: "NULL"),
        "sessions_processed:readable",
        ["page_clicks", "'NULL'", "empty value"],
    ),
    "one file": (
        a_second_file,
        "flights_processed:readable",
        ["flights-2.csv", "base_fare_usd", "decimal comma"],
    ),
    "discounts denied": (
        changed("sessions", "flight_discount", lambda flag: "false"),
        "sessions_processed:consistent",
        ["flight_discount that its amount denies", "checks.block_contradiction_share"],
    ),
    "flights of another trip": (
        shifted("flights", "trip_id"),
        "flights_processed:consistent",
        ["before they are booked", "trip_id belongs to other rows"],
    ),
    "users' ids a row further": (
        shifted("users", "user_id"),
        "flights_processed:consistent",
        ["elsewhere than at the home airport", "user_id of users"],
    ),
    "check-in for check-out": (
        swapped("hotels", "check_in_time", "check_out_time"),
        "hotels_processed:consistent",
        ["end before they begin", "are swapped"],
    ),
    "rooms for dollars": (
        swapped("hotels", "rooms", "hotel_per_room_usd"),
        "hotels_processed:consistent",
        ["more rooms than a room costs", "are swapped"],
    ),
    "flights of later years": (
        lambda folder: [
            changed("flights", column, two_years_later)(folder)
            for column in ("departure_time", "return_time")
        ],
        "hotels_processed:consistent",
        ["before or after the flight"],
    ),
}


def problem(result: dg.ExecuteInProcessResult, check: str) -> str:
    (found,) = [
        evaluation.metadata["problem"].value
        for evaluation in result.get_asset_check_evaluations()
        if f"{evaluation.asset_key.path[-1]}:{evaluation.check_name}" == check
    ]
    return str(found)


def decides_nothing(project: Project) -> str:
    """A run of gold alone, as a schedule or the UI starts it, fails. Returns its message."""
    result = project.assign(LAST)
    assert not result.success
    assert not (project.lake / "gold" / "users_final").exists()
    assert not (project.lake / "gold" / "perk_assignments").exists()
    return failure(result)


@pytest.mark.parametrize(("damage", "check", "words"), DAMAGES.values(), ids=list(DAMAGES))
def test_damage_stops_ingestion_and_every_later_run_of_gold(
    project: Project, damage: Callable[[Path], object], check: str, words: list[str]
) -> None:
    damage(project.source)
    result = project.ingest(FIRST, LAST)
    assert not result.success
    assert f"silver/{check}" in failed_checks(result)
    said = problem(result, check)
    for word in words:
        assert word in said
    of_gold = decides_nothing(project)
    if check.endswith((":complete", ":formats", ":consistent")):
        assert f"{LAST} is not decided" in of_gold
        assert said in of_gold


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], S3Location | PostgresLocation]:
    """Brings the tables of a folder to another kind of source, `s3` or `postgres`."""
    if request.param == "s3":
        s3_server: S3Server = request.getfixturevalue("s3_server")
        for name, value in s3_server.environment.items():
            monkeypatch.setenv(name, value)

        def uploaded(folder: Path) -> S3Location:
            place = S3Location(s3_server.bucket(), "delivered")
            s3_server.upload(folder, place)
            return place

        return uploaded
    database: PostgresServer = request.getfixturevalue("postgres_server")

    def loaded(folder: Path) -> PostgresLocation:
        url = database.create_database()
        load(url, folder)
        return PostgresLocation(url)

    return loaded


NO_CLICKS = changed("sessions", "page_clicks", lambda _: "")


@pytest.mark.parametrize(
    ("elsewhere", "damage", "check", "words"),
    [
        ("s3", cut("hotels", 0.5), "hotels_processed:complete", "hotels"),
        ("s3", NO_CLICKS, "sessions_processed:readable", "page"),
        ("postgres", NO_CLICKS, "sessions_processed:readable", "page"),
        ("postgres", cut("flights", 0), "flights_processed:not_empty", "without any row"),
    ],
    indirect=["elsewhere"],
)
def test_damage_stops_the_decision_whatever_the_source_is(
    tmp_path: Path,
    clean: Path,
    elsewhere: Callable[[Path], S3Location | PostgresLocation],
    damage: Callable[[Path], None],
    check: str,
    words: str,
) -> None:
    folder = tmp_path / "source"
    shutil.copytree(clean, folder)
    damage(folder)
    project = Project(tmp_path, elsewhere(folder), partitions=BOUNDS)
    result = project.ingest(FIRST, LAST)
    assert not result.success
    assert words in problem(result, check)
    decides_nothing(project)


def test_a_column_that_says_nothing_is_named(project: Project) -> None:
    changed("users", "has_children", lambda _: "")(project.source)
    result = project.ingest(FIRST, LAST)
    succeed(result)
    assert "has_children (always false)" in problem(result, "users_processed:varied")


def test_a_few_missing_rows_only_warn(tmp_path: Path, project: Project) -> None:
    rows = read(project.source, "hotels")
    write(project.source, "hotels", rows.head(len(rows) - 1))
    tolerant = Project(
        tmp_path, project.source, partitions=BOUNDS, checks={"max_missing_share": 0.1}
    )
    result = tolerant.ingest(FIRST, LAST)
    succeed(result)
    gone = rows["trip_id"].iloc[-1]
    if gone in set(read(project.source, "sessions")["trip_id"]):
        assert "silver/hotels_processed:complete" in failed_checks(result)


def test_a_source_that_has_lost_many_rows_is_not_taken(tmp_path: Path, project: Project) -> None:
    succeed(project.ingest(FIRST, LAST))
    before = {path: path.read_bytes() for path in project.lake.rglob("*.parquet")}
    cut("sessions", 0.5)(project.source)
    for _ in range(2):
        result = project.ingest(FIRST, LAST)
        assert not result.success
        assert "fewer rows than at the last ingest" in failure(result)
        assert "TRAVELTIDE_CHECKS__MAX_ROW_LOSS" in failure(result)
    assert {path: path.read_bytes() for path in project.lake.rglob("*.parquet")} == before

    # The trips of the sessions that were removed are there still.
    left = {"block_orphan_share": 1}
    once, later = (
        Project(tmp_path, project.source, partitions=BOUNDS, checks=left | more)
        for more in ({"max_row_loss": 1}, {})
    )
    result = once.ingest(FIRST, LAST)
    succeed(result)
    assert "bronze/sessions_raw:no_fewer_rows" in failed_checks(result)
    result = later.ingest(FIRST, LAST)
    succeed(result)
    assert "bronze/sessions_raw:no_fewer_rows" not in failed_checks(result)


def test_the_landing_sensor_goes_on_without_a_damaged_file(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    succeed(project.ingest(FIRST, LAST))
    (sensor,) = [s for s in project.definitions.sensors or () if s.name == "landing"]
    assert isinstance(sensor, dg.SensorDefinition)

    def tick(cursor: str | None) -> Any:
        with (
            instance_in(project.folder / "dagster") as instance,
            dg.build_sensor_context(instance=instance, cursor=cursor) as context,
        ):
            return sensor.evaluate_tick(context)

    switched_on = tick(None)
    assert not switched_on.run_requests, "all of it has been ingested"

    (project.source / "sessions-2.csv").write_text("session_id,user_id\n1-x,1\n", "utf-8")
    write(project.source, "users", read(project.source, "users"))
    found = tick(switched_on.cursor)
    (request,) = list(found.run_requests)
    assert without(request.tags) == ("sessions-2.csv",)
    assert "sessions-2.csv" in caplog.text, "without a webhook, alerts are logged"
    with instance_in(project.folder / "dagster") as instance:
        result = project.definitions.resolve_job_def(INGEST).execute_in_process(
            instance=instance,
            tags=dict(request.tags),
            asset_selection=list(request.asset_selection or ()),
            raise_on_error=False,
        )
    succeed(result)

    again = tick(found.cursor)
    assert not again.run_requests
    assert "sessions-2.csv" in str(again.skip_message)


# The small inputs that once went wrong

CASES = {
    "flights_decimal_comma": ("flights_processed:readable", ["flights", "decimal comma"]),
    "hotels_truncated": ("hotels_processed:complete", ["361 of 710", "hotels"]),
    "scientific_ids": ("users_processed:readable", ["user_id", "scientific notation"]),
    "sessions_times_zone_or_us": ("sessions_processed:readable", ["session_start", "zone"]),
}


@pytest.mark.parametrize(("case", "check", "words"), [(k, *v) for k, v in CASES.items()])
def test_a_case_that_once_decided_in_silence_decides_nothing(
    tmp_path: Path, cases: Path, case: str, check: str, words: list[str]
) -> None:
    shutil.copytree(cases / "base300", tmp_path / "source")
    shutil.copytree(cases / case, tmp_path / "source", dirs_exist_ok=True)
    project = Project(tmp_path, tmp_path / "source", partitions={"first": "2023-01"})
    result = project.ingest("2023-01", LAST)
    assert not result.success
    for word in words:
        assert word in problem(result, check)
    decides_nothing(project)


@pytest.mark.parametrize(
    ("left", "check", "words"),
    [
        (0, "sessions_processed:no_empty_month", "sessions has no row in 2023-05"),
        (
            3,
            "flights_processed:no_orphans",
            "flights are of trips that no session books",
        ),
    ],
)
def test_a_month_without_its_sessions_decides_nothing(
    tmp_path: Path, cases: Path, left: int, check: str, words: str
) -> None:
    shutil.copytree(cases / "base300", tmp_path / "source")
    rows = read(tmp_path / "source", "sessions")
    of_may = rows["session_start"].str[:7] == "2023-05"
    write(tmp_path / "source", "sessions", rows.drop(index=rows.index[of_may][left:]))
    project = Project(tmp_path, tmp_path / "source", partitions={"first": "2023-01", "last": LAST})
    result = project.ingest("2023-01", LAST)
    assert not result.success
    assert words in problem(result, check)
    assert words in decides_nothing(project)


def test_months_that_are_left_to_ingest_are_named_for_trips_that_no_session_books(
    project: Project,
) -> None:
    result = project.ingest(LAST, LAST)
    succeed(result)
    said = problem(result, "flights_processed:no_orphans")
    assert said.endswith(f"Sessions that book them may be left to ingest: those of {FIRST}")


@pytest.mark.parametrize(
    ("flag", "value", "table", "what"),
    [
        ("hotel_booked", "false", "hotels", "hotel stays"),
        ("cancellation", "true", "flights", "flights"),
    ],
)
def test_flags_that_deny_what_was_booked_decide_nothing(
    tmp_path: Path, cases: Path, flag: str, value: str, table: str, what: str
) -> None:
    shutil.copytree(cases / "base300", tmp_path / "source")
    rows = read(tmp_path / "source", "sessions")
    rows.loc[rows["trip_id"] != "", flag] = value
    write(tmp_path / "source", "sessions", rows)
    project = Project(tmp_path, tmp_path / "source", partitions={"first": "2023-01", "last": LAST})
    result = project.ingest("2023-01", LAST)
    assert not result.success
    words = f"{what} are of trips that no session books"
    assert words in problem(result, f"{table}_processed:no_orphans")
    assert words in decides_nothing(project)


def test_sessions_of_another_user_decide_nothing(tmp_path: Path, cases: Path) -> None:
    shutil.copytree(cases / "base300", tmp_path / "source")
    shifted("sessions", "user_id")(tmp_path / "source")
    project = Project(tmp_path, tmp_path / "source", partitions={"first": "2023-01", "last": LAST})
    result = project.ingest("2023-01", LAST)
    assert not result.success
    words = "28 of 28 cancellations are of trips that another customer booked"
    assert words in problem(result, "sessions_processed:consistent")
    assert words in decides_nothing(project)


@pytest.mark.parametrize(("damaged", "blocks"), [(0, True), (9, False)])
def test_users_cut_short_decide_nothing(
    tmp_path: Path, cases: Path, damaged: int, blocks: bool
) -> None:
    """A few users without a row stop the decision, unless damaged rows may be theirs."""
    shutil.copytree(cases / "base300", tmp_path / "source")
    rows = read(tmp_path / "source", "users")
    rows.loc[rows.index[-9:][:damaged], "user_id"] = "9e5"
    write(tmp_path / "source", "users", rows if damaged else rows[:-9])
    overrides = {"checks": {"block_format_share": 1.0}, "partitions": {"first": "2023-01"}}
    project = Project(tmp_path, tmp_path / "source", **overrides)
    result = project.ingest("2023-01", LAST)
    assert result.success is not blocks
    assert ("silver/sessions_processed:known_users" in failed_checks(result)) is blocks
    if blocks:
        words = "sessions are of users who have no row in users"
        assert words in problem(result, "sessions_processed:known_users")
        assert words in decides_nothing(project)


def test_months_may_be_restricted(tmp_path: Path, cases: Path) -> None:
    """Sessions outside the months name most of the trips; they were delivered all the same."""
    project = Project(tmp_path, cases / "base300", partitions={"first": "2023-06", "last": LAST})
    result = project.ingest("2023-06", LAST)
    succeed(result)
    for name in ("flights", "hotels"):
        assert f"silver/{name}_processed:foreign_key" in failed_checks(result)
        assert f"silver/{name}_processed:no_orphans" not in failed_checks(result)


@pytest.mark.parametrize("customers", [1, 5])
def test_too_few_customers_are_counted(tmp_path: Path, cases: Path, customers: int) -> None:
    source = cases / "cohort_of_1_3_5" / f"cohort_{customers}"
    project = Project(tmp_path, source, partitions={"first": "2023-01"})
    succeed(project.ingest("2023-01", LAST))
    result = project.materialize("gold/users_final", LAST)
    assert not result.success
    (found,) = [
        evaluation.metadata["problem"].value
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "large_enough"
    ]
    assert "at least 11 are needed" in str(found)


def test_no_booked_trip_of_the_real_cohort_lacks_its_row(real_project: Project) -> None:
    lake = open_lake(real_project.settings)
    months = tuple(lake.months("silver/sessions_processed"))
    seen = Context(lake.tables, lake, real_project.settings, (), months, months)
    for name, booked in (("flights", 13_710), ("hotels", 14_309)):
        found = missing_rows(name, seen)
        assert (found.booked, found.missing) == (booked, 0)

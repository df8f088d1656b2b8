"""A PostgreSQL database is the source, and the server may fail, change or refuse meanwhile."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import dagster as dg
import pyarrow.parquet as pq
import pytest

from traveltide_assets.connections.config import Config as Postgres
from traveltide_assets.connections.locations import PostgresLocation
from traveltide_assets.connections.postgres import ConnectionLost, connect
from traveltide_assets.defs.jobs import INGEST
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.resources import open_source
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.settings import Settings, load_settings
from traveltide_assets.sources.base import Run, Source, SourceError
from traveltide_assets.sources.database import identity_of
from traveltide_assets_tests.support.database import create_tables, execute, generate_sessions, load
from traveltide_assets_tests.support.postgres_server import PASSWORD, PostgresServer
from traveltide_assets_tests.support.project import Project, failed_checks, failure

FIRST, LAST = "2023-05", "2023-07"
BOUNDS = {"first": FIRST, "last": LAST}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated source of CSV files, half of its sessions before the first month."""
    folder = tmp_path_factory.mktemp("csv") / "sample"
    write_sample(folder, SampleSpec(users=300, seed=11, active_share=0.5))
    return folder


@pytest.fixture(scope="module")
def loaded(postgres_server: PostgresServer, folder: Path) -> str:
    """The same in a database. Do not change it."""
    url = postgres_server.create_database()
    load(url, folder)
    return url


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory, loaded: str) -> Project:
    """The database, ingested in one run. Do not change it."""
    made = project(tmp_path_factory.mktemp("ingested"), loaded)
    assert made.ingest(FIRST, LAST).success
    return made


@pytest.fixture
def empty(postgres_server: PostgresServer) -> str:
    """A database with empty tables."""
    url = postgres_server.create_database()
    create_tables(url)
    return url


def project(folder: Path, source: str | Path) -> Project:
    folder.mkdir(exist_ok=True)
    place = PostgresLocation(source) if isinstance(source, str) else source
    return Project(folder, place, partitions=BOUNDS)


def source(folder: Path, url: str, run: str = "run", month: str = LAST, **patience: int) -> Source:
    settings = Settings(
        source=PostgresLocation(url), home=folder, partitions=BOUNDS, postgres=patience
    )
    return open_source(settings, DuckDB(folder / "scratch"), Run(run, (month, month)))


def rows(table_of: Source, name: str) -> int:
    return int(table_of.table(name).count().to_pyarrow().as_py())


def files(lake: Path, layer: str) -> dict[str, bytes]:
    """The files of a layer, without the name of the source's file in their paths."""
    found = sorted((lake / layer).rglob("*.parquet"))
    return {
        re.sub("file=[^/]*/", "", str(path.relative_to(lake))): path.read_bytes() for path in found
    }


# The same data


def test_silver_is_that_of_the_csv_source_byte_for_byte(
    tmp_path: Path, ingested: Project, folder: Path
) -> None:
    csv = project(tmp_path, folder)
    assert csv.ingest(FIRST, LAST).success
    assert files(ingested.lake, "silver") == files(csv.lake, "silver")
    assert len(files(csv.lake, "silver")) == 4 * 2 + 3 * 2


def test_silver_of_the_real_cohort_is_that_of_its_csv_files_byte_for_byte(
    tmp_path: Path, postgres_server: PostgresServer, real_source: Path
) -> None:
    url = postgres_server.create_database()
    load(url, real_source)
    database, csv = project(tmp_path / "database", url), project(tmp_path / "csv", real_source)
    assert database.ingest(FIRST, LAST).success
    assert csv.ingest(FIRST, LAST).success
    assert files(database.lake, "silver") == files(csv.lake, "silver")


def test_a_month_alone_extracts_its_sessions_only_and_gives_the_file_of_the_range(
    tmp_path: Path, loaded: str, ingested: Project
) -> None:
    alone = project(tmp_path, loaded)
    result = alone.definitions.resolve_job_def(INGEST).execute_in_process(
        partition_key=LAST, asset_selection=[dg.AssetKey(["bronze", "sessions_raw"])]
    )
    assert failed_checks(result) == set()
    path = ("bronze/sessions_raw", LAST)
    assert alone.file(*path).read_bytes() == ingested.file(*path).read_bytes()
    month, undated = sorted((tmp_path / "home/staging/postgres").glob("*/sessions/*.parquet"))
    assert (month.stem, undated.stem) == (LAST, "undated")
    starts = pq.read_table(month)["session_start"].to_pylist()
    assert {start[:7] for start in starts} == {LAST}


def test_what_an_application_writes_is_read_as_it_stands(tmp_path: Path, empty: str) -> None:
    execute(empty, "ALTER TABLE hotels RENAME hotel_per_room_usd TO hotel_price_per_room_night")
    execute(empty, 'ALTER TABLE hotels ADD "Loyalty ""Card""" text, ADD month text')
    execute(empty, "ALTER DATABASE {} SET datestyle TO 'German'".format(empty.rsplit("/", 1)[1]))
    execute(
        empty,
        "INSERT INTO hotels VALUES ('1-t', %s, -1, 2, '2023-07-09 16:00:00.5', %s, 0.10, 'é', 'm')",
        "Hôtel  - 'x'\n",
        "2023-07-10 11:00",
    )
    (row,) = source(tmp_path, empty).table("hotels").to_pyarrow().to_pylist()
    assert row == {
        "trip_id": "1-t",
        "hotel_name": "Hôtel  - 'x'\n",
        "nights": "-1",
        "rooms": "2",
        "check_in_time": "2023-07-09 16:00:00.5",
        "check_out_time": "2023-07-10 11:00:00",
        "hotel_per_room_usd": "0.10",
        "loyalty_card_": "é",
        "month_in_source": "m",
        "source_file": "hotels",
        "source_row": 1,
        "source_order": 1,
    }


def test_responses_are_read_where_the_database_has_them(tmp_path: Path, empty: str) -> None:
    assert rows(source(tmp_path, empty, "before"), "responses") == 0
    execute(
        empty,
        "CREATE TABLE responses (user_id integer, offer text, event text, at timestamp, "
        "value_usd numeric, channel text)",
    )
    execute(
        empty,
        "INSERT INTO responses VALUES (2, 'bag', 'clicked', '2023-07-02 08:00', NULL, 'app'), "
        "(1, 'bag', 'redeemed', '2023-07-01 09:30', 12.50, 'mail')",
    )
    found = source(tmp_path, empty, "after")
    assert found.counts("responses", []) == {None: 2}
    first, second = found.table("responses").order_by("source_row").to_pyarrow().to_pylist()
    assert (first["at"], first["value_usd"]) == ("2023-07-01 09:30:00", "12.50")
    assert (second["user_id"], second["channel"], second["source_row"]) == ("2", "app", 2)
    execute(empty, "ALTER TABLE responses DROP COLUMN at")
    with pytest.raises(SourceError, match="table responses lacks the required column at"):
        source(tmp_path, empty, "damaged").table("users")


def test_sessions_without_a_month_are_those_outside_the_bounds(tmp_path: Path, empty: str) -> None:
    starts = ["2023-04-30 23:59:59.999999", "2023-05-01", "2023-07-31 23:59:59.9", "2023-08-01"]
    for number, start in enumerate([*starts, None, "infinity"]):
        execute(
            empty,
            "INSERT INTO sessions (session_id, session_start) VALUES (%s, %s)",
            str(number),
            start,
        )
    read = source(tmp_path, empty)
    found = read.table("sessions").order_by("session_id").to_pyarrow().to_pylist()
    assert {row["session_id"]: row["source_file"] for row in found} == {
        **dict.fromkeys("0345", "sessions/undated"),
        "2": f"sessions/{LAST}",
    }
    assert read.counts("sessions", []) == {None: 6}
    assert read.counts("sessions", [FIRST, "2023-06", LAST]) == {FIRST: 1, "2023-06": 0, LAST: 1}


# One snapshot


def test_all_steps_of_a_run_see_the_database_as_of_one_moment(
    tmp_path: Path, postgres_server: PostgresServer, folder: Path, ingested: Project
) -> None:
    url = postgres_server.create_database()
    load(url, folder)
    before = {name: execute(url, f"SELECT count(*) FROM {name}")[0][0] for name in SOURCES}

    @dg.success_hook
    def grow(_: dg.HookContext) -> None:
        new = str(time.monotonic_ns())
        execute(url, "INSERT INTO sessions (session_id, session_start) VALUES (%s, now())", new)
        execute(url, "INSERT INTO flights (trip_id) VALUES (%s)", new)
        execute(url, "DELETE FROM hotels WHERE trip_id = (SELECT min(trip_id) FROM hotels)")
        execute(url, "UPDATE users SET married = NOT married")

    database = project(tmp_path, url)
    job = database.definitions.resolve_job_def(INGEST).with_hooks({grow})
    result = job.execute_in_process(partition_key=LAST)
    assert execute(url, "SELECT count(*) FROM flights")[0][0] > before["flights"]
    assert not [check for check in failed_checks(result) if "reconciliation" in check]
    for name in ("users", "flights", "hotels"):
        assert len(database.frame(f"bronze/{name}_raw")) == before[name]
    silver = files(database.lake, "silver")
    assert len(silver) == 4 * 2 + 2
    assert silver.items() <= files(ingested.lake, "silver").items()


def test_the_next_run_sees_what_has_changed(tmp_path: Path, empty: str) -> None:
    assert rows(source(tmp_path, empty, run="first"), "users") == 0
    execute(empty, "INSERT INTO users (user_id) VALUES (1)")
    assert rows(source(tmp_path, empty, run="first"), "users") == 0
    assert rows(source(tmp_path, empty, run="second"), "users") == 1


def test_processes_of_one_run_extract_once(tmp_path: Path, empty: str) -> None:
    generate_sessions(empty, 50_000)
    program = """
import logging, sys
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.settings import load_settings
from traveltide_assets.resources import open_source
from traveltide_assets.sources.base import Run
logging.basicConfig(level="INFO")
settings = load_settings()
source = open_source(settings, DuckDB(settings.home / sys.argv[1]), Run("run", ("2023-07",) * 2))
print(source.table("sessions").count().to_pyarrow().as_py())
"""
    environment = {**os.environ, "TRAVELTIDE_SOURCE": empty, "TRAVELTIDE_HOME": str(tmp_path)}
    steps = [
        subprocess.Popen(
            [sys.executable, "-c", program, name],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    said = [step.communicate(timeout=60) for step in steps]
    assert [step.returncode for step in steps] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert sum(err.count("reading sessions of") for _, err in said) == 1


def test_what_old_runs_staged_is_removed(tmp_path: Path, empty: str) -> None:
    source(tmp_path, empty, run="old").table("users")
    source(tmp_path, empty, run="recent").table("users")
    staging = tmp_path / "staging/postgres"
    yesterday = time.time() - 24 * 3600
    for path in (staging / "old", staging / "old.lock"):
        os.utime(path, (yesterday, yesterday))
    source(tmp_path, empty, run="new").table("users")
    assert {path.name for path in staging.iterdir() if path.is_dir()} == {"recent", "new"}


# A server that fails


@pytest.mark.parametrize("fail", [PostgresServer.kill, PostgresServer.stop])
def test_a_server_that_goes_down_in_mid_extraction_and_comes_back_loses_and_repeats_nothing(
    tmp_path: Path,
    postgres_server: PostgresServer,
    empty: str,
    fail: Callable[[PostgresServer], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = 400_000
    generate_sessions(empty, count)
    expected = execute(
        empty, "SELECT count(*) FROM sessions WHERE session_start >= %s", f"{FIRST}-01"
    )[0][0]
    staging = tmp_path / "staging/postgres"

    def interrupt() -> None:
        while not [*staging.glob(".*/raw/sessions.parquet")]:
            time.sleep(0.005)
        fail(postgres_server)
        postgres_server.start()

    settings = Settings(source=PostgresLocation(empty), home=tmp_path, partitions=BOUNDS)
    with caplog.at_level(logging.INFO), ThreadPoolExecutor() as pool:
        interrupted = pool.submit(interrupt)
        try:
            opened = open_source(settings, DuckDB(tmp_path / "scratch"), Run("run", (FIRST, LAST)))
            sessions = opened.table("sessions")
        finally:
            # Says why, where the server has not come back.
            interrupted.result(timeout=60)
    assert "attempt 1 of 6 failed" in caplog.text
    assert [path.name for path in staging.iterdir() if path.is_dir()] == ["run"]
    dated = sessions.filter(sessions.month >= FIRST)
    assert int(dated.count().to_pyarrow().as_py()) == expected
    assert int(dated.session_id.nunique().to_pyarrow().as_py()) == expected
    assert opened.counts("sessions", []) == {None: count}


def test_no_worker_of_a_query_can_go_down_before_its_session(empty: str) -> None:
    """Its end would read like a refusal; the server as such would have workers here."""
    database = empty.rsplit("/", 1)[1]
    for name in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
        execute(empty, f"ALTER DATABASE {database} SET {name} = 0")
    generate_sessions(empty, 10_000)
    execute(
        empty,
        """
        CREATE FUNCTION plan() RETURNS SETOF text AS $$ BEGIN
            RETURN QUERY EXECUTE 'EXPLAIN SELECT * FROM sessions';
        END $$ LANGUAGE plpgsql
        """,
    )
    plan = "SELECT plan FROM plan()"
    assert any("Workers" in line for (line,) in execute(empty, plan))
    with connect(PostgresLocation(empty), Postgres()) as session:
        assert not any("Workers" in str(line) for (line,) in session.rows(plan))


def test_a_server_that_stays_away_is_an_error_after_the_last_attempt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"postgresql://ana:{PASSWORD}@127.0.0.1:1/travel"
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:1/travel.*refused.*2 attempts"):
        source(tmp_path, url, attempts=2).table("users")
    assert PASSWORD not in caplog.text


def test_a_step_whose_server_has_stayed_away_too_long_is_run_again(
    tmp_path: Path, postgres_server: PostgresServer, loaded: str
) -> None:
    made = Project(tmp_path, PostgresLocation(loaded), partitions=BOUNDS, postgres={"attempts": 1})
    postgres_server.stop()

    def come_back_once_missed() -> None:
        while not list((tmp_path / "home" / "staging" / "postgres").glob("*.lock")):
            time.sleep(0.1)
        # It is asked right after that, and the step waits five seconds then, more or less.
        time.sleep(2)
        postgres_server.start()

    coming = Thread(target=come_back_once_missed)
    coming.start()
    try:
        result = made.ingest(FIRST, LAST)
    finally:
        coming.join()
    assert result.success, failure(result)
    assert any(event.is_step_up_for_retry for event in result.all_events)


def wrong_password(url: str) -> str:
    return url.replace(PASSWORD, f"{PASSWORD}%21")


def wrong_database(url: str) -> str:
    return f"{url}_absent"


def wrong_option(url: str) -> str:
    return f"{url}?colour=blue"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (wrong_password, "password authentication failed"),
        (wrong_database, "_absent"),
        (wrong_option, "colour"),
    ],
)
def test_a_database_that_refuses_is_asked_once(
    tmp_path: Path, empty: str, spoil: Callable[[str], str], said: str
) -> None:
    with pytest.raises(SourceError) as error:
        source(tmp_path, spoil(empty)).table("users")
    assert said in str(error.value)
    assert "attempts" not in str(error.value)
    assert PASSWORD not in str(error.value)


def test_a_statement_that_takes_too_long_is_cancelled(tmp_path: Path, empty: str) -> None:
    generate_sessions(empty, 1000)
    execute(empty, "ALTER TABLE sessions RENAME TO visits")
    execute(
        empty, "CREATE VIEW sessions AS SELECT visits.* FROM visits, pg_sleep(0.01 * page_clicks)"
    )
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"statement timeout.*postgres\.statement_timeout"):
        source(tmp_path, empty, statement_timeout_seconds=1).table("users")
    assert time.monotonic() - started < 5
    assert not list((tmp_path / "staging/postgres").glob("run/*"))


@pytest.mark.parametrize("code", ["division_by_zero", "object_not_in_prerequisite_state"])
def test_a_row_that_the_server_cannot_give_is_an_error_at_once(
    tmp_path: Path, empty: str, code: str
) -> None:
    count = 100_000
    generate_sessions(empty, count)
    execute(
        empty,
        f"""
        CREATE FUNCTION checked(id bigint) RETURNS bigint AS $$ BEGIN
            IF id = {count // 5} THEN RAISE 'row %%', id USING ERRCODE = '{code}'; END IF;
            RETURN id;
        END $$ LANGUAGE plpgsql
        """,
    )
    execute(empty, "ALTER TABLE sessions RENAME TO visits")
    execute(empty, "ALTER TABLE visits RENAME user_id TO visitor")
    execute(empty, "CREATE VIEW sessions AS SELECT *, checked(visitor) AS user_id FROM visits")
    with pytest.raises(SourceError, match="row 20000"):
        source(tmp_path, empty).table("users")


# A schema that is not the contract's


def test_everything_that_a_schema_lacks_is_told_at_once(tmp_path: Path, empty: str) -> None:
    execute(empty, "DROP TABLE flights")
    execute(empty, "ALTER TABLE hotels DROP rooms, DROP nights")
    execute(empty, "ALTER TABLE users ALTER sign_up_date TYPE timestamptz")
    execute(empty, "ALTER TABLE sessions ALTER session_start TYPE text")
    with pytest.raises(SourceError) as error:
        source(tmp_path, empty).table("users")
    for words in (
        "no table flights on the search path",
        "table hotels lacks the required columns nights, rooms",
        "users.sign_up_date has a time zone",
        "sessions.session_start is text",
    ):
        assert words in str(error.value)
    assert "SELECT" not in str(error.value)


@pytest.mark.parametrize(
    ("table", "column", "kind", "said"),
    [
        ("flights", "base_fare_usd", "money", '"base_fare_usd"::numeric AS base_fare_usd'),
        ("hotels", "hotel_per_room_usd", "money", '"hotel_per_room_usd"::numeric'),
        ("hotels", "rooms", "boolean", '"rooms"::bigint'),
        ("hotels", "check_in_time", "timestamptz", "\"check_in_time\" AT TIME ZONE 'UTC'"),
        ("hotels", "nights", "interval", '"nights"::bigint'),
        ("flights", "departure_time", "time", '"departure_time"::timestamp'),
        ("flights", "trip_airline", "bytea", '"trip_airline"::text'),
        ("sessions", "page_clicks", "integer[]", '"page_clicks"::bigint'),
        ("users", "married", "date", '"married"::boolean'),
        ("users", "birthdate", "integer", '"birthdate"::date'),
        ("users", "user_id", "real", "rounds ids"),
        ("users", "home_airport_lat", "point", '"home_airport_lat"::numeric'),
    ],
)
def test_a_type_of_which_every_row_would_be_refused_is_named_with_the_cast(
    tmp_path: Path, postgres_server: PostgresServer, table: str, column: str, kind: str, said: str
) -> None:
    url = postgres_server.create_database()
    create_tables(url, {column: kind})
    with pytest.raises(SourceError) as error:
        source(tmp_path, url).table("users")
    assert f"{table}.{column} " in str(error.value)
    assert said in str(error.value)


def test_domains_enumerations_and_other_numbers_are_read_as_what_they_are(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.create_database()
    execute(url, "CREATE DOMAIN positive AS numeric(9, 2); CREATE DOMAIN price AS positive")
    execute(url, "CREATE TYPE sex AS ENUM ('F', 'M')")
    types = {"base_fare_usd": "price", "gender": "sex", "seats": "numeric", "married": "bit(1)"}
    create_tables(url, types)
    execute(url, "INSERT INTO users (user_id, gender, married) VALUES (1, 'F', '1')")
    (user,) = source(tmp_path, url).table("users").to_pyarrow().to_pylist()
    assert (user["gender"], user["married"]) == ("F", "1")


@pytest.mark.parametrize("name", SOURCES)
def test_a_policy_that_hides_rows_is_an_error_and_one_that_does_not_apply_is_none(
    tmp_path: Path, postgres_server: PostgresServer, empty: str, name: str
) -> None:
    role = f"role_{empty.rsplit('_', 1)[1]}"
    execute(empty, f"CREATE ROLE {role} LOGIN PASSWORD %s", PASSWORD)
    execute(empty, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    execute(empty, f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    execute(empty, f"CREATE POLICY shown ON {name} USING (false)")
    url = empty.replace("traveltide:", f"{role}:")
    with pytest.raises(SourceError, match=rf"row-level security.*{name}.*BYPASSRLS"):
        source(tmp_path, url).table("users")
    assert rows(source(tmp_path, empty, run="owner"), name) == 0
    execute(empty, f"ALTER ROLE {role} BYPASSRLS")
    assert rows(source(tmp_path, url, run="all"), name) == 0


def test_tables_are_found_by_the_search_path_of_the_url(tmp_path: Path, empty: str) -> None:
    execute(empty, "CREATE SCHEMA travel")
    for name in SOURCES:
        execute(empty, f"ALTER TABLE {name} SET SCHEMA travel")
    with pytest.raises(SourceError, match="no table users"):
        source(tmp_path, empty).table("users")
    assert rows(source(tmp_path, f"{empty}?options=-csearch_path%3Dtravel"), "users") == 0


def test_a_table_that_may_not_be_read_is_an_error(
    tmp_path: Path, postgres_server: PostgresServer, empty: str
) -> None:
    role = f"role_{empty.rsplit('_', 1)[1]}"
    execute(empty, f"CREATE ROLE {role} LOGIN PASSWORD %s", PASSWORD)
    url = empty.replace("traveltide:", f"{role}:")
    with pytest.raises(SourceError, match="permission denied for table users"):
        source(tmp_path, url).table("users")


# Whose lake it is


def test_a_database_is_the_same_by_any_name_and_role_and_another_one_is_not(
    postgres_server: PostgresServer, empty: str
) -> None:
    def identity(url: str) -> str | None:
        return identity_of(PostgresLocation(url), Settings().postgres)

    role = f"reader_{empty.rsplit('_', 1)[1]}"
    execute(empty, f"CREATE ROLE {role} LOGIN PASSWORD %s", PASSWORD)
    known = identity(empty)
    assert known is not None
    assert identity(empty.replace("127.0.0.1", "localhost")) == known
    assert identity(empty.replace("traveltide:", f"{role}:")) == known
    assert identity(postgres_server.create_database()) != known
    execute(empty, "CREATE SCHEMA travel CREATE TABLE users (user_id bigint)")
    assert identity(f"{empty}?options=-csearch_path%3Dtravel") != known
    execute(empty, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    assert identity(empty.replace("traveltide:", f"{role}:")) is None


# Secrets


def test_the_password_is_in_no_log_event_metadata_or_file(
    tmp_path: Path, loaded: str, ingested: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = project(tmp_path, f"{loaded}_absent")
    result = broken.ingest(LAST, LAST)
    assert not result.success
    assert "does not exist" in failure(result)
    text = repr([*result.all_events, broken.settings, broken.definitions])
    text += "".join(capfd.readouterr())
    assert PASSWORD not in text
    folders = (tmp_path, ingested.folder)
    written = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in written), "the event log is among them"
    assert [path for path in written if PASSWORD.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("name", ["source", "publish"])
def test_a_database_in_the_settings_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("traveltide.toml").write_text(
        f'{name} = "postgresql://ana:{PASSWORD}@db/travel"\n', encoding="utf-8"
    )
    with pytest.raises(SettingsError, match=f"TRAVELTIDE_{name.upper()}") as error:
        load_settings()
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRAVELTIDE_LAKE", f"postgresql://ana:{PASSWORD}@db/travel"),
        ("TRAVELTIDE_SOURCE", f"postgresql://ana:{PASSWORD}@db:port/travel"),
        ("TRAVELTIDE_SOURCE", f"postgresql://ana:{PASSWORD}@[::1/travel"),
        ("TRAVELTIDE_SOURCE", f"postgresql://ana:4711/{PASSWORD}@db/travel"),
        ("TRAVELTIDE_PUBLISH", f"mysql://ana:{PASSWORD}@db/travel"),
        ("TRAVELTIDE_PUBLISH", f"folder:{PASSWORD}"),
    ],
)
def test_a_url_that_is_refused_is_shown_nowhere_along_the_error(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert variable.split("_")[1].lower() in str(error.value)
    assert PASSWORD not in "".join(map(str, [error.value, error.value.__cause__]))

"""The whole system with its source and its lake in S3: the same bytes, and clear errors."""

from __future__ import annotations

import gzip
import re
import time
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from traveltide_assets.cli import main
from traveltide_assets.connections.locations import S3Location
from traveltide_assets.defs.failures import root_cause
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.config import Config
from traveltide_assets.resources import open_source
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import Run, SourceError
from traveltide_assets.sources.files import Files
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project
from traveltide_assets_tests.support.s3_server import S3Server, proxy_of


@pytest.fixture(scope="module")
def on_s3(s3_server: S3Server) -> S3Location:
    return S3Location(s3_server.bucket(), "lake")


@pytest.fixture(scope="module")
def landing(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> S3Location:
    """The scenario's files, landed in S3."""
    folder = scenario.write_scenario(tmp_path_factory.mktemp("landing"))
    place = S3Location(s3_server.bucket(), "landing")
    s3_server.upload(folder, place)
    return place


@pytest.fixture(autouse=True)
def environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def project(
    s3_server: S3Server,
    on_s3: S3Location,
    landing: S3Location,
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """The scenario, read from S3 and decided in S3."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("project")
        source = cast(Any, landing)  # Tests that write into the source of a project have a folder.
        project = Project(folder, source, lake=on_s3, **scenario.settings())
        assert project.ingest(**scenario.PARTITIONS).success
        assert project.assign(scenario.MONTH).success
        return project


def test_source_and_lake_in_s3_give_the_bytes_of_folders(
    project: Project, scenario_project: Project, s3_server: S3Server, on_s3: S3Location
) -> None:
    lake = scenario_project.lake
    expected = {
        path.relative_to(lake).as_posix(): path.read_bytes()
        for path in lake.rglob("*")
        if path.is_file()
    }
    found = s3_server.contents(on_s3)
    assert sorted(found) == sorted(expected)
    # These say where the source is, when a release was made, and which versions files have.
    differing = {"bronze/source.json", f"releases/{scenario.MONTH}.json"}
    differing |= {key for key in expected if key.startswith("_cleaned/")}
    assert {key for key in expected if found[key] != expected[key]} == differing
    assert not project.lake.exists()


def test_running_again_downloads_and_uploads_nothing(
    project: Project, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy_of(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        again = Project(project.folder, project.source, **_settings(project))
        # Copies are kept by endpoint, so those of the project are none of the proxy's.
        assert again.ingest(**scenario.PARTITIONS).success
        proxy.requests.clear()
        assert again.ingest(**scenario.PARTITIONS).success
    # The lease is read and written by every run.
    requests = [r for r in proxy.requests if "/_lease.json" not in r]
    downloads = [r for r in requests if r.startswith("GET") and "list-type" not in r]
    # What is known of cleaned files and months is a small note for each table.
    notes = [r for r in downloads if "/_cleaned/" in r]
    assert len(notes) == len(set(notes)) == 5
    assert downloads == notes
    assert not [r for r in requests if r.startswith(("PUT", "POST"))]
    assert proxy.requests != []


def _settings(project: Project) -> dict[str, Any]:
    given = project.settings
    return {"lake": given.lake, "home": given.home, **scenario.settings()}


@pytest.mark.parametrize("busy", [3, 1_000_000])
def test_a_step_waits_for_s3_and_is_not_tried_again_when_that_was_in_vain(
    project: Project,
    s3_server: S3Server,
    on_s3: S3Location,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    busy: int,
) -> None:
    with proxy_of(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        # The landing bucket answers: a run observes it before its first step.
        proxy.busy, proxy.busy_bucket = busy, on_s3.bucket
        limits = Config(retry_seconds=20 if busy == 3 else 1)
        settings = {**_settings(project), "home": tmp_path / "home", "s3": limits}
        again = Project(tmp_path, project.source, **settings)
        result = again.materialize("gold/users_final", scenario.MONTH)
    steps = [event for event in result.all_events if event.step_key == "gold__users_final"]
    # Without the lease of the lake, no step begins.
    started = sum(event.is_step_start or event.is_step_restarted for event in steps)
    assert started == (1 if busy == 3 else 0)
    assert result.success == (busy == 3)
    if not result.success:
        failed = next(event for event in result.all_events if event.is_failure)
        assert re.search(r"cannot (list|read) s3://.*SlowDown", root_cause(failed))


# Commands


def traveltide(project: Project, *arguments: str, **changes: str) -> Result:
    """Run a command on the lake in S3."""
    settings = project.settings
    environment: dict[str, str] = {
        "TRAVELTIDE_LAKE": str(settings.lake),
        "TRAVELTIDE_SOURCE": str(settings.source),
        "TRAVELTIDE_HOME": str(settings.home),
        "TRAVELTIDE_PARTITIONS__FIRST": scenario.PARTITIONS["first"],
        "TRAVELTIDE_PARTITIONS__LAST": scenario.PARTITIONS["last"],
        "TRAVELTIDE_COHORT__ACTIVE_SINCE": str(scenario.COHORT["active_since"]),
        "TRAVELTIDE_COHORT__MIN_SESSIONS": str(scenario.COHORT["min_sessions"]),
        "DAGSTER_HOME": str(project.folder / "instance"),
        "COLUMNS": "400",
    }
    return CliRunner().invoke(main, arguments, env=environment | changes)


def test_the_commands_read_a_lake_in_s3(project: Project, on_s3: S3Location) -> None:
    shown = traveltide(project, "show")
    assert shown.exit_code == 0
    assert f"Cohort of {scenario.MONTH}: {len(scenario.CUSTOMERS)} customers" in shown.output
    explained = traveltide(project, "explain", str(scenario.PACKAGE))
    assert explained.exit_code == 0
    assert "Runner-up:" in explained.output


def test_the_report_is_named_by_its_place_and_copied_from_there(
    project: Project, s3_server: S3Server, on_s3: S3Location, tmp_path: Path
) -> None:
    (key,) = [
        key
        for key in s3_server.contents(on_s3)
        if key.startswith("releases/") and key.endswith("/report.html")
    ]
    named = traveltide(project, "report")
    assert named.output.strip() == f"{on_s3}/{key}"
    copy = tmp_path / "report.html"
    assert traveltide(project, "report", "--to", str(copy)).exit_code == 0
    assert copy.read_bytes() == s3_server.contents(on_s3)[key]
    described = s3_server.client.head_object(Bucket=on_s3.bucket, Key=f"{on_s3.prefix}/{key}")
    assert described["ContentType"] == "text/html"


def assert_clear_error(done: Result, secret: str, *said: str) -> None:
    assert done.exit_code == 1
    for words in said:
        assert words in done.output
    assert "Traceback" not in done.output
    assert secret not in done.output


def test_a_missing_bucket_is_a_clear_error(project: Project, s3_server: S3Server) -> None:
    done = traveltide(project, "show", TRAVELTIDE_LAKE="s3://no-such-bucket/lake")
    assert_clear_error(done, s3_server.secret, "no bucket no-such-bucket", "set TRAVELTIDE_LAKE")


def test_a_wrong_secret_is_a_clear_error(project: Project) -> None:
    wrong = "not-the-secret"
    done = traveltide(project, "show", **{"AWS_SECRET_ACCESS_KEY": wrong})
    assert_clear_error(
        done, wrong, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY", "cannot list s3:"
    )


def test_a_refused_write_is_a_clear_error(project: Project, s3_server: S3Server) -> None:
    # Another source, so that there is something to write.
    reader = s3_server.readers_environment
    done = traveltide(project, "run", TRAVELTIDE_LAKE=f"s3://{s3_server.bucket()}", **reader)
    assert_clear_error(
        done,
        reader["AWS_SECRET_ACCESS_KEY"],
        "cannot write s3://",
        "access is denied",
        "s3:PutObject",
    )


# The source


def source_at(place: S3Location, folder: Path) -> Files:
    settings = Settings(source=place, home=folder / "home")
    return cast(Files, open_source(settings, DuckDB(folder / "scratch"), Run("a-run")))


@pytest.fixture
def source(landing: S3Location, tmp_path: Path) -> Files:
    return source_at(landing, tmp_path)


def test_a_landed_file_is_fetched_once_and_again_when_it_changed(
    source: Files, landing: S3Location, s3_server: S3Server, tmp_path: Path
) -> None:
    place = S3Location(s3_server.bucket(), "landing")
    s3_server.upload(scenario.write_scenario(tmp_path / "files"), place)
    with proxy_of(s3_server) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        source = source_at(place, tmp_path / "again")

        def downloads() -> int:
            return sum(r.startswith("GET") and "list-type" not in r for r in proxy.requests)

        before = source.counts("users", [])[None]
        assert before is not None
        source.counts("users", [])
        assert downloads() == len(SOURCES)
        key, users = "landing/users.csv", (tmp_path / "files" / "users.csv").read_bytes()
        s3_server.client.put_object(
            Bucket=place.bucket, Key=key, Body=users + users.splitlines(keepends=True)[-1]
        )
        assert source.counts("users", [])[None] == before + 1
        assert downloads() == len(SOURCES) + 1


def test_versions_are_etags_and_months_those_of_the_sessions(
    source: Files, landing: S3Location, s3_server: S3Server
) -> None:
    versions = source.versions()
    assert sorted(versions) == sorted(f"{name}.csv" for name in SOURCES)
    described = s3_server.client.head_object(Bucket=landing.bucket, Key="landing/users.csv")
    assert described["ETag"] == f'"{versions["users.csv"]}"'
    months = source.months_of(["sessions.csv", "users.csv"])
    assert months["sessions.csv"] >= {"2023-04", "2023-05"}
    assert months["users.csv"] == set()


def test_an_error_in_a_landed_file_names_its_place_in_s3(
    s3_server: S3Server, tmp_path: Path
) -> None:
    folder = scenario.write_scenario(tmp_path / "files")
    (folder / "hotels.csv").write_text("trip_id,trip_id\n1,2\n", encoding="utf-8")
    place = S3Location(s3_server.bucket(), "landing")
    s3_server.upload(folder, place)
    source = source_at(place, tmp_path)
    with pytest.raises(SourceError, match=f"^{place}/hotels.csv: duplicate column names:"):
        source.table("users")


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("sessions/part-1.parquet", b"x", "/sessions is a folder"),
        ("sessions-2.xlsx", b"x", "/sessions-2.xlsx is a workbook"),
        ("sessions-2.csv.zip", b"x", "/sessions-2.csv.zip is an archive"),
        (
            "sessions-2.csv.gz",
            gzip.compress(b"x" * 99, mtime=0)[:-3],
            "/sessions-2.csv.gz: the gzip file",
        ),
        ("sessions-2.csv", b"session_id;user_id;trip_id\n", "the separator is a semicolon"),
        ("sessions-2.csv", b"", "/sessions-2.csv: the file is empty"),
    ],
)
def test_what_carries_a_tables_name_in_s3_is_read_or_named(
    s3_server: S3Server, tmp_path: Path, key: str, content: bytes, said: str
) -> None:
    place = S3Location(s3_server.bucket(), "user_id=7/month=2020-01")
    s3_server.upload(scenario.write_scenario(tmp_path / "files"), place)
    s3_server.client.put_object(Bucket=place.bucket, Key=f"{place.prefix}/.hidden", Body=b"x")
    found = source_at(place, tmp_path / "sound").table("sessions").user_id.nunique()
    assert found.to_pyarrow().as_py() > 1, "folders called like columns change nothing"
    s3_server.client.put_object(Bucket=place.bucket, Key=f"{place.prefix}/{key}", Body=content)
    with pytest.raises(SourceError) as error:
        source_at(place, tmp_path / "damaged").table("users")
    assert str(error.value).startswith(str(place))
    assert said in str(error.value)


def test_of_two_objects_the_one_uploaded_last_is_the_last(
    s3_server: S3Server, tmp_path: Path
) -> None:
    place = S3Location(s3_server.bucket(), "landing")
    folder = scenario.write_scenario(tmp_path / "files")
    s3_server.upload(folder, place)
    time.sleep(1.1)  # The times of objects are whole seconds.
    users = (folder / "users.csv").read_bytes()
    s3_server.client.put_object(Bucket=place.bucket, Key="landing/older_users.csv", Body=users)
    table = source_at(place, tmp_path).table("users").select("source_file", "source_order")
    found = {tuple(row.values()) for row in table.distinct().to_pyarrow().to_pylist()}
    assert found == {("users.csv", 1), ("older_users.csv", 2)}


def test_nothing_landed_is_a_clear_error(s3_server: S3Server, tmp_path: Path) -> None:
    place = S3Location(s3_server.bucket(), "landing")
    source = source_at(place, tmp_path)
    with pytest.raises(SourceError, match=r"/landing has no file for users.* TRAVELTIDE_SOURCE"):
        source.table("users")

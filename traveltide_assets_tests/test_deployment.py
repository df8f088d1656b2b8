"""deploy/README.md, command by command, on a real PostgreSQL and a real S3; and what then runs."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pandas as pd
import psycopg2
import pytest
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from traveltide_assets.locations import S3Location
from traveltide_assets.months import shift, start_of
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets_tests.postgres_server import PostgresServer
from traveltide_assets_tests.processes import ROOT, SMALL, Processes, answers, free_port, listens
from traveltide_assets_tests.s3_server import S3Server, running_s3

DATES = {
    "users": ["birthdate", "sign_up_date"],
    "sessions": ["session_start", "session_end"],
    "flights": ["departure_time", "return_time"],
    "hotels": ["check_in_time", "check_out_time"],
}
LAST_OF_SAMPLE = "2023-07"
STAYING = ("dagster code-server", "dagster-daemon run", "dagster-webserver")


def commands() -> list[str]:
    """The commands of the README, in order."""
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@dataclass
class Deployment:
    """The running processes, what their commands answered, and where things are."""

    processes: Processes
    source: Path
    month: str
    database: str
    logs: S3Location
    s3: S3Server
    answers: dict[str, tuple[int, str]]

    def runs(self, **tags: str) -> list[dg.DagsterRun]:
        """Runs with tags, oldest first; read from PostgreSQL, as every process does."""
        wanted = {f"dagster/{name}": value for name, value in tags.items()}
        with dg.DagsterInstance.from_config(self.processes.environment["DAGSTER_HOME"]) as found:
            return list(found.get_runs(dg.RunsFilter(tags=wanted), ascending=True))

    def wait_for_run(self, position: int, **tags: str) -> dg.DagsterRun:
        """The run with these tags at a position, once it has succeeded."""
        found: list[dg.DagsterRun] = []

        def ended() -> bool:
            found[:] = self.runs(**tags)[position : position + 1]
            assert not found or found[0].status != dg.DagsterRunStatus.FAILURE, tags
            return bool(found) and found[0].is_success

        self.processes.wait(ended, f"run {position} of {tags}")
        return found[0]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, s3: S3Server
) -> Iterator[Deployment]:
    """Everything the README says, done: a live deployment on a sample of the last three months."""
    folder = tmp_path_factory.mktemp("deployment")
    month = f"{dt.datetime.now(dt.UTC):%Y-%m}"
    source = write_live_sample(folder / "landing", month)
    database, bucket = postgres_server.create_database(), s3.bucket()
    url = urlsplit(database)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRAVELTIDE")},
        **SMALL,
        **s3.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DAGSTER_HOME": str(folder / "dagster"),
        "DAGSTER_PG_HOST": str(url.hostname),
        "DAGSTER_PG_PORT": str(url.port),
        "DAGSTER_PG_DB": url.path.removeprefix("/"),
        "DAGSTER_PG_USER": str(url.username),
        "DAGSTER_PG_PASSWORD": str(url.password),
        "DAGSTER_LOG_BUCKET": bucket,
        "CODE_SERVER_PORT": str(free_port()),
        "WEBSERVER_PORT": str(free_port()),
        "TRAVELTIDE_SOURCE": str(source),
        "TRAVELTIDE_LAKE": str(folder / "lake"),
        "TRAVELTIDE_HOME": str(folder / "home"),
        "TRAVELTIDE_PARTITIONS__FIRST": shift(month, -2),
        "TRAVELTIDE_PARTITIONS__LAST": "open",
        "TRAVELTIDE_COHORT__ACTIVE_SINCE": f"{shift(month, -2)}-01",
        "TRAVELTIDE_AUTOMATION__RUNNING": "true",
        "TRAVELTIDE_AUTOMATION__DAILY": "* * * * *",
        "TRAVELTIDE_AUTOMATION__MONTHLY": "0 4 1 * *",
        "TRAVELTIDE_AUTOMATION__LANDING_SECONDS": "5",
    }
    (folder / "logs").mkdir()
    processes = Processes(environment, folder / "logs")
    running = Deployment(
        processes, source, month, database, S3Location(bucket, "compute-logs"), s3, {}
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in environment:
            patch.setenv(name, environment[name])
        try:
            for command in commands():
                obey(command, running)
            yield running
        finally:
            processes.stop()


def obey(command: str, running: Deployment) -> None:
    """Do what a line of the README says, once what it needs is there."""
    processes, environment = running.processes, running.processes.environment
    if command.startswith(STAYING):
        processes.start(command)
        if "code-server" in command:
            port = int(environment["CODE_SERVER_PORT"])
            processes.wait(lambda: listens(port), "the code server's start")
        if "webserver" in command:
            page = f"http://127.0.0.1:{environment['WEBSERVER_PORT']}/server_info"
            processes.wait(lambda: answers(page), "the webserver's start")
        return
    if "liveness-check" in command:
        processes.wait(lambda: processes.run(command).returncode == 0, "the daemon's heartbeat")
    if "migrate" in command:
        return  # Wants everything stopped: the last test does that.
    done = processes.run(command)
    running.answers[command] = (done.returncode, done.stdout + done.stderr)


def write_live_sample(folder: Path, month: str) -> Path:
    """A sample whose last month is the current one: every time moved by the same number of days."""
    write_sample(folder, SampleSpec(users=400, seed=11, active_share=0.6))
    moved = start_of(month) - start_of(LAST_OF_SAMPLE)
    for name, columns in DATES.items():
        path = folder / f"{name}.csv"
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in columns:
            times = pd.to_datetime(table[column], format="mixed", errors="coerce") + moved
            form = "%Y-%m-%d" if column.endswith("date") else "%Y-%m-%d %H:%M:%S"
            table[column] = times.dt.strftime(form).fillna("")
        table.to_csv(path, index=False)
    return folder


def test_every_command_of_the_readme_succeeds(deployment: Deployment) -> None:
    assert len(deployment.answers) + len(STAYING) + 1 == len(commands())
    failed = {command: said for command, said in deployment.answers.items() if said[0] != 0}
    assert not failed
    said = " ".join(text for _, text in deployment.answers.values())
    for name in ("current_month", "month_just_ended", "landing", "alert_on_failure"):
        assert f"{name} [RUNNING]" in said


def test_the_sensor_has_the_files_that_were_there_ingested_in_one_run(
    deployment: Deployment,
) -> None:
    run = deployment.wait_for_run(0, sensor_name="landing")
    assert run.job_name == "ingest"
    assert run.tags[ASSET_PARTITION_RANGE_START_TAG] == shift(deployment.month, -2)
    assert run.tags[ASSET_PARTITION_RANGE_END_TAG] == deployment.month


def test_the_schedule_refreshes_the_current_month(deployment: Deployment) -> None:
    # A tick a minute would put runs before those of the next test.
    stop = next(command for command in commands() if "schedule stop" in command)
    assert deployment.processes.run(stop.replace("stop", "start")).returncode == 0
    deployment.processes.wait(
        lambda: bool(deployment.runs(schedule_name="current_month")), "a tick of the schedule"
    )
    assert deployment.processes.run(stop).returncode == 0
    run = deployment.wait_for_run(0, schedule_name="current_month")
    assert run.job_name == "full_refresh"
    assert run.tags["dagster/partition"] == deployment.month
    lake = Path(deployment.processes.environment["TRAVELTIDE_LAKE"])
    assert (lake / f"gold/perk_assignments/month={deployment.month}").is_dir()


def test_a_file_that_lands_is_ingested_by_a_run_of_the_months_it_touches(
    deployment: Deployment,
) -> None:
    before = shift(deployment.month, -1)
    sessions = pd.read_csv(deployment.source / "sessions.csv", dtype=str, keep_default_na=False)
    late = sessions[sessions["session_start"].str.startswith(before)].head(5).copy()
    late["session_id"] = "late-" + late["session_id"]
    path = Path(deployment.processes.environment["TRAVELTIDE_LAKE"]) / "silver/sessions_processed"
    file = path / f"month={before}" / "sessions_processed.parquet"
    rows = len(pd.read_parquet(file))
    late.to_csv(deployment.source / "sessions-late.csv", index=False)
    run = deployment.wait_for_run(1, sensor_name="landing")
    assert run.tags[ASSET_PARTITION_RANGE_START_TAG] == before
    assert run.tags[ASSET_PARTITION_RANGE_END_TAG] == before
    assert len(pd.read_parquet(file)) == rows + 5
    assert len(deployment.runs(sensor_name="landing")) == 2


def test_history_lies_in_postgresql_and_the_output_of_runs_in_s3(deployment: Deployment) -> None:
    connection = psycopg2.connect(deployment.database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM runs")
        assert cursor.fetchone()[0] >= 3
        cursor.execute("SELECT count(*) FROM job_ticks WHERE status = 'SUCCESS'")
        assert cursor.fetchone()[0] >= 3
    connection.close()
    home = Path(deployment.processes.environment["DAGSTER_HOME"])
    assert not list(home.rglob("*.db"))
    kept = deployment.s3.contents(deployment.logs)
    assert any(name.endswith(".err") for name in kept), list(kept)[:5]


def test_migration_runs_when_everything_is_stopped(deployment: Deployment) -> None:
    deployment.processes.stop()
    (migrate,) = [command for command in commands() if "migrate" in command]
    done = deployment.processes.run(migrate)
    assert done.returncode == 0, done.stderr

"""docs/operator/deploy.md, command by command, on a real PostgreSQL and S3; and what then runs."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pandas as pd
import psycopg2
import pytest

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.defs import tags as dagster_tags
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.schema.months import shift, start_of
from traveltide_assets_tests.support.documents import blocks_of
from traveltide_assets_tests.support.ports import free_port
from traveltide_assets_tests.support.postgres_server import PostgresServer
from traveltide_assets_tests.support.processes import ROOT, SMALL, Processes, answers, listens
from traveltide_assets_tests.support.s3_server import S3Server, running_s3

DATES = {
    "users": ["birthdate", "sign_up_date"],
    "sessions": ["session_start", "session_end"],
    "flights": ["departure_time", "return_time"],
    "hotels": ["check_in_time", "check_out_time"],
}
LAST_OF_SAMPLE = "2023-07"
# With fewer users some month has no session. `landing` skips such a month, and the next ones fail.
HISTORY = SampleSpec(users=800, seed=11, active_share=0.6)
STAYING = ("dagster code-server", "dagster-daemon run", "dagster-webserver", "traveltide serve")


def commands() -> list[str]:
    """The commands of the page, in order."""
    (page,) = blocks_of("deployment").values()
    return [line for block in page for line in block.text.splitlines() if line.strip()]


@dataclass
class Deployment:
    """The running processes, what their commands answered, and where things are."""

    processes: Processes
    month: str
    database: str
    bucket: str
    s3: S3Server
    answers: dict[str, tuple[int, str]]

    def place(self, name: str) -> S3Location:
        """`landing`, `lake` or `compute-logs`."""
        return S3Location(self.bucket, name)

    def table(self, path: str, month: str) -> pd.DataFrame:
        """A month of a table of the lake."""
        place = self.place(f"lake/{path}/month={month}")
        return pd.read_parquet(
            BytesIO(self.s3.contents(place)[f"{path.rsplit('/', 1)[-1]}.parquet"])
        )

    def instance(self) -> dg.DagsterInstance:
        """What every process reads and writes, in PostgreSQL."""
        return dg.DagsterInstance.from_config(self.processes.environment["DAGSTER_HOME"])

    def runs(self, **tags: str) -> list[dg.DagsterRun]:
        """Runs with tags, oldest first."""
        wanted = {f"dagster/{name}": value for name, value in tags.items()}
        with self.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(tags=wanted), ascending=True))

    def told_of(self, run: dg.DagsterRun) -> str:
        """What Dagster's processes had to say of a run."""
        kinds = {dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.RUN_FAILURE}
        with self.instance() as instance:
            return "\n".join(entry.message for entry in instance.all_logs(run.run_id, kinds))

    def process_of(self, run: dg.DagsterRun) -> int:
        """The number of a run's process."""
        return int(re.findall(r"Started process for run \(pid: (\d+)\)", self.told_of(run))[0])

    def wait_for_start(self, position: int, **tags: str) -> dg.DagsterRun:
        """The run with these tags at a position, once its process is at work."""
        found: list[dg.DagsterRun] = []

        def started() -> bool:
            found[:] = self.runs(**tags)[position : position + 1]
            return bool(found) and found[0].status == dg.DagsterRunStatus.STARTED

        self.processes.wait(started, f"the start of run {position} of {tags}")
        return found[0]

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
    """Everything the page says, done: a live deployment on a sample of the last three months."""
    folder = tmp_path_factory.mktemp("deployment")
    month = f"{dt.datetime.now(dt.UTC):%Y-%m}"
    database, bucket = postgres_server.create_database(), s3.bucket()
    environment = {
        **environment_of(folder, database, s3, bucket),
        **example("live"),
        "FIRST_MONTH": shift(month, -2),
        "MONTH": month,
        "TRAVELTIDE_PARTITIONS__FIRST": shift(month, -2),
        "TRAVELTIDE_AUTOMATION__DAILY": "* * * * *",
        "TRAVELTIDE_AUTOMATION__MONTHLY": "0 4 1 * *",
        "TRAVELTIDE_AUTOMATION__LANDING_SECONDS": "5",
    }
    (folder / "logs").mkdir()
    processes = Processes(environment, folder / "logs")
    running = Deployment(processes, month, database, bucket, s3, {})
    s3.upload(write_live_sample(folder / "landing", month), running.place("landing"))
    with pytest.MonkeyPatch.context() as patch:
        for name in environment:
            patch.setenv(name, environment[name])
        try:
            for command in commands():
                obey(command, running)
            yield running
        finally:
            processes.stop()


def example(name: str) -> dict[str, str]:
    """The settings of one of deploy's files of settings."""
    lines = (ROOT / "deploy" / f"{name}.env").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def environment_of(folder: Path, database: str, s3: S3Server, bucket: str) -> dict[str, str]:
    """example.env with the addresses of the tests' servers, for small runs."""
    url = urlsplit(database)
    addresses = {
        **s3.environment,
        "AWS_DEFAULT_REGION": s3.environment["AWS_REGION"],
        "DAGSTER_HOME": str(folder / "dagster"),
        "DAGSTER_PG_HOST": str(url.hostname),
        "DAGSTER_PG_PORT": str(url.port),
        "DAGSTER_PG_DB": url.path.removeprefix("/"),
        "DAGSTER_PG_USER": str(url.username),
        "DAGSTER_PG_PASSWORD": str(url.password),
        "DAGSTER_LOG_BUCKET": bucket,
        "TRAVELTIDE_SOURCE": f"s3://{bucket}/landing/",
        "TRAVELTIDE_LAKE": f"s3://{bucket}/lake",
        "TRAVELTIDE_HOME": str(folder / "home"),
    }
    ports = {
        name: str(free_port()) for name in ("CODE_SERVER_PORT", "WEBSERVER_PORT", "SCORING_PORT")
    }
    settings = example("example")
    assert {*addresses, *ports} - {"AWS_ENDPOINT_URL"} <= set(settings)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRAVELTIDE")},
        **SMALL,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **settings,
        **addresses,
        **ports,
    }


def obey(command: str, running: Deployment) -> None:
    """Do what a line of the page says, once what it needs is there."""
    processes, environment = running.processes, running.processes.environment
    if command.startswith(STAYING):
        processes.start(command)
        if "code-server" in command:
            port = int(environment["CODE_SERVER_PORT"])
            processes.wait(lambda: listens(port), "the code server's start")
        if "webserver" in command:
            page = f"http://127.0.0.1:{environment['WEBSERVER_PORT']}/server_info"
            processes.wait(lambda: answers(page), "the webserver's start")
        if "traveltide serve" in command:
            page = f"http://127.0.0.1:{environment['SCORING_PORT']}/health"
            processes.wait(lambda: answers(page), "the scoring service's start")
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


def test_every_command_of_the_page_succeeds(deployment: Deployment) -> None:
    assert len(deployment.answers) + len(STAYING) + 1 == len(commands())
    failed = {command: said for command, said in deployment.answers.items() if said[0] != 0}
    assert not failed
    said = " ".join(text for _, text in deployment.answers.values())
    for name in ("current_month", "month_just_ended", "landing", "lost_runs", "alert_on_failure"):
        assert f"{name} [RUNNING]" in said


def test_the_sensor_has_the_files_that_were_there_ingested_in_one_run(
    deployment: Deployment,
) -> None:
    run = deployment.wait_for_run(0, sensor_name="landing")
    assert run.job_name == "ingest"
    assert run.tags[dagster_tags.RANGE_START] == shift(deployment.month, -2)
    assert run.tags[dagster_tags.RANGE_END] == deployment.month


def test_the_schedule_refreshes_the_current_month(deployment: Deployment) -> None:
    # A tick a minute would put runs before those of the next test. Dagster forgets that a schedule
    # was stopped in the middle of a tick.
    stop = next(command for command in commands() if "schedule stop" in command)
    before = ticks(deployment, "current_month")
    assert deployment.processes.run(stop.replace("stop", "start")).returncode == 0
    deployment.processes.wait(
        lambda: ticks(deployment, "current_month") > before, "a tick of the schedule"
    )
    assert deployment.processes.run(stop).returncode == 0
    # Of the other ticks so far, nothing more is to be learnt.
    with deployment.instance() as instance:
        for other in deployment.runs(schedule_name="current_month")[1:]:
            if other.status == dg.DagsterRunStatus.QUEUED:
                assert instance.run_coordinator.cancel_run(other.run_id)
    run = deployment.wait_for_run(0, schedule_name="current_month")
    assert run.job_name == "full_refresh"
    assert run.tags["dagster/partition"] == deployment.month
    assert len(deployment.table("gold/perk_assignments", deployment.month)) > 0


def ticks(running: Deployment, schedule: str) -> int:
    """How many ticks of a schedule have ended well."""
    with running.instance() as instance:
        return sum(
            tick.is_success
            for state in instance.all_instigator_state()
            if state.instigator_name == schedule
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
        )


def test_a_file_that_lands_is_ingested_once_whatever_is_killed(deployment: Deployment) -> None:
    before, landing = shift(deployment.month, -1), deployment.place("landing")
    there = BytesIO(deployment.s3.contents(landing)["sessions.csv"])
    sessions = pd.read_csv(there, dtype=str, keep_default_na=False)
    late = sessions[sessions["session_start"].str.startswith(before)].head(5).copy()
    late["session_id"] = "late-" + late["session_id"]
    rows = len(deployment.table("silver/sessions_processed", before))
    known = len(deployment.runs(sensor_name="landing"))

    def new() -> list[dg.DagsterRun]:
        return deployment.runs(sensor_name="landing")[known:]

    deployment.s3.client.put_object(
        Bucket=landing.bucket,
        Key=f"{landing.prefix}/sessions-late.csv",
        Body=late.to_csv(index=False).encode(),
    )
    # Its run is killed alone, which the code server tells; the next with everything, as machines go
    # down; what comes then is the last that may be tried.
    alone = deployment.wait_for_start(known, sensor_name="landing")
    os.kill(deployment.process_of(alone), signal.SIGKILL)
    together = deployment.wait_for_start(known + 1, sensor_name="landing")
    restart(deployment, *STAYING[:2])
    deployment.processes.wait(lambda: any(run.is_success for run in new()), "a success")
    assert [run.parent_run_id for run in new()] == [None, alone.run_id, together.run_id]
    # Whoever looks first tells it: the code server, or run monitoring.
    assert re.search("SIGKILL|is gone", deployment.told_of(alone))
    assert "is gone" in deployment.told_of(together)
    for run in new():
        assert run.tags[dagster_tags.RANGE_START] == before
        assert run.tags[dagster_tags.RANGE_END] == before
    assert len(deployment.table("silver/sessions_processed", before)) == rows + 5


def restart(running: Deployment, *beginnings: str) -> None:
    """Kill some of the processes, with all that they have started, and start them again."""
    chosen = [command for command in commands() if command.startswith(beginnings)]
    for command in chosen:
        running.processes.kill(command)
    for command in chosen:
        obey(command, running)


def test_runs_never_overlap(deployment: Deployment) -> None:
    with deployment.instance() as instance:
        records = [r for r in instance.get_run_records(ascending=True) if r.start_time]
    assert all(record.end_time for record in records)
    spans = sorted((record.start_time or 0, record.end_time or 0) for record in records)
    assert len(spans) > 5
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    # Somebody did wait.
    assert any(
        later.create_timestamp.timestamp() < (earlier.end_time or 0)
        for earlier, later in pairwise(records)
    )


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
    kept = deployment.s3.contents(deployment.place("compute-logs"))
    assert any(name.endswith(".err") for name in kept), list(kept)[:5]


def test_migration_runs_when_everything_is_stopped(deployment: Deployment) -> None:
    deployment.processes.stop()
    (migrate,) = [command for command in commands() if "migrate" in command]
    done = deployment.processes.run(migrate)
    assert done.returncode == 0, done.stderr


def test_historical_data_is_ingested_and_decided_by_hand(
    tmp_path: Path,
    postgres_server: PostgresServer,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database, bucket = postgres_server.create_database(), s3.bucket()
    environment = {
        **environment_of(tmp_path, database, s3, bucket),
        **example("historical"),
        "FIRST_MONTH": LAST_OF_SAMPLE,
        "MONTH": LAST_OF_SAMPLE,
        "TRAVELTIDE_AUTOMATION__LANDING_SECONDS": "5",
    }
    (tmp_path / "logs").mkdir()
    processes = Processes(environment, tmp_path / "logs")
    running = Deployment(processes, LAST_OF_SAMPLE, database, bucket, s3, {})
    write_sample(tmp_path / "landing", HISTORY)
    s3.upload(tmp_path / "landing", running.place("landing"))
    for name in environment:
        monkeypatch.setenv(name, environment[name])
    try:
        for command in commands():
            if command.startswith(("mkdir", *STAYING[:2])):
                obey(command, running)
        landed = running.wait_for_run(0, sensor_name="landing")
        assert landed.tags[dagster_tags.RANGE_START] >= "2021-04"
        assert landed.tags[dagster_tags.RANGE_END] == LAST_OF_SAMPLE
        by_hand = [command for command in commands() if "$MONTH" in command]
        assert len(by_hand) == 2
        for command in by_hand:
            obey(command, running)
        failed = {command: said for command, said in running.answers.items() if said[0] != 0}
        assert not failed

        def ended() -> bool:
            runs = [run for run in running.runs() if run.run_id != landed.run_id]
            assert not [run for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
            return len(runs) == 2 and all(run.is_success for run in runs)

        processes.wait(ended, "the end of the runs by hand")
        assert len(running.table("gold/perk_assignments", LAST_OF_SAMPLE)) > 0
    finally:
        processes.stop()

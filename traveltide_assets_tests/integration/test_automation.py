"""What runs by itself: schedules, the landing sensor, alerts, retries and open months."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from traveltide_assets.defs import tags
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lease import KEY
from traveltide_assets.resources import open_source
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.sources.base import FileSource, Run
from traveltide_assets_tests.support.database import execute
from traveltide_assets_tests.support.landing import BOUNDS, Folder, Watch
from traveltide_assets_tests.support.postgres_server import PostgresServer
from traveltide_assets_tests.support.processes import ROOT, Processes
from traveltide_assets_tests.support.project import Project, failure

# Landing


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def test_a_failed_run_is_left_to_dagster_whatever_the_time_zone_of_its_database(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.create_database()
    execute(url, f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET timezone = 'America/New_York'")
    database = {"postgres_url": url.replace("postgresql:", "postgresql+psycopg2:")}
    overrides = {"storage": {"postgres": database}, "run_retries": {"enabled": True}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        watch = Watch(Folder(sessions=("1", {"2023-01"})), instance)
        (request,) = watch.tick()
        watch.fail(request)
        assert watch.tick() == []


def test_an_incomplete_delivery_is_waited_for(
    tmp_path: Path, instance: dg.DagsterInstance, sample_source: Path
) -> None:
    shutil.copy(sample_source / "users.csv", tmp_path)
    project = Project(tmp_path / "project", tmp_path, partitions=BOUNDS)
    (sensor,) = [s for s in project.definitions.sensors or () if s.name == "landing"]
    assert isinstance(sensor, dg.SensorDefinition)
    with dg.build_sensor_context(instance=instance) as context:
        result = sensor.evaluate_tick(context)
    assert not result.run_requests
    assert "no file for sessions, flights, hotels" in (result.skip_message or "")


def test_a_folder_knows_the_months_and_versions_of_its_files(
    tmp_path: Path, sample_source: Path
) -> None:
    folder = tmp_path / "landing"
    shutil.copytree(sample_source, folder)
    sessions = pd.read_csv(folder / "sessions.csv", dtype=str, keep_default_na=False)
    june = sessions[sessions["session_start"].str.startswith("2023-06")]
    june.to_csv(folder / "sessions-june.csv", index=False)
    settings = Project(tmp_path, folder, partitions=BOUNDS).settings
    source = open_source(settings, DuckDB(tmp_path / "scratch"), Run("a-run"))
    assert isinstance(source, FileSource)
    assert source.months_of(["sessions-june.csv", "sessions.csv", "users.csv"]) == {
        "sessions-june.csv": {"2023-06"},
        "sessions.csv": set(sessions["session_start"].str.slice(0, 7)),
        "users.csv": set(),
    }
    before = source.versions()
    assert set(before) >= {"users.csv", "sessions.csv", "sessions-june.csv"}
    june.head(10).to_csv(folder / "sessions-june.csv", index=False)
    changed = {name for name, version in source.versions().items() if version != before[name]}
    assert changed == {"sessions-june.csv"}


# Alerts


# Executor


@pytest.mark.servers
def test_forkserver_writes_the_same_bytes(tmp_path: Path) -> None:
    """A run in processes of their own, as the daemon starts it, beside the same run in one."""
    write_sample(tmp_path / "source", SampleSpec(users=200, seed=5, active_share=0.8))
    bounds = {"first": "2023-07", "last": "2023-07"}
    one = Project(tmp_path / "one", tmp_path / "source", partitions=bounds)
    (tmp_path / "one").mkdir()
    (tmp_path / "dagster").mkdir()
    result = one.ingest("2023-07", "2023-07")
    assert result.success, failure(result)
    processes = Processes(
        {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "TRAVELTIDE_SOURCE": str(tmp_path / "source"),
            "TRAVELTIDE_LAKE": str(tmp_path / "lake"),
            "TRAVELTIDE_HOME": str(tmp_path / "home"),
            "TRAVELTIDE_PARTITIONS__FIRST": "2023-07",
            "TRAVELTIDE_EXECUTOR": "forkserver",
        },
        tmp_path,
    )
    done = processes.run(
        "dagster job execute -m traveltide_assets.definitions -j ingest "
        """--tags '{"dagster/partition": "2023-07"}'"""
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Launching subprocess" in done.stderr
    # The process of the run held the lease for its steps, and let go of it.
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        (run,) = instance.get_runs()
    assert run.tags[tags.LEASE] == run.run_id
    assert not (tmp_path / "lake" / KEY).exists()
    assert "LeaseLost" not in done.stderr
    written = {
        lake: {p.relative_to(lake): p.read_bytes() for p in lake.rglob("*.parquet")}
        for lake in (one.lake, tmp_path / "lake")
    }
    assert written[one.lake] == written[tmp_path / "lake"]
    assert len(written[one.lake]) == 16

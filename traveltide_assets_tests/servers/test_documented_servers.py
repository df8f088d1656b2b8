"""What the pages say of servers works on real ones: Dagster, the service, S3, PostgreSQL."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets_tests.support import database
from traveltide_assets_tests.support.documents import blocks_of
from traveltide_assets_tests.support.newcomer import Newcomer
from traveltide_assets_tests.support.postgres_server import PostgresServer, programs
from traveltide_assets_tests.support.s3_server import S3Server

README = "README.md"
MAKE_RUN, *_ = blocks_of("fast")[README]
SERVERS = blocks_of("servers")
SMALL_SOURCE = SampleSpec(users=600, seed=11, active_share=0.6)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Somebody who has run `make run`."""
    with somebody(tmp_path_factory.mktemp("newcomer")) as found:
        found.follow([MAKE_RUN])
        yield found


@contextmanager
def somebody(folder: Path, **environment: str) -> Iterator[Newcomer]:
    found = Newcomer(folder, environment)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def with_dagster(newcomer: Newcomer) -> Newcomer:
    """The same, with the UI and the daemon that the README has them start."""
    newcomer.follow(SERVERS[README])
    return newcomer


@pytest.mark.parametrize("page", [page for page in SERVERS if page != README])
def test_the_servers_of_a_page_answer(page: str, newcomer: Newcomer) -> None:
    assert newcomer.follow(SERVERS[page])[-1]


def test_a_range_of_months_is_one_run_and_every_month_of_gold_another(
    with_dagster: Newcomer, monkeypatch: pytest.MonkeyPatch
) -> None:
    newcomer, folder = with_dagster, with_dagster.folder / ".traveltide" / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    with dg.DagsterInstance.from_config(str(folder)) as home:
        known = {run.run_id for run in home.get_runs()}
        (page,) = blocks_of("months").values()
        newcomer.follow(page)
        deadline = time.monotonic() + 900
        while True:
            runs = [run for run in home.get_runs(ascending=True) if run.run_id not in known]
            if all(run.is_finished for run in runs):
                break
            assert time.monotonic() < deadline, [(run.job_name, run.status) for run in runs]
            time.sleep(1)
    assert all(run.is_success for run in runs)
    made = [(run.job_name, run.tags.get("dagster/partition")) for run in runs]
    gold = [("assign_perks", "2023-06"), ("assign_perks", "2023-07")]
    assert made == [("ingest", None), *gold, ("full_refresh", "2023-06")]


def test_source_and_lake_lie_in_s3(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.client.create_bucket(Bucket="traveltide")
    write_sample(tmp_path / "sample", SMALL_SOURCE)
    s3_server.upload(tmp_path / "sample", S3Location("traveltide", "landing"))
    with somebody(tmp_path / "newcomer", **s3_server.environment) as found:
        (page,) = blocks_of("s3").values()
        assert "Cohort of 2023-07" in found.follow(page)[-1]
    stored = s3_server.contents(S3Location("traveltide", "lake"))
    assert "gold/perk_assignments/month=2023-07/perk_assignments.parquet" in stored


def test_tables_come_from_postgresql_and_perks_go_there(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    source, target = postgres_server.create_database(), postgres_server.create_database()
    write_sample(tmp_path / "sample", SMALL_SOURCE)
    database.load(source, tmp_path / "sample")
    places = {"TRAVELTIDE_SOURCE": source, "TRAVELTIDE_PUBLISH": target}
    # `psql` comes with the server of the tests.
    path = f"{os.environ['PATH']}:{programs()}"
    with somebody(tmp_path / "newcomer", **places, PATH=path) as found:
        (page,) = blocks_of("postgres").values()
        assert "2023-07" in found.follow(page)[-1]

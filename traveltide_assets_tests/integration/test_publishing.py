"""Perks are published to a real PostgreSQL; whoever reads there sees whole months only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from traveltide_assets.campaign.release_files import ASSIGNMENTS
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.connections.config import Config as Postgres
from traveltide_assets.connections.locations import PostgresLocation
from traveltide_assets.connections.postgres import PostgresError
from traveltide_assets.connections.publishing import publish
from traveltide_assets.contracts import build_tables
from traveltide_assets.definitions import build_definitions
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.lease import KEY, LeaseLost
from traveltide_assets.lake.release import Release
from traveltide_assets.lake.storage.base import Fence, no_fence
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.database import execute
from traveltide_assets_tests.support.postgres_server import PASSWORD, PostgresServer
from traveltide_assets_tests.support.project import Project, failure
from traveltide_assets_tests.support.releases import parquet

MONTH, EARLIER = "2023-07", "2023-06"
PATH = "gold/perk_assignments"
PERKS = load_perks(Settings().perks_file)
TABLES = build_tables(PERKS, build_strategies(Settings(), PERKS))


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database()


def assignments(customers: int, version: str = "one") -> pd.DataFrame:
    """Perks that all say which version they are."""
    ids = range(customers)
    kinds = {"int64": list(ids), "float64": [0.5] * customers, "string": [version] * customers}
    return pd.DataFrame({column.name: kinds[column.type] for column in TABLES[PATH].columns})


def published(
    url: str,
    frame: pd.DataFrame,
    month: str = MONTH,
    name: str = "perks",
    fence: Fence = no_fence,
) -> int:
    return publish(frame, month, TABLES[PATH], PostgresLocation(url), name, Postgres(), fence)


def versions(url: str, month: str = MONTH) -> list[tuple[str, int]]:
    statement = "SELECT model_version, count(*) FROM perks WHERE month = %s GROUP BY 1"
    return execute(url, statement, month)


def test_the_table_is_made_with_every_column_and_a_key(url: str) -> None:
    frame = assignments(3)
    assert published(url, frame, name='perks "now"') == 3
    statement = 'SELECT * FROM "perks ""now""" ORDER BY user_id'
    names = [column.name for column in TABLES[PATH].columns] + ["month"]
    expected = frame.assign(month=MONTH)[names]
    assert execute(url, statement) == list(expected.itertuples(index=False, name=None))
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s"
    assert execute(url, key, 'perks "now"_pkey') == [("PRIMARY KEY (month, user_id)",)]


def test_publishing_a_month_again_replaces_it_and_no_other(url: str) -> None:
    published(url, assignments(5), EARLIER)
    published(url, assignments(4))
    published(url, assignments(3, "two"))
    published(url, assignments(3, "two"))
    assert versions(url) == [("two", 3)]
    assert versions(url, EARLIER) == [("one", 5)]


def test_a_reader_never_sees_part_of_a_month(url: str) -> None:
    published(url, assignments(2_000, "0"))
    seen: list[list[tuple[str, int]]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(versions(url))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 15):
        published(url, assignments(2_000, str(number)))
    done.set()
    reader.join()
    assert {len(groups) for groups in seen} == {1}
    assert {rows for ((_, rows),) in seen} == {2_000}
    assert len({version for ((version, _),) in seen}) > 3, "it has read in between"


def test_a_publisher_that_lost_its_lease_leaves_the_month_as_it_was(url: str) -> None:
    def lost() -> None:
        raise LeaseLost("another run has the lake")

    published(url, assignments(10))
    with pytest.raises(LeaseLost):
        published(url, assignments(12, "two"), fence=lost)
    assert versions(url) == [("one", 10)]
    with pytest.raises(LeaseLost):
        published(url, assignments(12, "two"), name="new", fence=lost)
    assert execute(url, "SELECT to_regclass('new')") == [(None,)]


def test_a_publisher_that_is_killed_leaves_the_month_as_it_was(url: str, tmp_path: Path) -> None:
    published(url, assignments(10))
    program = """
import os
from traveltide_assets_tests.integration.test_publishing import assignments, published
published(os.environ["DATABASE"], assignments(150_000, "two"))
"""
    publisher = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "DATABASE": url}
    )
    try:
        copied = "SELECT coalesce(max(tuples_processed), 0) FROM pg_stat_progress_copy"
        while execute(url, copied)[0][0] == 0:
            assert publisher.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
    finally:
        publisher.kill()
        publisher.wait()
    assert versions(url) == [("one", 10)]
    published(url, assignments(12, "three"))
    assert versions(url) == [("three", 12)]


def test_of_publishers_of_one_month_one_wins_whole(url: str) -> None:
    errors: list[BaseException] = []

    def race(version: str) -> None:
        try:
            for _ in range(4):
                published(url, assignments(3_000, version))
        except BaseException as error:
            errors.append(error)
            raise

    racers = [threading.Thread(target=race, args=(str(number),)) for number in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert errors == []
    ((_, rows),) = versions(url)
    assert rows == 3_000


def test_a_table_with_other_columns_is_refused_and_left_alone(url: str) -> None:
    published(url, assignments(3))
    execute(url, "ALTER TABLE perks DROP runner_up, ADD note text")
    execute(url, "ALTER TABLE perks ALTER perk TYPE varchar(99)")
    with pytest.raises(PostgresError) as error:
        published(url, assignments(5))
    told = ("runner_up is missing", "note is text, not expected", "perk is varchar, not text")
    assert [words for words in (*told, "publish_table") if words not in str(error.value)] == []
    assert execute(url, "SELECT count(*) FROM perks") == [(3,)]


def test_the_asset_is_there_only_if_it_has_somewhere_to_publish_to() -> None:
    def names(settings: Settings) -> set[str]:
        specs = build_definitions(settings).resolve_all_asset_specs()
        return {spec.key.to_user_string() for spec in specs}

    target = PostgresLocation("postgresql://ana:secret@db/travel")
    assert names(Settings(publish=target)) - names(Settings()) == {"gold/published_assignments"}


def test_the_asset_tells_every_column_of_the_table() -> None:
    target = PostgresLocation("postgresql://ana:secret@db/travel")
    specs = build_definitions(Settings(publish=target)).resolve_all_asset_specs()
    (spec,) = [spec for spec in specs if spec.key.path[-1] == "published_assignments"]
    told = spec.metadata["dagster/column_schema"].columns
    names = [column.name for column in TABLES[PATH].columns]
    assert [column.name for column in told] == [*names, "month"]
    assert all(column.description for column in told)


def test_the_asset_publishes_its_month_and_keeps_the_password_to_itself(
    tmp_path: Path, url: str
) -> None:
    project = Project(tmp_path, tmp_path, publish=PostgresLocation(url), publish_table="perks")
    lake = Lake(Folder(project.lake), DuckDB(tmp_path / "scratch"), TABLES)
    lake.write(TABLES[PATH], assignments(9, "decided"), MONTH)
    waiting = project.materialize("gold/published_assignments", MONTH)
    assert waiting.success, "nothing is released, so nothing is published"
    released = lake.releases.add(MONTH, {ASSIGNMENTS: parquet(assignments(7))}, {}, {})
    lake.releases.point(released, None)
    result = project.materialize("gold/published_assignments", MONTH)
    assert result.success
    assert versions(url) == [("one", 7)]
    execute(url, "ALTER TABLE perks DROP runner_up")
    refused = project.materialize("gold/published_assignments", MONTH)
    assert not refused.success
    assert "runner_up is missing" in failure(refused)
    assert PASSWORD not in repr([*result.all_events, *refused.all_events])
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if PASSWORD.encode() in path.read_bytes()] == []


def test_a_run_that_loses_its_lease_publishes_nothing(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, tmp_path, publish=PostgresLocation(url), publish_table="perks")
    releases = Lake(Folder(project.lake), DuckDB(tmp_path / "scratch"), TABLES).releases
    releases.point(releases.add(MONTH, {ASSIGNMENTS: parquet(assignments(7))}, {}, {}), None)
    assert project.materialize("gold/published_assignments", MONTH).success
    read = Release.frame

    def cut_off(release: Release, name: str) -> pd.DataFrame:
        (project.lake / KEY).unlink()
        return read(release, name).assign(model_version="two")

    monkeypatch.setattr(Release, "frame", cut_off)
    lost = project.materialize("gold/published_assignments", MONTH)
    assert not lost.success
    assert "Nothing more of this run is written" in failure(lost)
    assert versions(url) == [("one", 7)]

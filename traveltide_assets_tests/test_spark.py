"""Spark computes what DuckDB computes: on a real cluster of a master and two workers."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.contracts import Column, Table
from traveltide_assets.engine import DuckDB, Engine, open_engine
from traveltide_assets.lake import Lake
from traveltide_assets.locations import S3Location
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.settings import Settings, Spark
from traveltide_assets.storage import open_storage
from traveltide_assets.transforms.cleaning import month_of
from traveltide_assets_tests.project import DECIDING, Project, failure
from traveltide_assets_tests.s3_server import S3Server
from traveltide_assets_tests.spark_cluster import SparkCluster

pytestmark = pytest.mark.spark

FIRST, LAST = "2023-06", "2023-07"
SETTINGS = {
    "partitions": {"first": FIRST, "last": LAST},
    # Two months of few users, some of their rows damaged: enough of everything.
    "cohort": {"min_sessions": 2},
    "checks": {"max_quarantine_share": 1},
}
OTHERS = (
    "earlier_features",
    "perk_outcomes",
    "segments/kmeans_wide",
    "segments/hierarchical",
    "segments/personas",
    "segments/perk_affinity",
    "segments/propensity",
    "perk_assignments",
)
EVENTS = (Column("key", "string", "The key"), Column("time", "timestamp(6)", "A time"))
NUMBERS = "1 1.0 +5 -.5 1. 1e5 1E+5 1e400 1_000 1d 1.5f 0x10 5L inf nan NaN Infinity 1,5 . - --5 1e"
DATES = "2023-01-05 2023-1-5 2023/01/05 2023-01-05T10:11:12 2023-02-30 2023 2023-01 20230105 12:00"
TEXTS = [
    *NUMBERS.split(),
    *DATES.split(),
    "",
    " 7",
    "2023-01-05 10:11:12",
    "2023-1-5 1:2:3",
    "2023-01-05 10:11",
    "2023-01-05 10",
    "2023-01-05  10:11:12",
    "2023-01-05 10:11:12.1",
    "2023-01-05 10:11:12.1234567",
    "2023-01-05 23:59:60",
    "2023-12-31 24:00:00",
    "2023-02-28T24:0:0.00",
    "2023-01-05 24:00",
    "2023-01-05 24:00:01",
    "2023-01-05 24:00:00.5",
    "2023-03-12 02:30:00",  # Does not exist where the machines of the cluster live.
    "2023-01-05 10:11:12+02",
    "\t\x0b\x0cfalse v f\r\n",
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    pyspark = pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no Java runtime here: see `make java`")
    with pytest.MonkeyPatch.context() as patch:
        started = SparkCluster(Path(pyspark.__file__).parent, tmp_path_factory.mktemp("cluster"))
        patch.setenv("SPARK_CONF_DIR", str(started.configuration))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        try:
            started.add_worker()
            started.add_worker()
            yield started
        finally:
            started.stop()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "sample"
    write_sample(folder, SampleSpec(users=300, seed=11, active_share=0.5, dirt=0.05))
    return folder


@pytest.fixture(scope="module")
def on_duckdb(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Project:
    project = Project(tmp_path_factory.mktemp("duckdb"), source, **SETTINGS)
    _run(project)
    return project


@pytest.fixture(scope="module")
def on_spark(
    tmp_path_factory: pytest.TempPathFactory, source: Path, cluster: SparkCluster
) -> Project:
    project = _on(cluster, tmp_path_factory.mktemp("spark"), source)
    _run(project)
    return project


def _on(cluster: SparkCluster, folder: Path, source: Path) -> Project:
    return Project(folder, source, engine="spark", spark={"master": cluster.url}, **SETTINGS)


def _run(project: Project) -> None:
    for result in (
        project.ingest(FIRST, LAST),
        project.materialize_all([f"gold/{name}" for name in (*DECIDING, *OTHERS)], LAST),
    ):
        assert result.success, failure(result)


def _files(project: Project, layer: str = "") -> dict[str, Path]:
    files = (project.lake / layer).rglob("*.parquet")
    return {file.relative_to(project.lake).as_posix(): file for file in sorted(files)}


def _assert_same(file: Path, other: Path) -> None:
    """The same columns, types and rows in the same order; floats within 1e-9, all else equal."""
    one, two = pq.read_table(file, partitioning=None), pq.read_table(other, partitioning=None)
    assert one.schema.names == two.schema.names
    assert one.schema.types == two.schema.types
    pd.testing.assert_frame_equal(
        one.to_pandas(), two.to_pandas(), check_exact=False, rtol=1e-9, atol=1e-12, obj=str(file)
    )


def test_the_whole_lake_is_the_same_up_to_features_and_perks(
    on_duckdb: Project, on_spark: Project
) -> None:
    expected, found = _files(on_duckdb), _files(on_spark)
    assert found.keys() == expected.keys()
    assert "gold/perk_assignments/month=2023-07/perk_assignments.parquet" in found
    for key, file in expected.items():
        _assert_same(file, found[key])


def test_the_comparison_rests_on_damaged_rows_ties_and_nulls(on_duckdb: Project) -> None:
    refused = [key for key in _files(on_duckdb, "silver") if "quarantine" in key]
    assert sum(pq.read_metadata(_files(on_duckdb)[key]).num_rows for key in refused) > 20
    features = on_duckdb.frame("gold/user_features", LAST)
    assert len(features) > 50
    assert features["mean_seats"].isna().any()
    assert features["completed_trips"].duplicated().any()
    assert (features["median_page_clicks"] % 1 != 0).any()


@pytest.fixture
def engines(tmp_path: Path, cluster: SparkCluster) -> list[Engine]:
    spark = Settings(home=tmp_path, engine="spark", spark=Spark(master=cluster.url))
    return [DuckDB(tmp_path / "scratch"), open_engine(spark)]


def test_text_is_read_as_numbers_and_times_as_duckdb_reads_it(
    tmp_path: Path, engines: list[Engine]
) -> None:
    pq.write_table(pa.table({"text": TEXTS, "place": range(len(TEXTS))}), tmp_path / "t.parquet")

    def read(engine: Engine) -> pd.DataFrame:
        t = engine.read_parquet([tmp_path / "t.parquet"])
        number = t.text.try_cast("float64")
        # Cleaning refuses words and zones before anything is read as a time.
        plain = ibis.ifelse(t.text.re_search("[a-zA-SU-Z+]"), ibis.null("string"), t.text)
        return _ordered(
            t.select(
                "place",
                "text",
                number=ibis.ifelse(number.abs() < float("inf"), number, ibis.null("float64")),
                time=plain.try_cast("timestamp(6)"),
                stripped=t.text.strip(),
                month=month_of(t.text),
            )
        )

    duckdb, spark = map(read, engines)
    pd.testing.assert_frame_equal(duckdb, spark)
    assert duckdb["number"].notna().sum() > 5
    assert duckdb["time"].notna().sum() > 5


def test_halves_ties_and_fractions_of_seconds_count_as_in_duckdb(
    tmp_path: Path, engines: list[Engine]
) -> None:
    values = [0.285, 1.005, 2.675, 0.5, 1.5, 2.5, -2.5, 0.125, None, 1.5]
    times = [dt.datetime(2023, 1, 1, 0, 0, i % 3, i * 100_000) for i in range(len(values))]
    columns = {
        "place": pa.array(range(len(values)), pa.int64()),
        "x": pa.array(values, pa.float64()),
        "group": pa.array([1, 1, 1, 1, 2, 2, 2, 2, 3, 2], pa.int64()),
        "time": pa.array(times, pa.timestamp("us")),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")

    def computed(engine: Engine) -> list[pd.DataFrame]:
        t = engine.read_parquet([tmp_path / "t.parquet"])
        rows = t.select(
            "place",
            cents=t.x.round(2),
            whole=t.x.round(),
            least=ibis.least(t.x, 1.0),
            rank=ibis.percent_rank().over(ibis.window(order_by=t.x)),
            seconds=t.time.delta(ibis.timestamp("2023-01-01T00:00:01"), unit="second"),
        )
        groups = t.group_by("group").agg(median=t.x.median(), rows=t.count(), mean=t.x.mean())
        return [_ordered(rows), _ordered(groups)]

    for duckdb, spark in zip(*map(computed, engines), strict=True):
        pd.testing.assert_frame_equal(duckdb, spark, rtol=1e-12)


def test_a_lake_in_s3_has_the_same_keys_and_rows(
    tmp_path: Path, engines: list[Engine], s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = s3_server.bucket()
    rows = pa.table({"key": ["b", "a"], "time": [dt.datetime(2023, 3, 12, 2, 30, 0, 1)] * 2})
    pq.write_table(rows, tmp_path / "rows.parquet")
    table = Table("silver", "events", "One row per key.", EVENTS, key=("key",), partitioned=True)

    def stored(engine: Engine, prefix: str) -> tuple[list[str], pd.DataFrame]:
        place = open_storage(S3Location(bucket, prefix), tmp_path / "cache", "TRAVELTIDE_LAKE")
        lake = Lake(place, engine, {table.path: table})
        lake.write(table, engine.read_parquet([tmp_path / "rows.parquet"]), "2023-03")
        lake.write(table, engine.read_parquet([tmp_path / "rows.parquet"]), "2023-04")
        found = lake.table(table.path, ["2023-03", "2023-04"]).order_by("month", "key")
        return list(place.versions()), found.to_pyarrow().to_pandas()

    (keys, duckdb), (others, spark) = (
        stored(engine, prefix) for engine, prefix in zip(engines, ("one", "two"), strict=True)
    )
    assert others == keys
    assert keys[0] == "silver/events/month=2023-03/events.parquet"
    pd.testing.assert_frame_equal(duckdb, spark)


def test_a_worker_killed_during_the_job_changes_nothing(
    tmp_path: Path, source: Path, cluster: SparkCluster, on_duckdb: Project, on_spark: Project
) -> None:
    project = _on(cluster, tmp_path, source)
    begun = project.file("silver/users_processed")
    killed_during: list[bool] = []

    def kill() -> None:
        while not begun.exists():
            time.sleep(0.05)
        cluster.kill_worker()
        silver = project.file("silver/sessions_processed", LAST)
        killed_during.append(not silver.exists())

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    result = project.ingest(FIRST, LAST)
    killer.join(10)
    assert result.success, failure(result)
    assert killed_during == [True], "the worker was to be killed before the end of the job"
    for layer in ("bronze", "silver"):
        expected, found = _files(on_duckdb, layer), _files(project, layer)
        assert found.keys() == expected.keys()
        for key, file in expected.items():
            _assert_same(file, found[key])


def _ordered(table: ibis.Table) -> pd.DataFrame:
    return table.to_pyarrow().to_pandas().sort_values(table.columns[0], ignore_index=True)

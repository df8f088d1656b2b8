"""Spark computes what DuckDB computes: on a real cluster of a master and two workers.

So do Sail, in this process and without Java, and a server of Spark Connect.
"""

from __future__ import annotations

import datetime as dt
import gc
import gzip
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.defs.checks import check, ingestion
from traveltide_assets.defs.checks.check import Context, Outcome
from traveltide_assets.defs.checks.every_table import checks
from traveltide_assets.engines.base import Engine
from traveltide_assets.engines.config import Config as Spark
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.storage.base import Conflict
from traveltide_assets.resources import open_engine, open_lake, open_storage
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.cleaning import judge
from traveltide_assets.transforms.cleaning.parse import month_of
from traveltide_assets.transforms.features.build import compared as compared_with_others
from traveltide_assets_tests.support.events_table import EVENTS, MONTHS
from traveltide_assets_tests.support.project import Project, failure
from traveltide_assets_tests.support.s3_server import S3Server, proxy_of
from traveltide_assets_tests.support.spark_cluster import SparkCluster, SparkConnectServer

FIRST, LAST = "2023-06", "2023-07"
SETTINGS = {
    "partitions": {"first": FIRST, "last": LAST},
    # Two months of few users, some of their rows damaged: enough of everything.
    "cohort": {"min_sessions": 2},
    "strategy": "kmeans",
    "checks": {"max_quarantine_share": 1},
}
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

ODD = [
    *("1.00001E+11", "1,5", "9007199254740991", "9007199254740993", "9007199254740991.4"),
    *("18446744073709551616", "1e-400", "0e5", "7.0", "7.", "7.5", "+7", "-7", "1e308", "1e7"),
    *("NULL", "n/a", "\\N", "None", "nan", "-", "Keine", "true", "T", "0.0", "yes"),
    *("1900-01-01", "2199-12-31 23:59:59", "2023-01-04 23:59:60", "2031-01-01", "12e10"),
]


ENGINES = ("sail", "connect", "cluster")


def _pyspark_with_java() -> Any:
    pyspark = pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no Java runtime here: see `make java`")
    return pyspark


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkConnectServer]:
    home = Path(_pyspark_with_java().__file__).parent
    started = SparkConnectServer(home, tmp_path_factory.mktemp("connect"))
    yield started
    # Clients release what they have read in the background, and would try for minutes.
    gc.collect()
    time.sleep(2)
    started.stop()


@pytest.fixture(scope="module", params=ENGINES)
def computing(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of each engine that is compared with DuckDB."""
    if request.param == "sail":
        pytest.importorskip("pysail", reason="the extra `spark` is not installed")
        return {"engine": "sail"}
    if request.param == "connect":
        return {"engine": "spark", "spark": {"remote": request.getfixturevalue("connect").url}}
    return {"engine": "spark", "spark": {"master": request.getfixturevalue("cluster").url}}


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server
) -> Iterator[SparkCluster]:
    pyspark = _pyspark_with_java()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
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
    # Several files of a table, gzipped ones, and texts of several lines.
    sessions = (folder / "sessions.csv").read_text().splitlines(keepends=True)
    (folder / "sessions.csv").write_text("".join(sessions[:500]))
    with gzip.open(folder / "sessions-more.csv.gz", "wt") as file:
        file.writelines([sessions[0], *sessions[500:]])
    hotels = pd.read_csv(folder / "hotels.csv", dtype=str, keep_default_na=False)
    hotels.loc[:9, "hotel_name"] = 'The "Old"\nInn, - paris '
    (folder / "hotels.csv").unlink()
    hotels.to_csv(folder / "hotels.csv.gz", index=False)
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


@pytest.fixture(scope="module")
def on_each(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    source: Path,
    computing: dict[str, Any],
) -> Project:
    """A project of each engine that is compared with DuckDB."""
    if "master" in computing.get("spark", {}):
        on_spark: Project = request.getfixturevalue("on_spark")
        return on_spark
    project = Project(tmp_path_factory.mktemp("project"), source, **computing, **SETTINGS)
    _run(project)
    return project


def _on(cluster: SparkCluster, folder: Path, source: Path) -> Project:
    return Project(folder, source, engine="spark", spark={"master": cluster.url}, **SETTINGS)


def _run(project: Project) -> None:
    for result in (project.ingest(FIRST, LAST), project.assign(LAST)):
        assert result.success, failure(result)


def _files(project: Project, layer: str = "") -> dict[str, Path]:
    files = (project.lake / layer).rglob("*")
    return {
        file.relative_to(project.lake).as_posix(): file for file in sorted(files) if file.is_file()
    }


def _assert_same(found: dict[str, Path], expected: dict[str, Path]) -> None:
    """The same files with the same rows in the same order, and the same bytes."""
    assert found.keys() == expected.keys()
    for key, file in expected.items():
        if file.suffix == ".parquet":  # Says which values differ.
            one, two = (pq.read_table(each, partitioning=None) for each in (file, found[key]))
            assert one.schema == two.schema
            pd.testing.assert_frame_equal(
                one.to_pandas(), two.to_pandas(), check_exact=True, obj=key
            )
    other = [key for key, file in expected.items() if _content(file) != _content(found[key])]
    assert other == []


def _content(file: Path) -> bytes:
    """The bytes of a file; of notes, those that do not say when something was done."""
    content = file.read_bytes()
    if file.parent.name == "_cleaned":  # Size, times and number of each file that was seen.
        return re.sub(rb"\d+-\d{19}-\d{19}-\d+", b"", content)
    if file.parent.name == "releases":  # When each release was made.
        return re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"", content)
    return content


def test_the_whole_lake_has_the_same_bytes_from_bronze_to_the_release(
    on_duckdb: Project, on_each: Project
) -> None:
    expected = _files(on_duckdb)
    assert {key.partition("/")[0] for key in expected} == {
        *("_cleaned", "bronze", "silver", "gold", "releases")
    }
    assert "gold/report/month=2023-07/report.html" in expected
    _assert_same(_files(on_each), expected)


def test_the_comparison_rests_on_damaged_rows_ties_and_nulls(on_duckdb: Project) -> None:
    refused = [key for key in _files(on_duckdb, "silver") if "quarantine" in key]
    assert sum(pq.read_metadata(_files(on_duckdb)[key]).num_rows for key in refused) > 20
    hotels = on_duckdb.frame("bronze/hotels_raw")
    assert hotels["hotel_name"].str.contains('"Old"\nInn, -', regex=False).sum() == 10
    assert on_duckdb.frame("silver/hotels_processed")["hotel_brand"].str.contains("\n").any()
    features = on_duckdb.frame("gold/user_features", LAST)
    assert len(features) > 50
    assert features["mean_seats"].isna().any()
    assert features["completed_trips"].duplicated().any()
    assert (features["median_page_clicks"] % 1 != 0).any()


def _outcomes(project: Project) -> dict[str, Outcome]:
    """The outcomes of the checks of silver that do not read the source."""
    lake, months = open_lake(project.settings), (FIRST, LAST)
    seen = Context(lake.tables, lake, project.settings, (), months, months)
    silver = [step for step in ingestion.STEPS if step.name.endswith("_silver")]
    listed = [each for step in silver for each in step.checks]
    basic = [pair for step in silver for path in step.tables for pair in checks(lake.tables[path])]
    return {f"{each.table}:{each.name}": each.outcome(seen) for each in (*basic, *listed)}


def test_checks_find_the_same_where_tables_are_too_large_for_this_machine(
    on_duckdb: Project, on_each: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _outcomes(on_duckdb)
    monkeypatch.setattr(check, "FEW_ROWS", 0)
    assert _outcomes(on_each) == expected
    assert expected["silver/hotels_processed:complete"].facts["booked"]
    assert expected["silver/flights_processed:no_orphans"].facts["without_session"]


@pytest.fixture
def engines(tmp_path: Path, cluster: SparkCluster) -> list[Engine]:
    spark = Settings(home=tmp_path, engine="spark", spark=Spark(master=cluster.url))
    return [DuckDB(tmp_path / "scratch"), open_engine(spark)]


@pytest.fixture
def compared(tmp_path: Path, computing: dict[str, Any]) -> list[Engine]:
    """DuckDB, and each engine that is compared with it."""
    return [DuckDB(tmp_path / "scratch"), open_engine(Settings(home=tmp_path, **computing))]


@pytest.fixture
def session(engines: list[Engine]) -> Any:
    """The Spark session that the engines have in common."""
    spark: Any = engines[1]
    return spark.session


def test_text_is_read_as_numbers_and_times_as_duckdb_reads_it(
    tmp_path: Path, compared: list[Engine]
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

    duckdb, spark = map(read, compared)
    pd.testing.assert_frame_equal(duckdb, spark)
    assert duckdb["number"].notna().sum() > 5
    assert duckdb["time"].notna().sum() > 5


def test_what_is_cleaned_is_read_from_bronze_once_though_there_is_a_duplicate(
    tmp_path: Path, engines: list[Engine]
) -> None:
    _write_stays(tmp_path / "hotels.parquet", [_STAY, {**_STAY, "rooms": "2"}])
    spark: Any = engines[1]
    raw = spark.read_parquet([tmp_path / "hotels.parquet"])
    with judge.clean_hotels(raw) as found:
        assert found.rejections == {"duplicate_key": 1}
        plan = spark.backend.rows(found.processed)._jdf.queryExecution().withCachedData()
        leaves = plan.collectLeaves()
        kinds = {leaves.apply(place).nodeName() for place in range(leaves.size())}
    assert kinds == {"InMemoryRelation"}


def test_customers_are_compared_without_a_task_that_has_all_of_them(
    on_duckdb: Project, engines: list[Engine]
) -> None:
    file = on_duckdb.file("gold/user_features", LAST)
    spark: Any = engines[1]
    # What is stored has the columns that are measured as well.
    rows = compared_with_others(spark.read_parquet([file]))
    plan = spark.backend.rows(rows)._jdf.queryExecution().executedPlan().toString()
    steps = re.findall(r"^[ :+*()0-9-]*(\w+ ?\w*)", plan, re.MULTILINE)
    after = [steps[place + 1 :] for place, step in enumerate(steps) if "SinglePartition" in step]
    assert len(after) > 3
    for below in after:
        first = next(step for step in below if not step.startswith("Project"))
        assert first.startswith("HashAggregate"), plan
    stored = pq.read_table(file, partitioning=None).to_pandas()
    found = rows.order_by("user_id").to_pyarrow().to_pandas()
    pd.testing.assert_frame_equal(found[stored.columns.tolist()], stored, check_exact=True)


def _options_of(master: str, folder: Path, **environment: str) -> tuple[str, list[str]]:
    """In a session of its own: `spark.sql.shuffle.partitions`, and options of Java's compiler."""
    code = (
        "import sys; from pathlib import Path; from traveltide_assets.engines.spark import Spark; "
        "session = Spark(sys.argv[1], Path(sys.argv[2])).session; "
        "java = session._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean(); "
        "compiler = [each for each in java.getInputArguments() if 'Tier4Invocation' in each]; "
        "partitions = session.conf.get('spark.sql.shuffle.partitions'); "
        "print('options', partitions, *compiler); session.stop()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, master, folder],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    partitions, *compiler = done.stdout.rpartition("options ")[2].split()
    return partitions, compiler


def test_on_one_machine_spark_has_as_many_partitions_as_cores_can_use_and_compiles_less(
    tmp_path: Path, cluster: SparkCluster
) -> None:
    (tmp_path / "none").mkdir()
    bare = {"SPARK_CONF_DIR": str(tmp_path / "none")}
    ours, theirs = "-XX:Tier4InvocationThreshold=50000", "-XX:Tier4InvocationThreshold=5000"
    assert _options_of("local[3]", tmp_path, **bare) == ("12", [ours])
    given = {"PYSPARK_SUBMIT_ARGS": f"--driver-java-options {theirs} pyspark-shell"}
    # The configuration of the tests sets two partitions. What a user sets comes last, and counts.
    assert _options_of("local[3]", tmp_path, **given) == ("2", [ours, theirs])
    assert _options_of(cluster.url, tmp_path)[1] == []


_STAY = dict(
    zip(
        [column.name for column in SOURCES["hotels"]],
        ("t", "Hilton - x", "1", "1", "2023-01-04 16:00:00", "2023-01-05 11:00:00", "120"),
        strict=True,
    )
)


def _write_stays(file: Path, rows: list[dict[str, str]]) -> None:
    """A raw table of stays, as bronze has it."""
    columns = [column.name for column in SOURCES["hotels"]]
    table = pa.Table.from_pylist(rows, schema=pa.schema([(c, pa.string()) for c in columns]))
    place = pa.array(range(len(rows)), pa.int64())
    for name, values in (("source_row", place), ("source_order", pa.nulls(len(rows), pa.int64()))):
        table = table.append_column(name, values)
    table = table.append_column("source_file", pa.array(["hotels.csv"] * len(rows)))
    pq.write_table(table, file)


def test_damaged_stays_are_cleaned_as_by_duckdb(tmp_path: Path, compared: list[Engine]) -> None:
    rows = [_STAY]
    for column in _STAY:
        for text in (*TEXTS, *ODD):
            changed = {"trip_id": f"t{len(rows)}", column: text}
            rows.append({**_STAY, **changed})
    _write_stays(tmp_path / "hotels.parquet", rows)

    def cleaned(engine: Engine) -> list[pd.DataFrame]:
        raw = engine.read_parquet([tmp_path / "hotels.parquet"])
        with judge.clean_hotels(raw, ["keine"]) as found:
            kept = found.processed.order_by("trip_id").to_pyarrow().to_pandas()
            refused = found.quarantine.order_by("source_row").to_pyarrow().to_pandas()
        return [kept, refused[["source_row", "reason"]]]

    for duckdb, spark in zip(*map(cleaned, compared), strict=True):
        pd.testing.assert_frame_equal(duckdb, spark)
        assert len(duckdb) > 100


def test_halves_ties_and_fractions_of_seconds_count_as_in_duckdb(
    tmp_path: Path, compared: list[Engine]
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

    for duckdb, spark in zip(*map(computed, compared), strict=True):
        pd.testing.assert_frame_equal(duckdb, spark, rtol=1e-12)


def test_a_value_that_no_folder_has_is_that_of_each_file(
    compared: list[Engine], tmp_path: Path
) -> None:
    names = ["flights 1 % (ä).csv", "flights='2'.csv"]
    files = [tmp_path / f"{number}.parquet" for number in range(2)]
    for number, file in enumerate(files):
        pq.write_table(pa.table({"key": [number]}), file)
    partition = "own source file", names
    found = [engine.read_parquet(files, partition).order_by("key") for engine in compared]
    rows = [{"key": 0, "own source file": names[0]}, {"key": 1, "own source file": names[1]}]
    assert [table.to_pyarrow().to_pylist() for table in found] == [rows] * len(compared)


def _lake(place: S3Location, cache: Path, engine: Engine) -> Lake:
    return Lake(open_storage(place, cache, "TRAVELTIDE_LAKE"), engine, {EVENTS.path: EVENTS})


def _rows(lake: Lake) -> pd.DataFrame:
    found = lake.table(EVENTS.path, MONTHS).order_by("month", "key")
    return found.to_pyarrow().to_pandas()


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Rows of two of the three months."""
    rows = {
        "key": ["b", "a", "c"],
        "time": [dt.datetime(2023, 3, 12, 2, 30, 0, 1), None, dt.datetime(2023, 4, 1)],
        "month": ["2023-03", "2023-03", "2023-04"],
    }
    pq.write_table(pa.table(rows), tmp_path / "events.parquet")
    return tmp_path / "events.parquet"


def test_of_a_lake_in_s3_no_bytes_pass_through_the_driver(
    tmp_path: Path,
    engines: list[Engine],
    events: Path,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = s3_server.bucket()
    duckdb, spark = engines
    expected = _lake(S3Location(bucket, "one"), tmp_path / "cache", duckdb)
    expected.write_parts(EVENTS, duckdb.read_parquet([events]), MONTHS)
    rows = spark.read_parquet([events])  # From here on, executors know the server itself.
    with proxy_of(s3_server) as drivers:
        monkeypatch.setenv("AWS_ENDPOINT_URL", drivers.endpoint)
        place = S3Location(bucket, "two")
        for _ in range(2):  # The second time, what is stored is replaced.
            _lake(place, tmp_path / "cache", spark).write_parts(EVENTS, rows, MONTHS)
        found = _rows(_lake(place, tmp_path / "another", spark))
        assert drivers.requests
        assert all("list-type=2" in request for request in drivers.requests)
    pd.testing.assert_frame_equal(_rows(expected), found)
    one, two = (s3_server.contents(S3Location(bucket, prefix)) for prefix in ("one", "two"))
    assert list(two) == list(one)
    assert list(two) == [f"silver/events/month={month}/events.parquet" for month in MONTHS]


def test_executors_replace_what_is_known_and_a_task_may_run_twice(
    tmp_path: Path, engines: list[Engine], s3_server: S3Server
) -> None:
    storage = open_storage(S3Location(s3_server.bucket()), tmp_path / "cache", "TRAVELTIDE_LAKE")
    spark = engines[1].spread
    assert spark is not None

    def twice(function: Any, items: Any) -> Any:
        spark(function, items)
        return spark(function, items)

    for text in ("first", "second"):
        with storage.replacing_all({"key": storage.versions().get("key")}, twice) as places:
            places["key"].write_text(text)
    with (
        pytest.raises(Conflict, match="replaced by another run"),
        storage.replacing_all({"key": None}, spark) as places,
    ):
        places["key"].write_text("third")
    (stored,) = storage.files(storage.versions(), spark)
    assert stored.read_text() == "second"


def test_where_hadoop_knows_s3a_executors_read_the_objects_themselves(
    tmp_path: Path,
    cluster: SparkCluster,
    engines: list[Engine],
    session: Any,
    events: Path,
    s3_server: S3Server,
) -> None:
    """Its jars are not to be had here: Hadoop mounts a folder in the place of the bucket."""
    place = S3Location(s3_server.bucket(), "lake")
    written = _lake(place, tmp_path / "cache", engines[0])
    written.write_parts(EVENTS, engines[0].read_parquet([events]), MONTHS)
    assert not engines[1].opens("s3://bucket/key")
    for key, content in s3_server.contents(place).items():
        file = tmp_path / "bucket" / key
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    hadoop = session._jsc.hadoopConfiguration()
    overloaded = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
    mount = f"fs.viewfs.mounttable.{place.bucket}.link./lake"
    hadoop.set("fs.s3a.impl", overloaded)
    hadoop.set("fs.viewfs.overload.scheme.target.s3a.impl", overloaded)
    hadoop.set(mount, (tmp_path / "bucket").as_uri())
    try:
        settings = Settings(home=tmp_path, engine="spark", spark=Spark(master=cluster.url))
        found = _rows(_lake(place, tmp_path / "another", open_engine(settings)))
    finally:
        hadoop.unset("fs.s3a.impl")
    pd.testing.assert_frame_equal(found, _rows(written))
    assert not (tmp_path / "another").exists()


def test_s3a_and_executors_are_told_the_server_and_no_secret(
    session: Any, s3_server: S3Server
) -> None:
    conf = dict(session.sparkContext.getConf().getAll())
    assert conf["spark.hadoop.fs.s3a.endpoint"] == s3_server.endpoint
    assert conf["spark.hadoop.fs.s3a.endpoint.region"] == "us-east-1"
    assert conf["spark.executorEnv.AWS_ENDPOINT_URL"] == s3_server.endpoint
    assert s3_server.secret not in str(conf)


def test_a_worker_killed_during_the_job_changes_nothing(
    tmp_path: Path, source: Path, cluster: SparkCluster, on_duckdb: Project, on_spark: Project
) -> None:
    project = _on(cluster, tmp_path, source)
    killed_during: list[bool] = []

    def kill() -> None:
        while not [*project.lake.glob("silver/users_processed/*/*.parquet")]:
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
    for layer in ("bronze", "silver", "_cleaned"):
        _assert_same(_files(project, layer), _files(on_duckdb, layer))


def _ordered(table: ibis.Table) -> pd.DataFrame:
    return table.to_pyarrow().to_pandas().sort_values(table.columns[0], ignore_index=True)

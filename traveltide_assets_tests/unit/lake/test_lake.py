"""The lake keeps the last good file, the types of the contract and the months in a row."""

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from traveltide_assets.defs.io_manager import LakeIOManager
from traveltide_assets.defs.partitions import ALL_UP_TO, bounded
from traveltide_assets.engines.base import Spread
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.ownership import Claim, Owner
from traveltide_assets.lake.storage.base import Replaced
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.config import Partitions
from traveltide_assets.schema.errors import ContractError, NotStored
from traveltide_assets.schema.table import Table
from traveltide_assets_tests.support.small_lake import (
    EXTRA,
    MONTHLY,
    MONTHS,
    SNAPSHOT,
    TABLES,
    TOTALS,
    lake_in,
    lazily,
    things,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_in(tmp_path)


# A writer that dies


def test_what_a_killed_writer_left_is_removed_after_an_hour(lake: Lake) -> None:
    lake.write(SNAPSHOT, things("a"))
    path = lake.path(SNAPSHOT.path)
    old, young = path.parent / ".things.parquet.1.tmp", path.parent / ".things.parquet.2.tmp"
    for file, age in ((old, 3_700), (young, 3_500)):
        file.write_bytes(b"half")
        os.utime(file, (time.time() - age,) * 2)
    lake.write(SNAPSHOT, things("b"))
    assert sorted(path.parent.iterdir()) == sorted([young, path])


def test_a_write_that_fails_leaves_nothing_behind(lake: Lake) -> None:
    lake.write(SNAPSHOT, things("a"))
    unreadable = lazily(things("b")).mutate(clicks=ibis.literal("x").cast("int64"))
    with pytest.raises(duckdb.ConversionException):
        lake.write(SNAPSHOT, unreadable)
    assert list(lake.frame(SNAPSHOT.path)["key"]) == ["a"]
    assert len(list(lake.path(SNAPSHOT.path).parent.iterdir())) == 1


# What is stored


def schema_of(lake: Lake, table: Table) -> pa.Schema:
    return lake.footers(table.path)[None].schema.to_arrow_schema()


@pytest.mark.parametrize("lazy", [True, False])
def test_types_and_columns_are_those_of_the_contract(lake: Lake, lazy: bool) -> None:
    frame = things("a", "b").assign(more="x")[["more", *reversed(MONTHLY.column_names)]]
    lake.write(SNAPSHOT, lazily(frame) if lazy else frame)
    stored = schema_of(lake, SNAPSHOT)
    assert {field.name: str(field.type) for field in stored} == {
        "key": "string",
        "clicks": "int64",
        "price": "double",
        "day": "date32[day]",
        "time": "timestamp[us]",
        "flag": "bool",
    }


def test_a_sum_of_integers_is_stored_as_an_integer(lake: Lake) -> None:
    table = lazily(things("a", "a", "b", clicks=2**40))
    summed = table.group_by("key").agg(
        clicks=table.clicks.sum(),
        **{name: table[name].max() for name in ("price", "day", "time", "flag")},
    )
    lake.write(SNAPSHOT, summed)
    assert schema_of(lake, SNAPSHOT).field("clicks").type == pa.int64()
    assert list(lake.frame(SNAPSHOT.path)["clicks"]) == [2**41, 2**40]


def test_extra_columns_stay_where_the_contract_says_so(lake: Lake) -> None:
    frame = things("a").assign(more="x", month="2023-05")
    lake.write(EXTRA, lazily(frame))
    assert schema_of(lake, EXTRA).names == [*EXTRA.column_names, "more"]


def test_a_table_without_a_column_of_its_contract_is_refused(lake: Lake) -> None:
    with pytest.raises(ContractError, match=r"silver/things lacks the columns price, flag"):
        lake.write(SNAPSHOT, lazily(things("a").drop(columns=["price", "flag"])))


@pytest.mark.parametrize("lazy", [True, False])
def test_rows_are_stored_by_key_so_their_order_of_arrival_does_not_change_a_byte(
    lake: Lake, lazy: bool
) -> None:
    digests = set()
    for frame in (things("c", "a", "b"), things("b", "c", "a")):
        written = lake.write(SNAPSHOT, lazily(frame) if lazy else frame)
        assert list(lake.frame(SNAPSHOT.path)["key"]) == ["a", "b", "c"]
        assert written.footer is not None
        assert written.footer.num_rows == lake.rows(SNAPSHOT.path) == 3
        content = lake.path(SNAPSHOT.path).read_bytes()
        assert written.sha256 == hashlib.sha256(content).hexdigest()
        assert written.size_bytes == len(content)
        digests.add(written.sha256)
    assert len(digests) == 1


def test_a_table_that_was_never_written_says_what_to_do(lake: Lake) -> None:
    with pytest.raises(NotStored, match="materialize that asset first") as error:
        lake.table(SNAPSHOT.path)
    assert error.value.permanent


# Months


@pytest.mark.parametrize("above", ["clicks=3", "month=2020-01", "env=prod", "key=a"])
def test_folders_above_the_lake_called_like_columns_change_nothing(
    tmp_path: Path, above: str
) -> None:
    lake = lake_in(tmp_path / above / "deep=1" / "x")
    for month in MONTHS:
        lake.write(MONTHLY, lazily(things("a", "b", clicks=7)), month)
    rows = lake.table(MONTHLY.path, MONTHS).to_pyarrow()
    assert rows.column_names == [*MONTHLY.column_names, "month"]
    assert sorted(rows["month"].to_pylist()) == sorted([*MONTHS, *MONTHS])
    assert set(rows["clicks"].to_pylist()) == {7}
    assert set(rows["key"].to_pylist()) == {"a", "b"}


@pytest.mark.parametrize("name", [".", "lake [v2]", "up/../down"])
def test_the_months_of_a_lake_at_a_relative_path_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "up").mkdir()
    monkeypatch.chdir(tmp_path)
    lake = Lake(Folder(Path(name)), DuckDB(tmp_path / "scratch"), TABLES)
    for month in MONTHS:
        lake.write(MONTHLY, lazily(things("a")), month)
    rows = lake.table(MONTHLY.path, MONTHS).to_pyarrow()
    assert sorted(rows["month"].to_pylist()) == MONTHS


def test_everybody_reads_the_months_without_this_package(tmp_path: Path, lake: Lake) -> None:
    for number, month in enumerate(MONTHS):
        lake.write(MONTHLY, lazily(things("a", "b", clicks=number)), month)
    root = tmp_path / "lake" / "silver" / "events"
    expected = {month: 2 * number for number, month in enumerate(MONTHS)}
    query = f"""
        SELECT month, sum(clicks)::int FROM read_parquet('{root}/**/*.parquet',
        hive_partitioning = true, hive_types = {{'month': VARCHAR}}) GROUP BY month
    """
    assert dict(duckdb.connect().execute(query).fetchall()) == expected
    by_pandas = pd.read_parquet(root).groupby("month", observed=True)["clicks"].sum()
    assert {str(month): int(clicks) for month, clicks in by_pandas.items()} == expected
    by_arrow = ds.dataset(root, partitioning="hive").to_table().group_by("month")
    counted = by_arrow.aggregate([("clicks", "sum")]).to_pylist()
    assert {line["month"]: line["clicks_sum"] for line in counted} == expected
    assert lake.months(MONTHLY.path) == MONTHS


def test_rows_are_counted_over_the_months_within_the_bounds(lake: Lake) -> None:
    bounds = Partitions(first=MONTHS[1], last=MONTHS[2])
    assert lake.total_rows(MONTHLY.path, bounds) == 0
    for month in MONTHS:
        lake.write(MONTHLY, things("a", "b"), month)
    lake.write(SNAPSHOT, things("a"))
    assert lake.total_rows(MONTHLY.path, bounds) == 4
    assert lake.total_rows(SNAPSHOT.path, bounds) == 1


class Restless(Folder):
    """A folder in which files are replaced between the look at it and the reading of them."""

    def __init__(self, root: Path, times: int) -> None:
        super().__init__(root)
        self.times = times

    def files(self, versions: Mapping[str, str], spread: Spread | None = None) -> list[Path]:
        self.times -= 1
        if self.times >= 0:
            raise Replaced("replaced while it was read")
        return super().files(versions)


def test_a_file_replaced_while_it_is_read_is_looked_up_again(tmp_path: Path, lake: Lake) -> None:
    lake.write(SNAPSHOT, things("a"))
    for times in (1, 2, 3):
        restless = Lake(Restless(tmp_path / "lake", times), DuckDB(tmp_path / "scratch"), TABLES)
        if times < 3:
            assert restless.rows(SNAPSHOT.path) == 1
        else:
            with pytest.raises(Replaced):
                restless.rows(SNAPSHOT.path)


@dg.asset(
    key_prefix="silver",
    partitions_def=bounded(MONTHS[0], MONTHS[-1]),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def events(context: dg.AssetExecutionContext, engine: dg.ResourceParam[DuckDB]) -> ibis.Table:
    frames = [things("b", "a").assign(month=month) for month in MONTHS]
    table = engine.backend.create_table("events", pd.concat(frames), temp=True)
    return table.filter(table.month.isin(list(context.partition_keys)))


@dg.asset(
    key_prefix="gold",
    ins={"found": dg.AssetIn(["silver", "events"], partition_mapping=ALL_UP_TO)},
    partitions_def=bounded(MONTHS[0], MONTHS[-1]),
)
def totals(found: ibis.Table) -> ibis.Table:
    return found.group_by(seen=found.month).agg(rows=found.count())


def run(
    folder: Path, asset: dg.AssetsDefinition, first: str, last: str, succeeds: bool = True
) -> dg.ExecuteInProcessResult:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    engine = DuckDB(folder / "scratch")
    lake = Lake(Folder(folder / "lake"), engine, TABLES)
    claim = Claim(lake.storage, lambda _: Owner(location="here"), folder / "lock")
    claim.take()
    result = dg.materialize(
        [events, totals],
        selection=[asset],
        resources={"engine": engine, "io_manager": LakeIOManager(lake, claim)},
        raise_on_error=False,
        **({"partition_key": first} if first == last else {"tags": tags}),
    )
    assert result.success == succeeds
    return result


def test_a_range_gives_the_bytes_of_its_months_one_by_one(tmp_path: Path) -> None:
    run(tmp_path / "range", events, MONTHS[0], MONTHS[-1])
    for month in MONTHS:
        run(tmp_path / "months", events, month, month)
        path, other = (
            lake_in(tmp_path / way).path(MONTHLY.path, month) for way in ("range", "months")
        )
        assert path.read_bytes() == other.read_bytes()
        assert pq.read_schema(path).names == list(MONTHLY.column_names)


def test_the_data_version_is_the_hash_of_the_content(tmp_path: Path, lake: Lake) -> None:
    (event,) = run(tmp_path, events, "2023-06", "2023-06").asset_materializations_for_node(
        "silver__events"
    )
    content = lake.path(MONTHLY.path, "2023-06").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert event.tags is not None
    assert event.tags["dagster/data_version"] == digest
    assert event.metadata["sha256"].value == digest
    assert event.metadata["dagster/row_count"].value == 2
    assert event.metadata["size_bytes"].value == len(content)


def test_a_range_tells_rows_and_hash_of_each_of_its_months(tmp_path: Path, lake: Lake) -> None:
    result = run(tmp_path, events, MONTHS[0], MONTHS[-1])
    found = {e.partition: e for e in result.asset_materializations_for_node("silver__events")}
    assert sorted(str(month) for month in found) == MONTHS
    for month, event in found.items():
        content = lake.path(MONTHLY.path, month).read_bytes()
        assert event.metadata["sha256"].value == hashlib.sha256(content).hexdigest()
        assert event.metadata["dagster/row_count"].value == 2


def test_a_month_sees_the_months_up_to_it_and_not_the_later_ones(
    tmp_path: Path, lake: Lake
) -> None:
    run(tmp_path, events, MONTHS[0], MONTHS[-1])
    run(tmp_path, totals, "2023-06", "2023-06")
    seen = lake.frame(TOTALS.path, "2023-06")
    assert dict(zip(seen["seen"], seen["rows"], strict=True)) == {"2023-05": 2, "2023-06": 2}


def test_months_before_the_first_stored_one_lie_before_the_data(tmp_path: Path, lake: Lake) -> None:
    run(tmp_path, events, "2023-06", "2023-07")
    run(tmp_path, totals, "2023-07", "2023-07")
    assert list(lake.frame(TOTALS.path, "2023-07")["seen"]) == ["2023-06", "2023-07"]


@pytest.mark.parametrize(
    ("stored", "missing"),
    [(["2023-05", "2023-07"], "2023-06"), (["2023-05"], "2023-06, 2023-07")],
)
def test_a_hole_in_the_months_is_an_error_that_names_them(
    tmp_path: Path, lake: Lake, stored: list[str], missing: str
) -> None:
    for month in stored:
        run(tmp_path, events, month, month)
    result = run(tmp_path, totals, "2023-07", "2023-07", succeeds=False)
    event = next(event for event in result.all_events if event.is_step_failure)
    message = str(event.step_failure_data)
    assert f"silver/events lacks {missing}: materialize these months first" in message
    assert not lake.exists(TOTALS.path, "2023-07")

"""Small inputs that once went wrong: each is read right, or refused with place and remedy."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.sources.base import SourceError
from traveltide_assets.sources.files import Files
from traveltide_assets.transforms.cleaning import judge
from traveltide_assets.transforms.cleaning.cleaned import Cleaned

MONTHS = [f"2023-0{number}" for number in range(1, 8)]


class Read:
    """A source, read and cleaned table by table."""

    def __init__(self, folder: Path, tmp_path: Path, null_words: tuple[str, ...] = ()) -> None:
        self._files = Files(Folder(folder), DuckDB(tmp_path / "scratch"), tmp_path / "staging")
        self._null_words = null_words

    def of(self, name: str) -> tuple[pd.DataFrame, Mapping[str, int]]:
        """The rows of silver, and the number of rejected rows by rule."""
        raw, words = self._files.table(name), self._null_words
        clean: Mapping[str, Callable[[], Cleaned]] = {
            "users": lambda: judge.clean_users(raw, words),
            "sessions": lambda: judge.clean_sessions(
                raw, judge.processed("users", self._users()), MONTHS, words
            ),
            "flights": lambda: judge.clean_flights(raw, words),
            "hotels": lambda: judge.clean_hotels(raw, words),
        }
        with clean[name]() as cleaned:
            frame = cleaned.processed.to_pyarrow().to_pandas()
            return frame, cleaned.rejections

    def _users(self) -> ibis.Table:
        return judge.validated("users", self._files.table("users"))

    def refusal(self) -> str:
        with pytest.raises(SourceError) as error:
            self._files.table("users")
        return str(error.value)


@pytest.fixture
def base(cases: Path, tmp_path: Path) -> Path:
    """A copy of the sound source."""
    return Path(shutil.copytree(cases / "base300", tmp_path / "source"))


def put(cases: Path, case: str, source: Path) -> None:
    for file in (cases / case).iterdir():
        shutil.copy(file, source / file.name)


def as_parquet(source: Path, name: str, **kinds: pa.DataType) -> None:
    """The CSV file of a table as Parquet, every column as text but those of other kinds."""
    path = source / f"{name}.csv"
    text = {column.name: pa.string() for column in SOURCES[name]}
    options = pa.csv.ConvertOptions(column_types=text, strings_can_be_null=True)
    table = pa.csv.read_csv(path, convert_options=options)
    for column, kind in kinds.items():
        place = table.schema.get_field_index(column)
        table = table.set_column(place, column, table[column].cast(kind))
    pq.write_table(table, source / f"{name}.parquet")
    path.unlink()


def test_the_sound_source_is_read_whole(base: Path, tmp_path: Path) -> None:
    read = Read(base, tmp_path)
    sizes = {name: len(read.of(name)[0]) for name in SOURCES}
    assert sizes == {name: len(pd.read_csv(base / f"{name}.csv")) for name in SOURCES}
    assert {name: dict(read.of(name)[1]) for name in SOURCES} == {name: {} for name in SOURCES}


def test_decimal_commas_are_refused_as_such(cases: Path, base: Path, tmp_path: Path) -> None:
    put(cases, "flights_decimal_comma", base)
    rows, refused = Read(base, tmp_path).of("flights")
    assert (len(rows), refused) == (0, {"unreadable_destination_airport_lat": 696})


@pytest.mark.parametrize("case", ["one_absurd_price_stops_the_run"])
@pytest.mark.parametrize(
    ("name", "column"), [("hotels", "hotel_per_room_usd"), ("flights", "base_fare_usd")]
)
def test_one_absurd_price_is_one_refused_row(
    cases: Path, base: Path, tmp_path: Path, case: str, name: str, column: str
) -> None:
    put(cases, case, base)
    rows, refused = Read(base, tmp_path).of(name)
    assert refused == {f"implausible_{column}": 1}
    assert rows[column].max() < 1e5


@pytest.mark.parametrize("parquet", [False, True])
def test_ids_in_scientific_notation_are_refused_not_merged(
    cases: Path, base: Path, tmp_path: Path, parquet: bool
) -> None:
    put(cases, "scientific_ids", base)
    if parquet:
        as_parquet(base, "users")
        as_parquet(base, "sessions")
    for name in ("users", "sessions"):
        rows, refused = Read(base, tmp_path).of(name)
        assert len(rows) == 0
        assert set(refused) == {"inexact_user_id"}


@pytest.mark.parametrize("kind", [pa.float64(), pa.int64(), pa.decimal128(20, 2)])
def test_ids_that_a_number_holds_exactly_are_the_ids(
    base: Path, tmp_path: Path, kind: pa.DataType
) -> None:
    before, _ = Read(base, tmp_path).of("users")
    as_parquet(base, "users", user_id=kind)
    after, refused = Read(base, tmp_path).of("users")
    assert refused == {}
    assert set(after["user_id"]) == set(before["user_id"])


def test_text_in_parquet_without_its_mark_is_the_text(
    cases: Path, base: Path, tmp_path: Path
) -> None:
    before, _ = Read(base, tmp_path).of("hotels")
    put(cases, "parquet_binary_strings", base)
    (base / "hotels.csv").unlink()
    rows, refused = Read(base, tmp_path).of("hotels")
    assert refused == {}
    assert len(rows) == len(before)
    assert not rows["hotel_brand"].str.contains("\\x", regex=False).any()


def test_nan_in_parquet_is_null(cases: Path, base: Path, tmp_path: Path) -> None:
    before, _ = Read(base, tmp_path).of("sessions")
    (base / "sessions.csv").unlink()
    shutil.copy(cases / "nan_in_parquet" / "sessions.parquet", base)
    rows, refused = Read(base, tmp_path).of("sessions")
    assert refused == {}
    amounts = ["flight_discount_amount", "hotel_discount_amount"]
    assert rows[amounts].isna().sum().to_dict() == before[amounts].isna().sum().to_dict()


def test_a_word_for_null_has_a_rule_of_its_own_and_a_setting(
    cases: Path, base: Path, tmp_path: Path
) -> None:
    shutil.copy(cases / "nan_in_parquet" / "sessions.csv", base)
    _, refused = Read(base, tmp_path).of("sessions")
    assert {rule.rpartition("null_word_")[1] for rule in refused} == {"null_word_"}
    assert "null_word_trip_id" in refused, "NULL is no trip"
    assert sum(refused.values()) > 1_000
    rows, refused = Read(base, tmp_path, null_words=("null",)).of("sessions")
    assert refused == {}
    assert len(rows) > 1_000


@pytest.mark.parametrize("file", ["hotels_quoted.csv", "hotels_unquoted.csv"])
def test_mixed_line_ends_change_no_row(cases: Path, base: Path, tmp_path: Path, file: str) -> None:
    before, _ = Read(base, tmp_path).of("hotels")
    shutil.copy(cases / "mixed_line_ends" / file, base / "hotels.csv")
    rows, refused = Read(base, tmp_path).of("hotels")
    assert refused == {}
    by = ["trip_id"]
    pd.testing.assert_frame_equal(
        rows.sort_values(by, ignore_index=True), before.sort_values(by, ignore_index=True)
    )


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("header_same_name_other_case", "two columns have the same name: 'Trip_ID' and 'trip_id'"),
        ("excel_dialect", "the separator is a semicolon (;)"),
        ("first_line_blank", "the first line is blank"),
    ],
)
def test_a_file_that_is_not_read_is_named_with_the_reason(
    cases: Path, base: Path, tmp_path: Path, case: str, said: str
) -> None:
    put(cases, case, base)
    message = Read(base, tmp_path).refusal()
    assert f"hotels.csv: {said}" in message
    assert "Hilton" not in message


def test_times_with_a_zone_are_in_no_month(cases: Path, base: Path, tmp_path: Path) -> None:
    put(cases, "sessions_times_zone_or_us", base)
    sessions = Files(Folder(base), DuckDB(tmp_path / "scratch"), tmp_path / "staging").table(
        "sessions"
    )
    assert Counter(sessions.month.to_pyarrow().to_pylist()) == {
        None: len(pd.read_csv(base / "sessions.csv"))
    }

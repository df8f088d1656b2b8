"""A folder of files in any dialect becomes four tables of text, or a clear error and nothing."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.sources.base import SourceError
from traveltide_assets_tests.support.landed_files import (
    HEADER,
    SOUND,
    rows,
    shorten_a_line,
    source,
    text,
    write_sound,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sound(tmp_path)


@pytest.mark.parametrize(
    "file",
    [
        "hotels.csv",
        "public_hotels_export_2025-03-31_221253.csv",
        "HOTELS-2023.CSV",
        "my hotels (1) [new].csv",
    ],
)
def test_a_file_is_recognised_by_the_table_anywhere_in_its_name(folder: Path, file: str) -> None:
    (folder / "hotels.csv").rename(folder / file)
    assert [(r["trip_id"], r["source_file"]) for r in rows(folder, "hotels")] == [("1-t", file)]


def test_other_files_and_hidden_ones_are_left_alone(folder: Path) -> None:
    for name in ("notes.csv", "._hotels.csv", "hotels.txt", ".~lock.hotels.csv#", "hotels.csv~"):
        (folder / name).write_bytes(b"\x00\xff")
    (folder / "notes").mkdir()
    (folder / ".hotels").mkdir()
    (folder / "notes.xlsx").symlink_to(folder / "nowhere")
    assert len(rows(folder, "hotels")) == 1


def test_files_that_are_passed_over_are_named_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("hotel.csv", "truth.csv", "notes.txt", "users.md", "users.csv.bak"):
        (folder / name).write_text("no table", encoding="utf-8")
    known = source(folder)
    for name in SOURCES:
        known.table(name)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [
        f"{folder}: ignored files, because their names contain no table's name: hotel.csv",
        f"{folder}: ignored files, because their endings are not those of data: users.csv.bak, "
        "users.md",
    ]


def test_csv_gzip_and_parquet_give_the_same_rows(folder: Path) -> None:
    for name in SOURCES:
        plain = rows(folder, name)
        path = folder / f"{name}.csv"
        for other, content in (
            (f"{name}.csv.gz", gzip.compress(path.read_bytes())),
            (f"{name}.CSV.GZ", gzip.compress(path.read_bytes())),
        ):
            path.unlink()
            path = folder / other
            path.write_bytes(content)
            content = gzip.decompress(content)
            assert rows(folder, name) == [{**row, "source_file": other} for row in plain]
        path.unlink()
        values = {column: [plain[0][column]] for column in HEADER[name]}
        schema = pa.schema([(column, pa.string()) for column in values])
        pq.write_table(pa.table(values, schema=schema), folder / f"{name}.parquet")
        assert rows(folder, name) == [{**row, "source_file": f"{name}.parquet"} for row in plain]


def test_typed_parquet_is_read_as_text(folder: Path) -> None:
    (folder / "hotels.csv").unlink()
    path = folder / "hotels.parquet"
    table = pa.table({column: ["1"] for column in HEADER["hotels"]})
    table = table.set_column(3, "rooms", pa.array([2.0]))
    pq.write_table(table.set_column(2, "nights", pa.array([3], pa.int8())), path)
    (row,) = rows(folder, "hotels")
    assert (row["nights"], row["rooms"]) == ("3", "2.0")


def test_several_files_make_one_table_in_name_order(folder: Path) -> None:
    (folder / "hotels-2.csv").write_text(text("hotels", *[SOUND["hotels"]] * 2), encoding="utf-8")
    places = [(r["source_file"], r["source_row"]) for r in rows(folder, "hotels")]
    assert places == [("hotels-2.csv", 1), ("hotels-2.csv", 2), ("hotels.csv", 1)]


def test_rows_keep_their_order_in_a_file_of_many_buffers(folder: Path) -> None:
    count = 400_000
    line = SOUND["hotels"].partition(",")[2]
    (folder / "hotels.csv").write_text(
        text("hotels", *(f"{number},{line}" for number in range(1, count + 1))), encoding="utf-8"
    )
    table = source(folder).table("hotels")
    moved = table.filter(table.trip_id.cast("int64") != table.source_row)
    assert int(moved.count().to_pyarrow().as_py()) == 0
    assert int(table.count().to_pyarrow().as_py()) == count


def test_column_order_is_free(folder: Path) -> None:
    turned = [",".join(reversed(line.split(","))) for line in text("hotels").splitlines()]
    before = rows(folder, "hotels")
    (folder / "hotels.csv").write_text("\n".join(turned), encoding="utf-8")
    assert rows(folder, "hotels") == before


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('"1-t","","3","1","","2023-07-10 11:00:00",""', ["1-t", None, "3", "1", None]),
        ("1-t,,3,1,,2023-07-10 11:00:00,", ["1-t", None, "3", "1", None]),
        (' 1-t ,NULL,\\N,"1,5","#x",NA,nan', [" 1-t ", "NULL", "\\N", "1,5", "#x"]),
        ('1-t,"The ""Grand""\nHotel - x",3,1,t,u,1', ["1-t", 'The "Grand"\nHotel - x', "3"]),
    ],
)
def test_text_is_taken_as_it_stands_and_null_is_empty_quoted_or_not(
    folder: Path, line: str, expected: Sequence[str | None]
) -> None:
    (folder / "hotels.csv").write_text(text("hotels", line), encoding="utf-8")
    (row,) = rows(folder, "hotels")
    assert [row[column] for column in HEADER["hotels"]][: len(expected)] == expected


def test_a_byte_order_mark_and_windows_lines_do_not_matter(folder: Path) -> None:
    before = rows(folder, "flights")
    windows = text("flights").replace("\n", "\r\n")
    (folder / "flights.csv").write_bytes(b"\xef\xbb\xbf" + windows.encode())
    assert rows(folder, "flights") == before


def test_files_with_different_extra_columns_make_one_table(folder: Path) -> None:
    more = text("hotels").replace("\n", ",stars\n", 1).replace("120\n", "120,5\n")
    (folder / "hotels-more.csv").write_text(more, encoding="utf-8")
    assert [r["stars"] for r in rows(folder, "hotels")] == ["5", None]


def test_the_price_of_a_room_is_known_under_two_names(folder: Path) -> None:
    path = folder / "hotels.csv"
    renamed = path.read_text().replace("hotel_per_room_usd", "hotel_price_per_room_night")
    path.write_text(renamed, encoding="utf-8")
    (row,) = rows(folder, "hotels")
    assert row["hotel_per_room_usd"] == "120"
    assert "hotel_price_per_room_night" not in row


# What is wrong with a source


def drop_column(folder: Path) -> None:
    path = folder / "hotels.csv"
    path.write_text(path.read_text().replace("rooms", "chambers"), encoding="utf-8")


def drop_table(folder: Path) -> None:
    (folder / "hotels.csv").unlink()


def name_two_tables(folder: Path) -> None:
    (folder / "hotels.csv").rename(folder / "hotels_of_users.csv")


def name_a_column_twice(folder: Path) -> None:
    (folder / "hotels.csv").write_text("trip_id,trip_id\n1,2\n", encoding="utf-8")


def shorten_a_late_line(folder: Path) -> None:
    lines = [SOUND["hotels"]] * 50_000
    (folder / "hotels.csv").write_text(text("hotels", *lines, "1-u,Hilton"), encoding="utf-8")


def lengthen_every_line(folder: Path) -> None:
    (folder / "hotels.csv").write_text(text("hotels", *[SOUND["hotels"] + ",x"] * 9), "utf-8")


def leave_a_quote_open(folder: Path) -> None:
    (folder / "hotels.csv").write_text(text("hotels", f'"{SOUND["hotels"]}'), encoding="utf-8")


def write_latin_1(folder: Path) -> None:
    (folder / "hotels.csv").write_bytes(text("hotels").replace("Hilton", "Hôtel").encode("latin-1"))


def write_latin_1_header(folder: Path) -> None:
    (folder / "hotels.csv").write_bytes(text("hotels").replace("nights", "nüits").encode("latin-1"))


def empty_a_file(folder: Path) -> None:
    (folder / "hotels.csv").write_bytes(b"")


def cut_gzip(folder: Path) -> None:
    content = gzip.compress(os.urandom(100_000).hex().encode())
    (folder / "hotels.csv").unlink()
    (folder / "hotels.csv.gz").write_bytes(content[:50_000])


def rename_to_gzip(folder: Path) -> None:
    (folder / "hotels.csv").rename(folder / "hotels.csv.gz")


def rename_to_parquet(folder: Path) -> None:
    (folder / "hotels.csv").rename(folder / "hotels.parquet")


def empty_the_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def remove_the_folder(folder: Path) -> None:
    empty_the_folder(folder)
    folder.rmdir()


BROKEN: list[tuple[Callable[[Path], None], Sequence[str]]] = [
    (drop_column, ["hotels.csv", "table hotels", "required column rooms", "chambers"]),
    (drop_table, ["no file for hotels", "found: flights.csv, sessions.csv, users.csv"]),
    (name_two_tables, ["hotels_of_users.csv", "users and hotels"]),
    (name_a_column_twice, ["hotels.csv", "duplicate column names: trip_id"]),
    (shorten_a_line, ["hotels.csv: line 3: 2 values, but the header has 7 columns", "cut off"]),
    (shorten_a_late_line, ["hotels.csv: line 50002: 2 values, but the header has 7 columns"]),
    (lengthen_every_line, ["hotels.csv: line 2: 8 values, but the header has 7 columns", "comma"]),
    (leave_a_quote_open, ["hotels.csv: line 2, column trip_id: a quotation mark is not closed"]),
    (write_latin_1, ["hotels.csv: line 2, column hotel_name: not UTF-8"]),
    (write_latin_1_header, ["hotels.csv", "first line is not UTF-8"]),
    (empty_a_file, ["hotels.csv", "is empty"]),
    (cut_gzip, ["hotels.csv.gz"]),
    (rename_to_gzip, ["hotels.csv.gz", "Not a gzipped file"]),
    (rename_to_parquet, ["hotels.parquet", "magic bytes"]),
    (empty_the_folder, ["no file for users, sessions, flights, hotels", "no CSV or Parquet"]),
    (remove_the_folder, ["does not exist", "TRAVELTIDE_SOURCE"]),
]


@pytest.mark.parametrize(("spoil", "words"), BROKEN, ids=lambda v: getattr(v, "__name__", ""))
def test_a_broken_source_is_a_clear_error_whichever_table_is_asked_for(
    folder: Path, spoil: Callable[[Path], None], words: Sequence[str]
) -> None:
    spoil(folder)
    with pytest.raises(SourceError) as error:
        source(folder).table("users")
    message = str(error.value)
    assert [word for word in [str(folder), *words] if word not in message] == []
    assert "SELECT" not in message
    assert "strict_mode" not in message


# Staging


def staged(folder: Path, name: str) -> list[Path]:
    return sorted((folder.parent / "staging").glob(f"*/{name}-*/*"))


def test_a_file_that_has_not_changed_is_not_parsed_again(folder: Path) -> None:
    rows(folder, "hotels")
    (copy,) = staged(folder, "hotels")
    written = copy.stat().st_mtime_ns
    rows(folder, "hotels")
    assert [path.stat().st_mtime_ns for path in staged(folder, "hotels")] == [written]


def test_a_changed_file_is_read_again_and_its_old_copy_goes(folder: Path) -> None:
    known = source(folder)
    assert known.counts("hotels", [])[None] == 1
    before, others = staged(folder, "hotels"), staged(folder, "users")
    (folder / "hotels.csv").write_text(text("hotels", *[SOUND["hotels"]] * 3), encoding="utf-8")
    assert known.counts("hotels", [])[None] == 3
    after = staged(folder, "hotels")
    assert len(after) == 1
    assert after != before
    assert staged(folder, "users") == others


def test_bronze_takes_staged_files_and_joins_those_of_a_month(
    folder: Path,
) -> None:
    june = SOUND["sessions"].replace("2023-07-01", "2023-06-30").replace("1-a,", "1-b,")
    undated = SOUND["sessions"].replace("2023-07-01 10:00:00", "soon").replace("1-a,", "1-c,")
    (folder / "sessions-2.csv").write_text(text("sessions", june, undated, june), "utf-8")
    known = source(folder)
    assert known.parts("hotels", [])["hotels.csv"].parent in staged(folder, "hotels")
    parts = known.parts("sessions", ["2023-05", "2023-06", "2023-07"])
    stored = {month: pq.read_table(file) for month, file in parts.items()}
    # The number of a row is its place in the file, whatever month it is of.
    assert {month: rows["source_row"].to_pylist() for month, rows in stored.items()} == {
        "2023-05": [],
        "2023-06": [1, 3],
        "2023-07": [1],
    }
    assert known.sessions_by_month() == {"2023-06": 2, "2023-07": 1}
    outside = known.sessions_outside(["2023-07"]).order_by("source_row").to_pyarrow()
    assert outside.select(["source_row", "month"]).to_pylist() == [
        {"source_row": 1, "month": "2023-06"},
        {"source_row": 2, "month": None},
        {"source_row": 3, "month": "2023-06"},
    ]
    (folder / "sessions-3.csv").write_text(text("sessions", june.replace("1-b,", "1-d,")), "utf-8")
    joined = known.parts("sessions", ["2023-06"])["2023-06"]
    assert pq.read_table(joined)["session_id"].to_pylist() == ["1-b", "1-b", "1-d"]
    written = joined.stat().st_mtime_ns
    assert known.parts("sessions", ["2023-06"])["2023-06"].stat().st_mtime_ns == written


def test_a_file_that_became_older_than_another_is_not_parsed_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "hotels-2.csv").write_text(text("hotels", *[SOUND["hotels"]] * 2), "utf-8")
    os.utime(folder / "hotels.csv", (1, 1))
    assert [row["source_order"] for row in rows(folder, "hotels")] == [2, 2, 1]
    before = rows(folder, "hotels")
    shutil.copy(folder / "hotels.csv", folder / "again")
    (folder / "again").replace(folder / "hotels.csv")
    with caplog.at_level("INFO"):
        after = rows(folder, "hotels")
    assert [row["source_order"] for row in after] == [1, 1, 2]
    assert [row | {"source_order": 0} for row in after] == [
        row | {"source_order": 0} for row in before
    ]
    assert [record.message for record in caplog.records if "reading" in record.message] == [
        f"reading {folder / 'hotels.csv'}"
    ]


@pytest.mark.parametrize("name", ["rows.parquet", "about.json"])
@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda file: file.write_bytes(b"PAR1"),
        lambda file: file.write_bytes(b"[1]"),
        lambda file: file.write_bytes(b'{"rows": {"rows": 1}}'),
    ],
)
def test_staged_rows_that_are_damaged_are_staged_again(
    folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    before = source(folder).parts("hotels", [])["hotels.csv"]
    content = before.read_bytes()
    damage(before.with_name(name))
    after = source(folder).parts("hotels", [])["hotels.csv"]
    assert after.read_bytes() == content


def test_damaged_staged_rows_are_not_given_another_place(folder: Path) -> None:
    whole = rows(folder, "hotels")
    (staged(folder, "hotels")[0] / "rows.parquet").write_bytes(b"PAR1")
    (folder / "hotels-0.csv").write_text(text("hotels"), encoding="utf-8")
    os.utime(folder / "hotels-0.csv", (1, 1))
    assert rows(folder, "hotels")[1:] == [row | {"source_order": 2} for row in whole]


def test_damaged_staged_sessions_outside_the_months_are_staged_again(folder: Path) -> None:
    before = source(folder).sessions_outside([]).to_pyarrow()
    for file in staged(folder, "sessions")[0].glob("*.parquet"):
        file.write_bytes(b"PAR1")
    assert source(folder).sessions_outside([]).to_pyarrow() == before
    assert source(folder).table("sessions").to_pyarrow() == before


def test_a_new_file_counts_at_once_and_a_deleted_one_no_more(folder: Path) -> None:
    known = source(folder)
    assert known.counts("hotels", [])[None] == 1
    (folder / "hotels-2.csv").write_text(text("hotels", *[SOUND["hotels"]] * 3), encoding="utf-8")
    assert known.counts("hotels", [])[None] == 4
    (folder / "hotels.csv").unlink()
    assert known.counts("hotels", [])[None] == 3


def test_files_of_one_name_in_two_folders_are_two_files(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_text(path.read_text().replace("montreal", "toronto!"), "utf-8")
    assert rows(folder, "hotels")[0]["hotel_name"] == "Hilton - montreal"
    assert rows(other, "hotels")[0]["hotel_name"] == "Hilton - toronto!"
    assert len(staged(folder, "hotels")) == 2


# What a sensor asks


def test_a_changed_or_new_file_has_another_version_and_only_files_of_tables_count(
    folder: Path,
) -> None:
    (folder / "notes.csv").write_text("x", encoding="utf-8")
    before = source(folder).versions()
    assert sorted(before) == sorted(f"{name}.csv" for name in SOURCES)
    (folder / "hotels.csv").write_text(text("hotels", *[SOUND["hotels"]] * 2), encoding="utf-8")
    (folder / "hotels-2.csv").write_text(text("hotels"), encoding="utf-8")
    after = source(folder).versions()
    changed = {name for name, version in after.items() if before.get(name) != version}
    assert changed == {"hotels.csv", "hotels-2.csv"}


def test_a_file_touches_the_months_that_its_sessions_start_in(folder: Path) -> None:
    (folder / "sessions-more.csv").write_text(
        text(
            "sessions",
            SOUND["sessions"].replace("2023-07-01", "2023-06-30"),
            SOUND["sessions"].replace("2023-07-01 10:00:00", "2023-05-31 23:59:59"),
            SOUND["sessions"].replace("2023-07-01 10:00:00", "no time"),
        ),
        encoding="utf-8",
    )
    assert source(folder).months_of(["sessions.csv", "sessions-more.csv", "users.csv"]) == {
        "sessions.csv": {"2023-07"},
        "sessions-more.csv": {"2023-05", "2023-06"},
        "users.csv": set(),
    }

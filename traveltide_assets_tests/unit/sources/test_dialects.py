"""Files of any dialect are read as they stand, or named with line, column and what to do."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.sources.base import SourceError
from traveltide_assets_tests.support.landed_files import (
    HEADER,
    SOUND,
    refusal,
    rows,
    source,
    text,
    write_sound,
)

LINES = ["1-t,Hilton - x,1,1,2023-07-09 16:00:00,2023-07-10 11:00:00,120"] * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sound(tmp_path)


def hotels(folder: Path, content: str | bytes) -> None:
    content = content.encode() if isinstance(content, str) else content
    (folder / "hotels.csv").write_bytes(content)


# Line ends


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(
    "ends", [["\n", "\r\n"], ["\r\n", "\n"], ["\r", "\n"], ["\r\n", "\r", "\n"], ["\r\r\n", "\n"]]
)
def test_lines_may_end_in_different_ways_in_one_file(
    folder: Path, ends: list[str], quoted: bool
) -> None:
    names = ["plain", "two\r\nlines", 'a "quoted" word', "old\rmac", "a\nb"]
    lines = [LINES[0].replace("Hilton - x", f'"{n.replace(chr(34), chr(34) * 2)}"') for n in names]
    if quoted:
        lines = [",".join(f'"{v.strip(chr(34))}"' for v in line.split(",")) for line in lines]
    lines = [",".join(HEADER["hotels"]), *lines]
    hotels(folder, "".join(line + ends[n % len(ends)] for n, line in enumerate(lines)))
    assert [row["hotel_name"] for row in rows(folder, "hotels")] == names


@settings(max_examples=15, database=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
            st.sampled_from(["\n", "\r\n"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_text_in_quotation_marks_survives_mixed_line_ends(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    folder = write_sound(tmp_path_factory.mktemp("mixed"))
    content = text("hotels") + LINES[0] + "\r\n"
    for cell, end in cells:
        content += LINES[0].replace("Hilton - x", f'"{cell.replace(chr(34), chr(34) * 2)}"') + end
    hotels(folder, content)
    found = [row["hotel_name"] for row in rows(folder, "hotels")]
    assert found == ["Hilton - montreal", "Hilton - x", *(cell or None for cell, _ in cells)]


def test_a_comma_at_the_end_of_each_line_is_no_value(folder: Path) -> None:
    before = rows(folder, "hotels")
    hotels(folder, text("hotels").replace("120\n", "120,\n"))
    assert rows(folder, "hotels") == before


# What is no header


@pytest.mark.parametrize("table", ["users", "hotels"])
@pytest.mark.parametrize(
    ("separator", "name"), [(";", "a semicolon (;)"), ("\t", "a tab"), ("|", "a bar (|)")]
)
@pytest.mark.parametrize("quoted", [False, True])
def test_another_separator_is_named(
    folder: Path, table: str, separator: str, name: str, quoted: bool
) -> None:
    mark = '"' if quoted else ""
    content = "".join(
        separator.join(f"{mark}{value}{mark}" for value in line.split(",")) + "\n"
        for line in text(table).splitlines()
    )
    (folder / f"{table}.csv").write_text(content, encoding="utf-8")
    message = refusal(folder)
    assert f"{table}.csv: the separator is {name}, and must be a comma" in message
    assert "2023" not in message


@pytest.mark.parametrize("line", ["sep=,", "sep=;", '"sep=,"', "SEP=\t"])
def test_a_line_that_names_the_separator_is_named(folder: Path, line: str) -> None:
    hotels(folder, f"{line}\r\n{text('hotels')}")
    assert "hotels.csv: the first line is 'sep=" in refusal(folder).lower()


@pytest.mark.parametrize("blank", ["\n", "\r\n", "  \n", "\n\n\n", ",,,,,,\n", "\ufeff\n"])
def test_a_blank_first_line_is_named(folder: Path, blank: str) -> None:
    hotels(folder, blank + text("hotels"))
    assert "hotels.csv: the first line is blank" in refusal(folder)


@pytest.mark.parametrize("content", ["", "\n", "\n \n\r\n", "\ufeff"])
def test_a_file_without_a_line_is_empty(folder: Path, content: str) -> None:
    hotels(folder, content)
    assert "hotels.csv: the file is empty" in refusal(folder)


@pytest.mark.parametrize("table", SOURCES)
def test_a_missing_header_is_named_and_the_row_in_its_place_is_not(
    folder: Path, table: str
) -> None:
    (folder / f"{table}.csv").write_text(SOUND[table] + "\n", encoding="utf-8")
    message = refusal(folder)
    assert f"{table}.csv: the first line names none of the required columns" in message
    assert [value for value in SOUND[table].split(",") if value in message and len(value) > 3] == []


# Names of columns

SAME = [
    (["Trip_ID"], "'trip_id' and 'Trip_ID'"),
    (["trip-id"], "'trip_id' and 'trip-id'"),
    ([" Rooms "], "'rooms' and ' Rooms '"),
    (["a b", "a-b"], "'a b' and 'a-b'"),
    (["#", "%"], "'#' and '%'"),
    (["é", "É"], "'é' and 'É'"),
]


@pytest.mark.parametrize(("more", "said"), SAME)
@pytest.mark.parametrize("parquet", [False, True])
def test_columns_that_differ_by_case_or_signs_alone_are_named(
    folder: Path, more: list[str], said: str, parquet: bool
) -> None:
    names, values = [*HEADER["hotels"], *more], [*LINES[0].split(","), *more]
    if parquet:
        (folder / "hotels.csv").unlink()
        table = pa.Table.from_arrays([pa.array([value]) for value in values], names=names)
        pq.write_table(table, folder / "hotels.parquet")
    else:
        hotels(folder, f"{','.join(names)}\n{','.join(values)}\n")
    message = refusal(folder)
    assert f"two columns have the same name: {said}" in message
    assert "hotels." in message
    assert "SELECT" not in message


def test_a_column_twice_in_parquet_is_named(folder: Path) -> None:
    (folder / "hotels.csv").unlink()
    names = [*HEADER["hotels"], "rooms"]
    table = pa.Table.from_arrays([pa.array(["1"])] * len(names), names=names)
    pq.write_table(table, folder / "hotels.parquet")
    assert "duplicate column names: rooms" in refusal(folder)


def test_columns_of_any_name_are_kept(folder: Path) -> None:
    more = ["c0", "select", "x]'", "own file", "filename", "ünï"]
    names, values = [*HEADER["hotels"], *more], [*LINES[0].split(","), *map(str.upper, more)]
    hotels(folder, f"{','.join(names)}\n{','.join(values)}\n")
    (row,) = rows(folder, "hotels")
    extra = [value for name, value in row.items() if name not in HEADER["hotels"]]
    assert set(map(str.upper, more)) <= set(extra)


# The place of a fault, and nothing else of the row

PLACES = [
    ('1-u,"SECRET,1,1,a,b,1', "line 4, column hotel_name: a quotation mark is not closed"),
    ('1-u,"SECRET"x,1,1,a,b,1', "line 4, column hotel_name: a quotation mark is not closed"),
    ('1-u,"SE\nCRET",1,1', "line 4: 4 values, but the header has 7 columns (is it cut off?)"),
    ("SECRET,SECRET,1,1,a,b,1,9", "line 4: 8 values, but the header has 7 columns (a value with"),
    ("1-u,SECRET,1,1,\udcff,b,1", "line 4, column check_in_time: not UTF-8"),
    (" ", "line 4: 1 value, but the header has 7 columns"),
    (f"1-u,SECRET{'x' * 200_000}", "line 4"),
]


@pytest.mark.parametrize(("line", "said"), PLACES, ids=[said[:40] for _, said in PLACES])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_fault_is_told_with_line_and_column_and_without_the_row(
    folder: Path, line: str, said: str, end: str
) -> None:
    before = LINES[0].replace("Hilton - x", '"two\nlines"')
    content = end.join([",".join(HEADER["hotels"]), before, line, *LINES, ""])
    hotels(folder, content.encode("utf-8", "surrogateescape"))
    message = refusal(folder)
    assert f"{folder}/hotels.csv: {said}" in message
    assert "SECRET" not in message
    assert "Original" not in message
    assert len(message) < 250


# Parquet


def write_parquet(folder: Path, name: str, columns: Mapping[str, pa.Array]) -> Path:
    (folder / f"{name}.csv").unlink(missing_ok=True)
    sound = dict(zip(HEADER[name], SOUND[name].split(","), strict=True))
    table = pa.table({column: pa.array([value]) for column, value in sound.items()})
    for column, values in columns.items():
        places = table.schema.get_field_index(column)
        field = pa.field(column, values.type)
        table = (
            table.append_column(field, values)
            if places < 0
            else table.set_column(places, field, values)
        )
    pq.write_table(table, folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(20)])
def test_text_without_its_mark_is_text(folder: Path, kind: pa.DataType) -> None:
    name = 'Hôtel "d\'Or" - nîm'
    values = pa.array([name.encode()], kind)
    write_parquet(folder, "hotels", {"hotel_name": values, "notes": values})
    (row,) = rows(folder, "hotels")
    assert row["hotel_name"] == row["notes"] == name


def test_bytes_that_are_no_text_are_named_in_a_column_of_the_contract_only(folder: Path) -> None:
    image = pa.array([b"\xff\xfe SECRET"], pa.binary())
    write_parquet(folder, "hotels", {"picture": image})
    assert len(rows(folder, "hotels")) == 1
    write_parquet(folder, "hotels", {"hotel_name": image})
    message = refusal(folder)
    assert "hotels.parquet is damaged: a text is not UTF-8" in message
    assert "SECRET" not in message


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_nan_is_null(folder: Path, kind: pa.DataType) -> None:
    nan = pa.array([np.nan], kind, from_pandas=False)
    write_parquet(folder, "hotels", {"hotel_per_room_usd": nan, "stars": nan})
    (row,) = rows(folder, "hotels")
    assert (row["hotel_per_room_usd"], row["stars"]) == (None, None)


@pytest.mark.parametrize(
    ("name", "column", "values", "said"),
    [
        ("users", "user_id", pa.array([1], pa.float32()), "user_id is float, which rounds ids"),
        ("hotels", "trip_id", pa.array([1.0]), "trip_id is double, which rounds ids"),
        (
            "sessions",
            "session_start",
            pa.array([0], pa.timestamp("us", "UTC")),
            "session_start has a time zone (UTC)",
        ),
        ("flights", "seats", pa.array([[1]]), "seats is list<"),
    ],
)
def test_a_type_of_which_every_row_would_be_refused_is_named(
    folder: Path, name: str, column: str, values: pa.Array, said: str
) -> None:
    path = write_parquet(folder, name, {column: values})
    assert f"{path}: {said}" in refusal(folder)


def test_damaged_parquet_is_a_clear_error_with_the_name_of_the_file(folder: Path) -> None:
    names: Any = pa.array([f"name {n % 30}" for n in range(2_000)])
    (folder / "hotels.csv").unlink()
    table = pa.table(dict.fromkeys(HEADER["hotels"], names))
    pq.write_table(table, folder / "hotels.parquet")
    good = (folder / "hotels.parquet").read_bytes()
    chance = random.Random(5)  # noqa: S311
    cut = [good[: len(good) - n] for n in (1, 4, 8, 100, len(good) - 3)]
    flips = [bytearray(good) for _ in range(40)]
    for flipped in flips:
        flipped[len(good) - 1 - chance.randrange(900)] ^= 1 << chance.randrange(8)
    said = []
    for content in [*cut, *map(bytes, flips)]:
        (folder / "hotels.parquet").write_bytes(content)
        try:
            source(folder).table("users")
        except SourceError as error:
            said.append(str(error))
    assert len(said) > len(cut) + 10
    assert all(f"{folder}/hotels.parquet" in message for message in said)
    assert not any("SELECT" in message for message in said)

"""Whatever carries a table's name is read whole, or named with what to do: nothing is half read."""

from __future__ import annotations

import gzip
import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.lake.storage.folder import Folder
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sound(tmp_path)


# Entries that are no readable files


def make_folder(place: Path) -> None:
    place.mkdir()


def make_dangling_link(place: Path) -> None:
    place.symlink_to(place.with_name("nowhere"))


def make_looping_link(place: Path) -> None:
    place.symlink_to(place)


def make_pipe(place: Path) -> None:
    os.mkfifo(place)


def make_file(place: Path) -> None:
    place.write_bytes(b"anything")


@pytest.mark.parametrize("table", ["users", "sessions"])
@pytest.mark.parametrize(
    ("make", "ending", "said"),
    [
        (make_folder, "", "is a folder"),
        (make_folder, "-2.parquet", "is a folder"),
        (make_dangling_link, "-2.csv", "a link to a file that does not exist"),
        (make_dangling_link, "-2", "a link to a file that does not exist"),
        (make_looping_link, "-2.csv.gz", "not readable"),
        (make_pipe, "-2.csv", "neither a file nor a folder"),
        (make_file, "-2.xlsx", "is a workbook"),
        (make_file, "-2.ODS", "is a workbook"),
        (make_file, "-2.csv.zip", "is an archive"),
        (make_file, "-2.parquet.gz", "is an archive"),
        (make_file, "-2.csv.zst", "is an archive"),
        (make_file, "-2.tsv", "files that end in .tsv are not read"),
        (make_file, "-2.json", "files that end in .json are not read"),
        (make_file, "-2.csv.part", "files that end in .part are not read"),
        (make_file, "_000", "files without an ending are not read"),
    ],
)
def test_what_carries_a_tables_name_and_cannot_be_read_is_named(
    folder: Path, table: str, make: Callable[[Path], None], ending: str, said: str
) -> None:
    make(folder / f"{table}{ending}")
    message = refusal(folder)
    assert message.startswith(f"{folder}/{table}{ending}")
    assert said in message
    with pytest.raises(SourceError):
        source(folder).versions()


def test_a_link_to_a_file_is_that_file(folder: Path, tmp_path: Path) -> None:
    (folder / "hotels.csv").rename(tmp_path / "elsewhere.csv")
    (folder / "hotels.csv").symlink_to(tmp_path / "elsewhere.csv")
    assert len(rows(folder, "hotels")) == 1


def test_every_problem_of_a_delivery_is_told_at_once(folder: Path) -> None:
    make_folder(folder / "users-old")
    make_file(folder / "flights.xlsx")
    assert len(refusal(folder).splitlines()) == 2
    (folder / "users-old").rmdir()
    (folder / "flights.xlsx").unlink()
    for name in ("hotels", "flights"):
        (folder / f"{name}.csv").write_text("a,b\n", encoding="utf-8")
    assert len(refusal(folder).splitlines()) == 2


def test_a_name_that_no_folder_of_the_lake_can_have_is_refused(folder: Path) -> None:
    fits = f"hotels{'ä' * 40}.csv"
    (folder / fits).write_text(text("hotels"), encoding="utf-8")
    (folder / f"sessions{'ä' * 60}.csv").write_text(text("sessions"), encoding="utf-8")
    lake = Folder(folder.parent / "lake")
    stored = f"bronze/hotels_raw/file={quote(fits, safe='')}/hotels_raw.parquet"
    assert fits in source(folder).parts("hotels", [])
    with lake.replacing(stored, None) as partial:
        partial.write_bytes(b"")
    (folder / f"hotels{'ä' * 41}.csv").write_text(text("hotels"), encoding="utf-8")
    assert "äää.csv: the file name is too long" in refusal(folder)


def test_a_file_name_that_is_not_utf_8_is_named(folder: Path) -> None:
    place = os.fsencode(folder) + b"/hotels-\xff.csv"
    with open(place, "wb") as file:
        file.write(text("hotels").encode())
    message = refusal(folder)
    assert f"{folder}/hotels-\\xff.csv: the file name is not UTF-8" in message
    message.encode()


def test_a_name_with_signs_of_patterns_is_that_file_alone(folder: Path) -> None:
    (folder / "hotels.csv").unlink()
    for number, name in enumerate(("hotels[1]", "hotels1", "hotels*", "hotels?")):
        line = SOUND["hotels"].replace("1-t", f"{number}-t", 1)
        (folder / f"{name}.csv").write_text(text("hotels", line), encoding="utf-8")
    found = {row["source_file"]: row["trip_id"] for row in rows(folder, "hotels")}
    assert found == {
        "hotels[1].csv": "0-t",
        "hotels1.csv": "1-t",
        "hotels*.csv": "2-t",
        "hotels?.csv": "3-t",
    }


# Which of two files counts


def test_the_file_that_was_changed_last_is_the_last_whatever_its_name(folder: Path) -> None:
    (folder / "users_2019.csv").write_text(text("users"), encoding="utf-8")
    (folder / "users-new.csv").write_text(text("users"), encoding="utf-8")
    for name, time in (("users_2019.csv", 1), ("users.csv", 3), ("users-new.csv", 3)):
        os.utime(folder / name, (time, time))
    order = {row["source_file"]: row["source_order"] for row in rows(folder, "users")}
    assert order == {"users_2019.csv": 1, "users-new.csv": 2, "users.csv": 3}
    assert [row["source_order"] for row in rows(folder, "hotels")] == [1]


@pytest.mark.parametrize("renamed", [False, True])
def test_a_file_replaced_by_one_of_equal_size_and_time_is_seen(folder: Path, renamed: bool) -> None:
    path, known = folder / "users.csv", source(folder)
    before, status = known.versions()["users.csv"], path.stat()
    assert known.table("users").gender.to_pyarrow().to_pylist() == ["F"]
    place = folder / "other" if renamed else path
    place.write_text(path.read_text().replace(",F,", ",M,"), encoding="utf-8")
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    place.rename(path)
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert known.versions()["users.csv"] != before
    assert known.table("users").gender.to_pyarrow().to_pylist() == ["M"]


# Folders above the files


@pytest.mark.parametrize("above", ["user_id=7", "home_country=mars", "month=2020-01", "env=prod"])
@pytest.mark.parametrize("parquet", [False, True])
def test_folders_called_like_columns_change_nothing(
    folder: Path, tmp_path: Path, above: str, parquet: bool
) -> None:
    if parquet:
        for name in SOURCES:
            plain = rows(folder, name)
            values = {column: [plain[0][column]] for column in HEADER[name]}
            schema = pa.schema([(column, pa.string()) for column in values])
            pq.write_table(pa.table(values, schema=schema), folder / f"{name}.parquet")
            (folder / f"{name}.csv").unlink()
    expected = {name: rows(folder, name) for name in SOURCES}
    moved = tmp_path / above / "x" / "source"
    moved.parent.mkdir(parents=True)
    folder.rename(moved)
    assert {name: rows(moved, name) for name in SOURCES} == expected


# Gzip


def compressed(folder: Path, content: bytes) -> Path:
    (folder / "hotels.csv").unlink()
    (folder / "hotels.csv.gz").write_bytes(content)
    return folder / "hotels.csv.gz"


def test_a_gzip_file_of_several_members_is_read_whole(folder: Path) -> None:
    lines = text("hotels", *[SOUND["hotels"]] * 9).encode()
    parts = (lines[:90], lines[90:300], b"", lines[300:])
    compressed(folder, b"".join(map(gzip.compress, parts)) + b"\0" * 512)
    assert len(rows(folder, "hotels")) == 9


def test_no_flipped_bit_and_no_cut_of_a_gzip_file_passes(folder: Path) -> None:
    lines = [SOUND["hotels"].replace("1-t", f"{n}-t", 1) for n in range(50)]
    good = gzip.compress(text("hotels", *lines).encode(), mtime=0)
    path = compressed(folder, good)
    expected = rows(folder, "hotels")
    chance = random.Random(3)  # noqa: S311
    places = [*range(8 * 10, 8 * 12), *chance.sample(range(8 * 12, 8 * len(good)), 40)]
    damaged = [bytearray(good) for _ in places]
    for flipped, place in zip(damaged, places, strict=True):
        flipped[place // 8] ^= 1 << place % 8
    cut = [good[:n] for n in (5, 18, len(good) // 2, len(good) - 1)]
    for content in [*map(bytes, damaged), *cut]:
        path.write_bytes(content)
        message = refusal(folder)
        assert str(path) in message
        assert "Hilton" not in message
    path.write_bytes(good)
    assert rows(folder, "hotels") == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(text("hotels").encode()), "call it .csv.gz"),
        (b"PAR1" + b"\0" * 100, "call it .parquet"),
        (text("hotels").encode("utf-16"), "UTF-16"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 100, "workbook"),
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page"),
    ],
)
def test_content_of_another_kind_than_the_name_says_is_named(
    folder: Path, content: bytes, said: str
) -> None:
    (folder / "hotels.csv").write_bytes(content)
    assert said in refusal(folder)


def test_an_archive_under_the_name_of_a_csv_file_is_named(folder: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("hotels.csv", text("hotels"))
    (folder / "hotels.csv").write_bytes(packed.getvalue())
    assert "ZIP archive" in refusal(folder)

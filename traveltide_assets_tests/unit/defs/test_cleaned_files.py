"""A landed file costs its own rows, and silver is as if all files had been cleaned in one go."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.defs.checks.soundness import layers
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.parts import Parts
from traveltide_assets.schema.table import Table
from traveltide_assets.transforms.cleaning.cleaned import Counts
from traveltide_assets.transforms.cleaning.judge import clean_hotels
from traveltide_assets_tests.support.landed_files import HEADER, SOUND
from traveltide_assets_tests.support.silver_lake import SilverLake

RAW, PROCESSED, QUARANTINE = layers("hotels")
NOTES = "_cleaned/hotels.json"

Row = tuple[str, str]
"""The trip of a stay and its number of rooms, which is text."""
Delivery = Mapping[str, Sequence[Row]]
"""Files by name, with their rows. The first file is the oldest."""


class Place(SilverLake):
    """A landing folder and a lake that takes stays from it."""

    def __init__(self, folder: Path, engine: DuckDB) -> None:
        super().__init__(folder, engine)
        (self.landing / "hotels.csv").unlink()

    def land(self, delivery: Delivery) -> None:
        """Make the landing folder as delivered, with files of different ages."""
        self.land_only("hotels", delivery)
        for age, (name, rows) in enumerate(delivery.items(), 1):
            file = self.land_file("hotels", name, map(line, rows))
            if file.stat().st_mtime != age:
                os.utime(file, (age, age))

    def ingest(self, rules: str = "") -> tuple[list[str], Counts]:
        """The files that were cleaned, the counts."""
        work = self.ingest_files("hotels", clean_hotels, rules)
        return list(work.made), Counts.together(work.counts.values())


def line(row: Row) -> str:
    trip, rooms = row
    return SOUND["hotels"].replace("1-t,", f"{trip},").replace(",1,1,", f",1,{rooms},")


@pytest.fixture
def place(tmp_path: Path, engine: DuckDB) -> Place:
    return Place(tmp_path, engine)


def test_only_the_new_file_is_cleaned_and_written(place: Place) -> None:
    place.land({"hotels-1.csv": [("1-a", "1"), ("1-b", "x")]})
    assert place.ingest() == (
        ["hotels-1.csv"],
        Counts(place.ingest()[1].repairs, {"unreadable_rooms": 1}),
    )
    before = {path: place.lake.versions(path) for path in (RAW, PROCESSED, QUARANTINE)}
    place.land({"hotels-1.csv": [("1-a", "1"), ("1-b", "x")], "hotels-2.csv": [("1-c", "y")]})
    made, counts = place.ingest()
    assert made == ["hotels-2.csv"]
    assert counts.rejections == {"unreadable_rooms": 2}
    for path, versions in before.items():
        after = place.lake.versions(path)
        assert after.pop("hotels-2.csv")
        assert after == versions


def test_a_key_of_an_earlier_file_has_both_cleaned_until_they_share_none(place: Place) -> None:
    first, third = {"hotels-1.csv": [("1-a", "1")]}, {"hotels-3.csv": [("1-c", "1")]}
    place.land(first | third)
    place.ingest()
    place.land(first | third | {"hotels-2.csv": [("1-a", "2")]})
    made, counts = place.ingest()
    assert made == ["hotels-1.csv", "hotels-2.csv"]
    assert counts.rejections == {"duplicate_key": 1}
    assert place.lake.frame(PROCESSED)["rooms"].sum() == 3
    assert place.lake.rows(PROCESSED, "hotels-1.csv") == 0
    place.land(first | third)
    # The row that had been replaced is needed again.
    assert place.ingest()[0] == ["hotels-1.csv"]
    assert sorted(place.lake.frame(PROCESSED)["trip_id"]) == ["1-a", "1-c"]
    assert place.ingest()[0] == []


def test_other_rules_and_damaged_silver_have_a_file_cleaned_again(place: Place) -> None:
    place.land({"hotels-1.csv": [("1-a", "1")], "hotels-2.csv": [("1-b", "1")]})
    place.ingest()
    expected = place.digests("hotels")
    assert place.ingest("other")[0] == ["hotels-1.csv", "hotels-2.csv"]
    assert place.ingest("other")[0] == []
    place.lake.path(QUARANTINE, "hotels-2.csv").write_bytes(b"PAR1")
    assert place.ingest("other")[0] == ["hotels-2.csv"]
    place.lake.path(PROCESSED, "hotels-1.csv").unlink()
    assert place.ingest("other")[0] == ["hotels-1.csv"]
    assert place.digests("hotels") == expected


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b"[1]", b"{}", b'{"rules": 1, "parts": [1]}', b"change", b"shape"]
)
def test_damaged_notes_have_all_cleaned_again(place: Place, content: bytes) -> None:
    place.land({"hotels-1.csv": [("1-a", "1")], "hotels-2.csv": [("1-b", "x")]})
    place.ingest()
    expected, noted = place.digests("hotels"), place.lake.storage.look(NOTES)
    assert noted is not None
    known = json.loads(noted[0])
    shapes = {b"change": known | {"parts": [1]}, b"shape": known | {"parts": {"hotels-1.csv": 1}}}
    damaged = json.dumps(shapes[content]).encode() if content in shapes else content
    place.lake.storage.swap(NOTES, damaged, noted[1])
    assert place.ingest()[0] == ["hotels-1.csv", "hotels-2.csv"]
    assert place.digests("hotels") == expected
    assert place.lake.storage.look(NOTES) == noted


def test_columns_that_files_add_are_in_one_order_in_all_parts(place: Place) -> None:
    def land(name: str, *more: str) -> None:
        header, values = ",".join([*HEADER["hotels"], *more]), ",".join("0" for _ in more)
        (place.landing / name).write_text(f"{header}\n{line(('1-a', 'x'))},{values}\n", "utf-8")

    place.land({"hotels-2.csv": [("1-b", "x")]})
    land("hotels-3.csv", "b", "a")
    place.ingest()
    land("hotels-1.csv", "a", "b")
    place.ingest()
    parts = [place.lake.frame(QUARANTINE, name) for name in place.lake.parts(QUARANTINE)]
    assert [[name for name in part if name in "ab"] for part in parts] == [["a", "b"]] * 3


def test_a_run_that_was_killed_between_two_tables_is_made_up_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.land({"hotels-1.csv": [("1-a", "1")]})
    place.ingest()
    place.land({"hotels-1.csv": [("1-a", "2")], "hotels-2.csv": [("1-b", "x")]})
    written: list[str] = []
    write = Parts.write

    def killed(parts: Parts, lake: Lake, table: Table) -> object:
        written.append(table.path)
        if table.path == QUARANTINE:
            raise KeyboardInterrupt
        return write(parts, lake, table)

    monkeypatch.setattr(Parts, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        place.ingest()
    assert written == [PROCESSED, QUARANTINE]
    monkeypatch.undo()
    assert place.ingest()[0] == ["hotels-1.csv", "hotels-2.csv"]
    assert place.lake.rows(QUARANTINE) == 1


def test_a_file_whose_name_has_no_place_in_a_key_is_found_again(place: Place) -> None:
    name = "my hotels=1 % (ä).csv"
    place.land({name: [("1-a", "1")]})
    assert place.ingest()[0] == [name]
    assert place.lake.parts(PROCESSED) == [name]
    assert place.ingest()[0] == []


def test_what_is_noted_names_no_customer(place: Place) -> None:
    place.land({"hotels.csv": [("1-a", "x"), ("1-b", "1")]})
    place.ingest()
    found = place.lake.storage.look(NOTES)
    assert found is not None
    assert set(json.loads(found[0])["parts"]["hotels.csv"]) == {
        "versions",
        "repairs",
        "rejections",
    }


_ROWS = st.lists(
    st.tuples(st.sampled_from([f"1-{c}" for c in "abcdefgh"]), st.sampled_from(["1", "2", "x"])),
    max_size=4,
)
_NAMES = st.permutations([f"hotels-{number}.csv" for number in range(4)])
_DELIVERIES = st.builds(
    lambda names, contents: dict(zip(names, contents, strict=False)),
    _NAMES,
    st.lists(_ROWS, min_size=1, max_size=4),
)


@given(deliveries=st.lists(_DELIVERIES, min_size=2, max_size=4))
@settings(max_examples=20)
def test_any_order_of_deliveries_gives_the_bytes_of_one_go(
    engine: DuckDB, deliveries: list[Delivery]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        one, other = Path(temporary, "one"), Path(temporary, "other")
        one.mkdir()
        step_by_step = Place(one, engine)
        counted = Counts({}, {})
        for delivery in deliveries:
            step_by_step.land(delivery)
            counted = step_by_step.ingest()[1]
            raw, processed, quarantine = map(step_by_step.lake.rows, (RAW, PROCESSED, QUARANTINE))
            assert raw == processed + quarantine
        other.mkdir()
        in_one_go = Place(other, engine)
        shutil.copytree(step_by_step.landing, in_one_go.landing, dirs_exist_ok=True)
        assert in_one_go.ingest()[1] == counted
        assert in_one_go.digests("hotels") == step_by_step.digests("hotels")

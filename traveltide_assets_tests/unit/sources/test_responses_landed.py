"""Files of responses: optional, as CSV, Parquet or JSON lines, and named when they are damaged."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traveltide_assets.schema.sources import PLACE, RAW
from traveltide_assets.sources.base import SourceError
from traveltide_assets_tests.support.landed_files import refusal, rows, source, write_sound

HEADER = "user_id,offer,event,at,value_usd"
LINE = "1,free_bag,clicked,2023-07-03 09:30:00,"
LOG = "events-2023-07-03.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sound(tmp_path)


def test_a_source_without_responses_has_an_empty_table_and_no_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = source(folder).table("responses")
    assert found.count().to_pyarrow().as_py() == 0
    assert list(found.columns) == [c.name for c in (*RAW["responses"], *PLACE)]
    assert source(folder).counts("responses", []) == {None: 0}
    assert source(folder).versions_of("responses") == {}
    assert not caplog.records


def test_csv_parquet_and_json_lines_are_read_alike(folder: Path) -> None:
    (folder / "responses.csv").write_text(f"{HEADER}\n{LINE}\n", encoding="utf-8")
    columns = {
        name: [value or None]
        for name, value in zip(HEADER.split(","), LINE.split(","), strict=True)
    }
    pq.write_table(pa.table(columns), folder / "responses-2.parquet")
    line = (
        '{"user_id": 1, "offer": "free_bag", "event": "clicked", "at": "2023-07-03 09:30:00", '
        '"channel": "app"}\n'
    )
    (folder / LOG).write_text(f"{line}\n{line}", encoding="utf-8")
    found = rows(folder, "responses")
    values = [{name: row[name] or None for name in HEADER.split(",")} for row in found]
    assert values == [{name: cells[0] for name, cells in columns.items()}] * 4
    assert [(row["source_file"], row["source_row"]) for row in found] == [
        (LOG, 1),
        (LOG, 2),
        ("responses-2.parquet", 1),
        ("responses.csv", 1),
    ]
    assert [row.get("channel") for row in found] == ["app", "app", None, None]
    assert source(folder).counts("responses", []) == {None: 4}


def test_numbers_in_json_keep_their_digits(folder: Path) -> None:
    line = '{"user_id": 123456789012345678, "offer": "a", "event": "sent", "at": "x", "value_usd": '
    (folder / LOG).write_text(f"{line}0.10}}\n{line}null}}\n", encoding="utf-8")
    found = rows(folder, "responses")
    assert {row["user_id"] for row in found} == {"123456789012345678"}
    assert [row["value_usd"] or None for row in found] == ["0.10", None]


def test_a_day_without_events_is_an_empty_file(folder: Path) -> None:
    (folder / LOG).touch()
    assert rows(folder, "responses") == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (LOG, '{"user_id": 1}\n{"user_id', f"{LOG}: line 2: no JSON"),
        (LOG, "[1]\n", "line 1: no JSON object"),
        (LOG, '{"user_id": 1, "offer": "a", "event": "sent"}\n', "lacks the required column at"),
        ("responses.csv", "user_id,offer,event,value_usd\n", "lacks the required column at"),
        ("responses.xlsx", "", "is a workbook"),
        ("users-2.jsonl", "{}\n", "files that end in .jsonl are not read"),
        ("responses-users.csv", HEADER, "mentions users and responses"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: str, said: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    assert said in refusal(folder)


def test_json_that_is_not_utf_8_is_named(folder: Path) -> None:
    (folder / LOG).write_bytes(b'{"user_id": 1, "offer": "\xff"}\n')
    with pytest.raises(SourceError, match="not UTF-8"):
        source(folder).table("responses")

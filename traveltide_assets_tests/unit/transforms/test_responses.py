"""Responses to offers: what is kept, what counts once, and what is refused for which reason."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.schema.sources import EVENTS, RAW, key_of
from traveltide_assets.transforms.cleaning.diagnosis import explain
from traveltide_assets.transforms.cleaning.judge import clean_responses
from traveltide_assets.transforms.cleaning.rules import rule_reasons

Row = dict[str, str | None]
SOUND: Row = {
    "user_id": "1",
    "offer": "free_bag",
    "event": "clicked",
    "at": "2023-07-03 09:30:00",
    "value_usd": None,
}


def raw(rows: Sequence[Row]) -> ibis.Table:
    names = [column.name for column in RAW["responses"]]
    placed = [
        {**row, "source_file": "responses.csv", "source_row": number, "source_order": 1}
        for number, row in enumerate(rows, 1)
    ]
    texts = [(name, pa.string()) for name in (*names, "source_file")]
    numbers = [(name, pa.int64()) for name in ("source_row", "source_order")]
    return ibis.memtable(pa.Table.from_pylist(placed, schema=pa.schema(texts + numbers)))


def clean(*rows: Row) -> tuple[list[dict[str, object]], list[str]]:
    """The processed rows, and the reasons of refused ones, both in file order."""
    users = ibis.memtable(pa.table({"user_id": pa.array([1, 2], pa.int64())}))
    with clean_responses(raw(rows), users) as cleaned:
        kept = cleaned.processed.drop("source_file").to_pyarrow().to_pylist()
        refused = cleaned.quarantine.to_pyarrow().to_pylist()
    assert len(kept) + len(refused) == len(rows), "a row is lost"
    return kept, [row["reason"] for row in sorted(refused, key=lambda row: row["source_row"])]


def test_a_sound_response_is_typed() -> None:
    kept, refused = clean(SOUND | {"event": " redeemed ", "value_usd": "12.50"})
    assert refused == []
    assert kept == [
        {
            "user_id": 1,
            "offer": "free_bag",
            "event": "redeemed",
            "at": dt.datetime(2023, 7, 3, 9, 30),
            "value_usd": 12.5,
        }
    ]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"user_id": "3"}, "unknown_user"),
        ({"user_id": "1.00001E+11"}, "inexact_user_id"),
        ({"event": "liked"}, "unknown_event"),
        ({"event": "Clicked"}, "unknown_event"),
        ({"event": " "}, "missing_event"),
        ({"at": None}, "missing_at"),
        ({"at": "03.07.2023"}, "unreadable_at"),
        ({"at": "2023-07-03T09:30:00Z"}, "unreadable_at"),
        ({"offer": "NULL"}, "null_word_offer"),
        ({"value_usd": "-1"}, "negative_value_usd"),
        ({"value_usd": "1e308"}, "implausible_value_usd"),
        ({"value_usd": "1,5"}, "unreadable_value_usd"),
    ],
)
def test_a_damaged_response_is_refused_with_its_reason(damage: Row, reason: str) -> None:
    kept, refused = clean(SOUND, SOUND | damage)
    assert (len(kept), refused) == (1, [reason])
    assert reason in rule_reasons("responses")


def test_an_event_that_is_told_twice_counts_once() -> None:
    later = SOUND | {"at": "2023-07-03 09:30:01"}
    kept, refused = clean(SOUND, SOUND, later, SOUND | {"value_usd": "5"})
    assert [row["value_usd"] for row in sorted(kept, key=lambda row: str(row["at"]))] == [5, None]
    assert sorted(refused) == ["duplicate_key", "duplicate_key"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "user_id": st.sampled_from(["1", "2", "9"]),
                "offer": st.sampled_from(["a", "b"]),
                "event": st.sampled_from([*EVENTS[3:5], "shared"]),
                "at": st.sampled_from(["2023-07-01", "2023-07-01 00:00:00", "soon"]),
                "value_usd": st.sampled_from([None, "1"]),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=15, deadline=None)
def test_each_key_is_kept_exactly_once(rows: list[Row]) -> None:
    kept, _ = clean(*rows)
    keys = [tuple(row[name] for name in key_of("responses")) for row in kept]
    valid = {
        (row["user_id"], row["offer"], row["event"])
        for row in rows
        if row["user_id"] != "9" and row["event"] != "shared" and row["at"] != "soon"
    }
    assert sorted(keys) == sorted(set(keys)), "an event counts twice"
    assert {(str(user), offer, event) for user, offer, event, _ in keys} == valid


def test_the_words_for_an_unknown_event_name_those_that_are_known() -> None:
    said = explain("responses", "unknown_event", ["click"])
    assert "event (unknown_event) has values such as 'click'" in said
    assert "clicked" in said

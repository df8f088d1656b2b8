"""Copies of tables are told apart by their ids, and each has a month of its own."""

from __future__ import annotations

import datetime as dt

import ibis
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.transforms import copies

LARGEST = 2**63 // copies.MOST - 1
KEYS = st.tuples(st.integers(-LARGEST, LARGEST), st.integers(0, copies.MOST - 1))


@given(st.lists(KEYS, min_size=1, max_size=5))
def test_an_id_tells_the_customer_and_the_copy(keys: list[tuple[int, int]]) -> None:
    rows = pd.DataFrame(keys, columns=["user_id", copies.COPY], dtype="int64")
    copied = copies.numbered(ibis.memtable(rows))
    found = copied.select(
        user=copies.original(copied.user_id), copy=copies.number(copied.user_id)
    ).to_pyarrow()
    assert sorted(zip(*found.to_pydict().values(), strict=True)) == sorted(keys)


def test_every_copy_has_its_own_trips_and_its_own_month() -> None:
    booked = ibis.memtable(pd.DataFrame({"user_id": [7], "trip_id": ["7-a"]}))
    copied = copies.each(booked, range(2))
    dated = copied.mutate(
        end=copies.end(copied, ["2023-01", "2023-12"]),
        last=copies.last_day(copied, ["2023-01", "2023-12"]),
    )
    found = dated.order_by("trip_id").to_pyarrow().to_pylist()
    assert [row["trip_id"] for row in found] == ["7-a/0", "7-a/1"]
    assert [row["end"] for row in found] == [dt.datetime(2023, 2, 1), dt.datetime(2024, 1, 1)]
    assert [row["last"] for row in found] == [dt.date(2023, 1, 31), dt.date(2023, 12, 31)]

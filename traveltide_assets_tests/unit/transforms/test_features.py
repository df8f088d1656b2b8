"""The expressions that features are made of."""

from __future__ import annotations

import datetime as dt
import math

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.transforms.features import published_works
from traveltide_assets.transforms.features.expressions import exact_sum


@given(cents=st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
@settings(max_examples=25)
def test_an_exact_sum_does_not_depend_on_the_order_and_is_exact(cents: list[int]) -> None:
    sums = []
    for values in (cents, sorted(cents)):
        table = ibis.memtable({"usd": [cent / 100 for cent in values]})
        total = exact_sum(table.usd, 2, ibis.literal(True))
        sums.append(table.agg(total=total).to_pyarrow()["total"][0].as_py())
    assert sums[0] == sums[1]
    assert sums[0] == pytest.approx(math.fsum(cents) / 100, rel=1e-15)


def stays(*rows: tuple[str, str, int]) -> ibis.Table:
    """Trips with a flight on check-in day and a stay: check-in, check-out and stored nights."""
    return ibis.memtable(
        {
            "place": list(range(len(rows))),
            "kind": ["package"] * len(rows),
            "seats": [1] * len(rows),
            "starts_at": [dt.datetime.fromisoformat(row[0]) for row in rows],
            "check_in_time": [dt.datetime.fromisoformat(row[0]) for row in rows],
            "check_out_time": [dt.datetime.fromisoformat(row[1]) for row in rows],
            "nights_stored": [row[2] for row in rows],
            "hotel_per_room_usd": [100.0] * len(rows),
        }
    )


def found(table: ibis.Table, value: ibis.Value) -> list[object]:
    shown = table.select("place", value=value).order_by("place")
    return shown.to_pyarrow()["value"].to_pylist()


def test_published_nights_are_whole_days_and_one_or_none_for_a_check_out_before_the_check_in() -> (
    None
):
    trips = stays(
        ("2023-05-01 13:00:00", "2023-05-03 11:00:00", 1),
        ("2023-05-01 11:00:00", "2023-05-03 11:00:00", 2),
        ("2023-05-01 11:00:00", "2023-05-01 11:00:00", 0),
        ("2023-05-02 03:00:00", "2023-05-01 11:00:00", 0),
    )
    assert found(trips, published_works.nights_and_one(trips)) == [2, 3, 1, 0]


def test_a_stay_of_negative_length_takes_its_trip_out_and_sundays_are_no_weekdays() -> None:
    trips = stays(
        ("2023-05-06 13:00:00", "2023-05-08 11:00:00", 1),  # a Saturday
        ("2023-05-07 13:00:00", "2023-05-08 11:00:00", 0),  # a Sunday
        ("2023-05-08 13:00:00", "2023-05-07 11:00:00", -1),
    )
    assert found(trips, published_works.sound(trips)) == [True, True, False]
    assert found(trips, published_works.weekday_departure(trips)) == [True, False, False]
    assert trips.agg(v=published_works.stay_price(trips)).to_pyarrow()["v"].to_pylist() == [150.0]


def test_a_day_of_birth_is_counted_from_1970() -> None:
    born = ibis.memtable({"place": [0, 1], "day": [dt.date(1970, 1, 2), dt.date(1969, 12, 31)]})
    assert found(born, published_works.day_of(born.day)) == [1, -1]

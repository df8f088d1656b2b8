"""The expressions that features are made of."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.transforms.features import published_works, ranks
from traveltide_assets.transforms.features.expressions import exact_sum
from traveltide_assets.transforms.features.ranks import COHORT


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


def scores(
    values: Sequence[float | None], cohorts: list[int], engine: ibis.BaseBackend
) -> list[object]:
    """The score of each value in its cohort, by a table that the engine keeps."""
    rows = {"place": range(len(values)), "x": values, COHORT: cohorts}
    table = engine.create_table("t", pd.DataFrame(rows), overwrite=True)
    placed = ranks.beside(table, ranks.bounds(table, "score", table.x))
    return found(placed, ranks.score(placed, "score", placed.x))


def by_window(values: list[float], engine: ibis.BaseBackend) -> list[object]:
    """What a window over everybody says."""
    rows = pd.DataFrame({"place": range(len(values)), "x": values})
    table = engine.create_table("t", rows, overwrite=True)
    rank = ibis.percent_rank().over(ibis.window(order_by=table.x))
    score = ibis.least((rank * 5).floor().cast("int64") + 1, 5)
    return found(table, score)


_USD = st.one_of(st.integers(-3, 3).map(float), st.integers(-500, 500).map(lambda n: n / 100))


@given(values=st.lists(_USD, min_size=1, max_size=60), others=st.lists(_USD, max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_score_is_the_fifth_of_the_percentile_rank_within_a_cohort(
    values: list[float], others: list[float]
) -> None:
    engine = ibis.duckdb.connect()
    cohorts = [1] * len(values) + [2] * len(others)
    expected = by_window(values, engine) + (by_window(others, engine) if others else [])
    assert scores([*values, *others], cohorts, engine) == expected


def test_many_values_within_a_bucket_have_the_scores_of_their_ranks() -> None:
    engine = ibis.duckdb.connect()
    values = [0.0] * 30 + [0.25] * 20 + [0.5 + n / 1000 for n in range(70)] + [-0.0]
    assert scores(values, [0] * len(values), engine) == by_window(values, engine)


def test_who_has_no_value_gets_the_lowest_score_and_counts_for_nobody() -> None:
    engine = ibis.duckdb.connect()
    assert scores([None, 1.0, 2.0, None], [1, 1, 1, 2], engine) == [1, 1, 5, 1]

"""Months and the cohort's start follow the sessions, and a wrong clock moves neither."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.schema.months import shift, span
from traveltide_assets.sources.horizon import Horizon, horizon_of

START = dt.date(2023, 1, 4)
ANY_MONTH = st.integers(0, 300).map(lambda n: shift("2000-01", n))


def sessions(first: str, last: str, rows: int = 1_000) -> dict[str, int]:
    return dict.fromkeys(span(first, last), rows)


def test_without_sessions_there_is_nothing_to_follow() -> None:
    assert horizon_of({}, START) is None
    assert horizon_of({"2023-01": 0}, START) is None


def test_the_cohorts_start_stays_where_the_source_covers_it() -> None:
    found = horizon_of(sessions("2021-04", "2023-07"), START)
    assert found == Horizon(first="2021-04", last="2023-07", active_since=START)


def test_another_year_counts_its_last_seven_months() -> None:
    found = horizon_of(sessions("2018-03", "2019-09"), START)
    assert found == Horizon(first="2018-03", last="2019-09", active_since=dt.date(2019, 3, 1))
    short = horizon_of(sessions("2019-08", "2019-09"), START)
    assert short is not None
    assert short.active_since == dt.date(2019, 8, 1)


def test_the_days_of_a_month_that_has_begun_count_and_a_stray_session_does_not() -> None:
    found = horizon_of(sessions("2019-01", "2019-06") | {"2019-07": 60, "2019-12": 1}, START)
    assert found is not None
    assert found.last == "2019-07"


def test_set_bounds_are_kept_to() -> None:
    found = horizon_of(sessions("2018-01", "2020-12"), START, "2018-06", "2019-12")
    assert found is not None
    assert (found.first, found.last) == ("2018-06", "2019-12")


def test_a_gap_of_a_year_joins_months_and_a_longer_one_does_not() -> None:
    for stray, first in (("2000-01", "2000-01"), ("1999-12", "2001-02")):
        found = horizon_of(sessions("2001-02", "2001-02") | {stray: 1}, START)
        assert found is not None
        assert (found.first, found.last) == (first, "2001-02")


@given(ANY_MONTH, st.integers(0, 40), ANY_MONTH)
def test_a_wrong_clock_does_not_move_the_months(first: str, length: int, stray: str) -> None:
    last = shift(first, length)
    known = sessions(first, last)
    if shift(first, -13) <= stray <= last:
        return  # With no more than a year between, it may be a slow beginning.
    found = horizon_of(known | {stray: 1}, START)
    assert found is not None
    assert (found.first, found.last) == (first, last)


@given(st.dictionaries(ANY_MONTH, st.integers(1, 10**6), min_size=1))
def test_the_start_lies_within_the_months(counted: dict[str, int]) -> None:
    found = horizon_of(counted, START)
    assert found is not None
    assert found.first <= f"{found.active_since:%Y-%m}" <= found.last
    assert {found.first, found.last} <= counted.keys()

"""Months without a session, and trips without one, are told from those that may be."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.defs.checks.gaps import empty_months
from traveltide_assets.schema.months import shift

COUNTS = st.lists(st.one_of(st.just(0), st.integers(1, 500)), min_size=1, max_size=40)


def by_month(counts: list[int]) -> dict[str, int]:
    return {shift("2021-11", number): count for number, count in enumerate(counts)}


@pytest.mark.parametrize(
    ("counts", "empty"),
    [
        ([500, 0, 500], ["2021-12"]),
        ([20, 0, 0, 20, 0, 20], ["2021-12", "2022-01", "2022-03"]),
        ([0, 500, 500, 0], []),
        ([5, 0, 5], []),
        ([500, 1, 500], []),
        ([0, 0], []),
    ],
)
def test_months_between_many_sessions(counts: list[int], empty: list[str]) -> None:
    assert empty_months(by_month(counts), 20) == empty


@given(COUNTS)
def test_only_empty_months_between_others_are_named(counts: list[int]) -> None:
    rows = by_month(counts)
    found = empty_months(rows, 20)
    filled = [count for count in counts if count]
    inside = "".join("x" if count else "." for count in counts).strip(".")
    regular = bool(filled) and median(filled) >= 20
    assert len(found) == (inside.count(".") if regular else 0)
    assert not any(rows[month] for month in found)


@given(COUNTS, st.data())
def test_a_month_that_is_taken_away_is_found(counts: list[int], data: st.DataObject) -> None:
    months = by_month([count + 20 for count in [7, *counts, 7]])
    gone = data.draw(st.sampled_from(sorted(months)[1:-1]))
    assert empty_months({**months, gone: 0}, 20) == [gone]

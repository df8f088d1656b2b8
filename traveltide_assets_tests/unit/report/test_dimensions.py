from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.report.dimensions import (
    DIMENSIONS,
    UNKNOWN,
    Dimension,
    read_range,
    within,
    written,
)

NUMBERS = [dimension for dimension in DIMENSIONS if dimension.numeric]


@pytest.mark.parametrize("dimension", NUMBERS, ids=lambda d: d.key)
def test_ranges_begin_at_zero_and_have_no_gaps(dimension: Dimension) -> None:
    ranges = dimension.ranges
    assert ranges[0][0] == 0
    assert ranges[-1][1] is None
    following = itertools.pairwise(ranges)
    assert all(high is not None and high + 1 == low for (_, high), (low, _) in following)


@given(
    st.sampled_from(NUMBERS),
    st.lists(st.floats(0, 1e7) | st.none(), min_size=1, max_size=30),
)
def test_a_number_is_in_the_group_of_its_range_and_in_no_other(
    dimension: Dimension, values: list[float | None]
) -> None:
    column = pd.Series(values, dtype="float64")
    groups = dimension.groups(column)
    codes = dimension.codes(column, groups)
    for value, code in zip(column, codes, strict=True):
        holding = [
            group
            for group in groups
            if (np.isnan(value) if group == UNKNOWN else within(np.array(value), read_range(group)))
        ]
        assert holding == [groups[code]]


@given(st.integers(0, 10**6), st.none() | st.integers(0, 10**6))
def test_a_range_is_read_as_it_is_written(low: int, more: int | None) -> None:
    bounds = (low, None if more is None else low + more)
    assert read_range(written(bounds)) == bounds


@pytest.mark.parametrize("text", ["", "a", "5..3", "-1", "-5..3", "1...2", "1..x"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_range(text)


def test_groups_of_texts_come_in_the_declared_order_then_by_size() -> None:
    family = next(d for d in DIMENSIONS if d.key == "family")
    values = pd.Series(["other", "other", "married", "single", "single"])
    assert family.groups(values) == ["single", "married", "other"]

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.report.disclosure import (
    FEWEST,
    disclosable,
    disclosable_pairs,
    told,
)


@given(st.lists(st.integers(0, 40), max_size=12))
def test_no_small_group_is_shown_nor_left_over_from_the_total(sizes: list[int]) -> None:
    numbers = np.array(sizes, dtype="int64")
    shown = disclosable(numbers)
    assert not ((numbers > 0) & (numbers < FEWEST) & shown).any()
    hidden = numbers[~shown].sum()
    nobody_left = not (numbers[shown] > 0).any()
    assert hidden == 0 or hidden >= FEWEST or nobody_left


@given(st.lists(st.integers(FEWEST, 1000) | st.just(0), max_size=12))
def test_groups_that_are_large_enough_are_all_shown(sizes: list[int]) -> None:
    assert disclosable(np.array(sizes, dtype="int64")).all()


def test_the_smallest_shown_group_hides_a_single_small_one() -> None:
    assert told({"a": 500, "b": 30, "c": 3}) == {"a": 500, "b": None, "c": None}


@given(
    st.integers(1, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.integers(0, 40), min_size=columns, max_size=columns),
            min_size=1,
            max_size=5,
        )
    )
)
def test_no_total_of_a_table_gives_a_small_cell_away(rows: list[list[int]]) -> None:
    table = np.array(rows, dtype="int64")
    shown = disclosable_pairs(table)
    assert not ((table > 0) & (table < FEWEST) & shown).any()
    for lines, sizes in ((shown, table), (shown.T, table.T)):
        for line, numbers in zip(lines, sizes, strict=True):
            hidden = ~line & (numbers > 0)
            alone = not (line & (numbers > 0)).any()
            assert not hidden.any() or alone or hidden.sum() > 1
            assert not hidden.any() or alone or numbers[hidden].sum() >= FEWEST

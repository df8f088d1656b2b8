"""Holm's correction, against the one of statsmodels."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from traveltide_assets.stats.holm import holm

P_VALUES = st.lists(st.floats(0, 1), max_size=8)


@pytest.fixture(scope="module", autouse=True)
def little_garbage() -> Iterator[None]:
    """statsmodels collects garbage in each call: half a second with all that tests import."""
    gc.freeze()
    yield
    gc.unfreeze()


@given(P_VALUES.filter(len))
def test_each_p_value_is_raised_the_order_kept_and_each_stays_a_probability(
    p_values: list[float],
) -> None:
    raw, corrected = np.array(p_values), holm(p_values)
    assert (corrected >= raw).all()
    assert (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(raw, kind="stable")]) >= 0).all()
    assert corrected[raw.argmin()] == pytest.approx(min(1.0, raw.min() * len(raw)))


@given(P_VALUES.filter(len))
def test_it_is_the_correction_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_what_could_not_be_tested_is_left_out_of_the_count() -> None:
    assert holm(np.array([0.01, np.nan, 0.03])) == pytest.approx([0.02, np.nan, 0.03], nan_ok=True)


@given(P_VALUES, st.data())
def test_an_undefined_p_value_changes_no_other_wherever_it_stands(
    p_values: list[float], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(p_values)))
    corrected = holm([*p_values[:place], np.nan, *p_values[place:]])
    assert np.isnan(corrected[place])
    assert np.delete(corrected, place) == pytest.approx(holm(p_values))

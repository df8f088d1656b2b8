"""The expressions that features are made of."""

from __future__ import annotations

import math

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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

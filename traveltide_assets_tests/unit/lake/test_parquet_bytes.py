"""Rows of one customer are found wherever they are in a file."""

from __future__ import annotations

from io import BytesIO

import pandas as pd
import pytest

from traveltide_assets.lake.parquet_bytes import read_rows, read_table


@pytest.mark.parametrize("users", [range(100), [*range(50, 100), *range(50), 7]])
def test_the_rows_of_a_customer_are_found_in_every_order(users: list[int]) -> None:
    frame = pd.DataFrame({"perk": "meal", "user_id": list(users), "spend": list(users)})
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False, row_group_size=30)
    for user in (0, 7, 99, 100):
        found = read_rows(buffer.getvalue(), "user_id", user, ["spend"]).to_pandas()
        expected = frame.loc[frame["user_id"] == user, ["spend"]].reset_index(drop=True)
        assert found.equals(expected)


def test_text_is_read_as_categories_where_asked_for() -> None:
    buffer = BytesIO()
    pd.DataFrame({"perk": ["meal", "bag", "meal"], "n": [1, 2, 3]}).to_parquet(buffer)
    read = read_table(buffer.getvalue(), ["perk"], ["perk"]).to_pandas()["perk"]
    assert read.dtype == "category"
    assert read.tolist() == ["meal", "bag", "meal"]

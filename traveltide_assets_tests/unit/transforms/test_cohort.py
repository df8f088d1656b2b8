"""Who counts as an active customer."""

from __future__ import annotations

import ibis
import pytest

from traveltide_assets.transforms.cohort import (
    completed_years,
    describe,
)
from traveltide_assets.transforms.config import Config as Cohort


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        ("2000-02-29", "2018-02-28", 17),
        ("2000-02-29", "2018-03-01", 18),
        ("2000-02-29", "2020-02-29", 20),
        ("1984-05-31", "2023-05-30", 38),
        ("1984-05-31", "2023-05-31", 39),
        ("2023-01-01", "2023-12-31", 0),
    ],
)
def test_an_age_counts_completed_years(born: str, day: str, age: int) -> None:
    years = completed_years(ibis.date(born), ibis.date(day))
    assert ibis.duckdb.connect().execute(years) == age


def test_the_rule_is_told_in_words() -> None:
    assert describe(Cohort(), "2023-05") == "at least 8 sessions from 2023-01-04 to 2023-05-31"
    everybody = Cohort(active_since=None, min_sessions=1)
    assert describe(everybody, "2023-02") == "at least 1 sessions to 2023-02-28"

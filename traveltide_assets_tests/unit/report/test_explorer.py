"""The explorer: what is in the file that is mailed around, and what must not be."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.report import explorer
from traveltide_assets.report.disclosure import FEWEST

HOSTILE = "</script><script>alert(1)</script><!--"
CUSTOMERS = 400


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    draw = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "user_id": np.arange(700_000, 700_000 + CUSTOMERS),
            "age": draw.integers(18, 80, CUSTOMERS),
            "married": draw.random(CUSTOMERS) < 0.5,
            "has_children": draw.random(CUSTOMERS) < 0.02,
            "home_country": draw.choice(["usa", "canada", HOSTILE], CUSTOMERS),
            "total_spend": draw.gamma(2, 900, CUSTOMERS),
            "total_trips": draw.integers(0, 6, CUSTOMERS),
            "total_sessions": draw.integers(8, 20, CUSTOMERS),
            "mean_nights": draw.uniform(1, 12, CUSTOMERS),
            "total_checked_bags": draw.integers(0, 7, CUSTOMERS),
            "mean_lead_days": draw.uniform(1, 40, CUSTOMERS),
            "cancellation_rate": draw.random(CUSTOMERS),
            "discounted_booking_rate": draw.random(CUSTOMERS),
        }
    )


@pytest.fixture(scope="module")
def assignments(features: pd.DataFrame) -> pd.DataFrame:
    segments = np.where(features["age"] < 30, "High checked bags", HOSTILE)
    perks = np.where(features["age"] < 30, "bag", "meal")
    return pd.DataFrame({"user_id": features["user_id"], "segment": segments, "perk": perks})


@pytest.fixture(scope="module")
def page(features: pd.DataFrame, assignments: pd.DataFrame) -> str:
    return explorer.render("2023-07", features, assignments, {"bag": HOSTILE}, None)


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r"const DATA=(\{.*?\});\n", page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_it_is_one_small_file_of_the_same_bytes(
    page: str, features: pd.DataFrame, assignments: pd.DataFrame
) -> None:
    again = explorer.render("2023-07", features, assignments, {"bag": HOSTILE}, None)
    assert again == page
    assert len(page.encode()) < 2_000_000
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)


def test_no_group_of_few_and_nobody_alone_is_in_it(page: str, features: pd.DataFrame) -> None:
    data = data_of(page)
    sizes = [size for each in data["dimensions"] for size in each["sizes"]]
    cells = [
        cell for pair in data["pairs"].values() for t in pair.values() for r in t for cell in r
    ]
    assert None in cells, "some are hidden"
    assert all(each is None or each == 0 or each >= FEWEST for each in [*sizes, *cells])
    for dimension in data["dimensions"]:
        for size, means in zip(dimension["sizes"], dimension["means"], strict=True):
            assert (means is None) == (not size)
    assert not [user for user in features["user_id"] if str(user) in json.dumps(data)]


def test_the_counts_are_those_of_the_customers(page: str, features: pd.DataFrame) -> None:
    data = data_of(page)
    (age,) = [each for each in data["dimensions"] if each["key"] == "age"]
    young = age["groups"].index("25\N{EN DASH}34")
    assert age["sizes"][young] == int(features["age"].between(25, 34).sum())
    trips = data["pairs"]["age"]["trips"][young]
    due = features.loc[features["age"].between(25, 34), "total_trips"]
    assert trips[1] in (None, int((due == 1).sum()))


def test_what_may_not_be_used_is_no_dimension(
    features: pd.DataFrame, assignments: pd.DataFrame
) -> None:
    without = features.drop(columns=["age", "married"])
    keys = [
        e["key"]
        for e in data_of(explorer.render("2023-07", without, assignments, {}, None))["dimensions"]
    ]
    assert "age" not in keys
    assert "family" not in keys
    assert "spend" in keys


def test_a_name_cannot_end_the_script(page: str) -> None:
    assert page.count("<script") == 1
    assert page.count("</script") == 1
    assert "<!--" not in page
    assert "alert(1)" in page, "as a text"

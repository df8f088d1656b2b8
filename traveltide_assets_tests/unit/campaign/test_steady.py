"""A customer keeps last month's perk unless another one is clearly better."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.campaign import steady

PERKS = ("bag", "meal", "night")


def own(perk: str, **preferences: float) -> pd.DataFrame:
    """One customer, to whom the strategy gives a perk."""
    row = {
        "user_id": 1,
        "segment": "young",
        "perk": perk,
        "runner_up": "night",
        "deciding_features": "age",
    }
    return pd.DataFrame([row | {f"preference_{name}": v for name, v in preferences.items()}])


def last(perk: str, segment: str = "old") -> pd.DataFrame:
    return pd.DataFrame({"user_id": [1], "perk": [perk], "segment": [segment]})


def decided(
    now: pd.DataFrame, before: pd.DataFrame | None, start: pd.DataFrame | None = None
) -> pd.Series:
    return steady.steadied(now, before, start, PERKS, margin=0.05).iloc[0]


def test_a_perk_that_is_hardly_better_is_the_runner_up() -> None:
    found = decided(own("meal", meal=1.04, bag=1.0), last("bag"))
    assert (found["perk"], found["runner_up"], found["segment"]) == ("bag", "meal", "young")
    assert found["deciding_features"] == found["steadiness"] == steady.KEPT


def test_a_perk_that_is_better_by_more_than_the_margin_replaces_the_last_one() -> None:
    found = decided(own("meal", meal=1.4, bag=1.0), last("bag"))
    assert (found["perk"], found["runner_up"]) == ("meal", "night")
    assert found["deciding_features"] == "age"
    assert found["steadiness"] == steady.CLEARLY_BETTER


@pytest.mark.parametrize(
    ("before", "said"),
    [(None, steady.FIRST), ("meal", steady.SAME), ("retired", steady.WITHDRAWN)],
)
def test_the_strategys_perk_stays_where_there_is_nothing_to_keep(
    before: str | None, said: str
) -> None:
    found = decided(own("meal", meal=1.01, bag=1.0), before and last(before))
    assert (found["perk"], found["steadiness"]) == ("meal", said)


def test_a_perk_without_a_signal_any_more_is_not_kept() -> None:
    found = decided(own("meal", meal=1.01, bag=np.nan), last("bag"))
    assert (found["perk"], found["steadiness"]) == ("meal", steady.WITHDRAWN)


def test_nothing_changes_for_a_customer_of_whom_nothing_is_expected() -> None:
    found = decided(own("meal", meal=np.nan, bag=np.nan), last("bag"))
    assert (found["perk"], found["steadiness"]) == ("bag", steady.KEPT)


def test_a_perk_that_is_still_preferred_is_kept_before_one_without_a_preference() -> None:
    assert decided(own("night", night=np.nan, bag=1.02), last("bag"))["perk"] == "bag"


def test_a_strategy_without_expectations_is_measured_by_the_affinity_of_the_segment() -> None:
    now = own("meal").assign(affinity_meal=0.9, affinity_bag=0.2, affinity_night=0.1)
    assert decided(now, last("bag"))["perk"] == "meal"
    assert decided(now.assign(affinity_bag=0.88), last("bag"))["perk"] == "bag"


def test_an_experiment_holds_the_perk_and_the_segment_of_its_start() -> None:
    found = decided(own("meal", meal=9.0, bag=1.0), last("meal"), start=last("bag", "first"))
    assert (found["perk"], found["segment"], found["runner_up"]) == ("bag", "first", "meal")
    assert found["steadiness"] == steady.HELD


@given(st.integers(0, 2**32 - 1), st.floats(0, 2))
@settings(max_examples=30)
def test_nobody_is_lost_and_the_order_of_the_rows_does_not_matter(seed: int, margin: float) -> None:
    rng, size = np.random.default_rng(seed), 30
    now = pd.DataFrame(
        {
            "user_id": np.arange(size),
            "segment": "all",
            "perk": rng.choice(PERKS, size),
            "runner_up": "night",
            "deciding_features": "age",
            **{f"preference_{perk}": rng.normal(1, 1, size) for perk in PERKS},
        }
    )
    before = now.sample(20, random_state=seed).assign(perk=rng.choice(PERKS, 20))
    found = steady.steadied(now, before, None, PERKS, margin)
    assert list(found["user_id"]) == list(now["user_id"])
    moved = found.merge(before, on="user_id", suffixes=("", "_before"))
    better = [
        row[f"preference_{row['perk']}"] - row[f"preference_{row['perk_before']}"] > margin
        for _, row in moved[moved["perk"] != moved["perk_before"]].iterrows()
    ]
    assert all(better)
    shuffled = steady.steadied(now.sample(frac=1, random_state=1), before, None, PERKS, margin)
    pd.testing.assert_frame_equal(shuffled.sort_index(), found)

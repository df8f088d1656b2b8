"""The small tables that pages read: they say of groups what is true of their customers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.report import summaries
from traveltide_assets.report.summaries import ABSENT, perk_moves, segment_profiles

_USERS = pd.Index(range(1, 9), name="user_id")
_NOW = pd.DataFrame(
    {
        "total_sessions": [8.0, 9, 10, 11, 12, 13, 14, 15],
        "total_spend": [0.0, 10, 0, 10, 500, 510, 500, np.nan],
    },
    index=_USERS,
)
_PERKS = pd.Series(["bag", "bag", "meal", "meal", "meal", "night", "night", "night"], index=_USERS)


def test_a_profile_says_what_sets_a_segment_apart() -> None:
    segments = pd.Series(["few"] * 4 + ["much"] * 4, index=_USERS)
    rows = segment_profiles(_NOW, segments).set_index(["segment", "feature"])
    spend = rows.loc[("much", "total_spend")]
    assert spend["customers"] == 4
    assert spend["mean"] == pytest.approx(_NOW["total_spend"].iloc[4:].mean())
    assert spend["mean_of_all"] == pytest.approx(_NOW["total_spend"].mean())
    assert rows["place"].dropna().groupby("segment").min().to_dict() == {"few": 1, "much": 1}


def test_moves_count_everybody_once_and_say_what_they_did_before() -> None:
    before = pd.Series(["bag"] * 4 + ["night"] * 3, index=[1, 2, 3, 4, 5, 6, 99]).rename_axis(
        "user_id"
    )
    earlier = (
        _NOW.reindex(before.index)
        .fillna(7.0)
        .assign(total_sessions=lambda f: f["total_sessions"] - 1)
    )
    earlier.loc[3, "total_sessions"] = _NOW.loc[3, "total_sessions"]
    rows = perk_moves(_PERKS, before, _NOW, earlier)
    sizes = rows.drop_duplicates(["perk_before", "perk"]).set_index(["perk_before", "perk"])
    assert sizes["customers"].to_dict() == {
        ("bag", "bag"): 2,
        ("bag", "meal"): 2,
        ("night", ABSENT): 1,
        ("night", "meal"): 1,
        ("night", "night"): 1,
        (ABSENT, "night"): 2,
    }
    assert sizes["idle"].sum() == sizes.loc[("bag", "meal"), "idle"] == 1
    moved = rows.set_index(["perk_before", "perk", "feature"]).loc[
        ("bag", "meal", "total_sessions")
    ]
    assert (moved["mean_before"], moved["mean"]) == (10.0, 10.5)
    assert moved["sd_before"] == pytest.approx(earlier["total_sessions"].std(ddof=0))


def test_without_a_month_before_everybody_is_new() -> None:
    rows = perk_moves(_PERKS, _PERKS.iloc[:0], _NOW, _NOW.iloc[:0])
    assert set(rows["perk_before"]) == {ABSENT}
    assert rows[["mean_before", "sd_before"]].isna().all(axis=None)
    assert len(rows) == _PERKS.nunique() * _NOW.shape[1]


def test_a_sample_is_drawn_of_many_and_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = pd.DataFrame({"user_id": range(1, 2_001)})
    assert summaries.sample(features).empty
    monkeypatch.setattr(summaries, "MOST", 500)
    drawn = summaries.sample(features)
    assert 400 < len(drawn) < 600
    assert drawn.equals(summaries.sample(features))

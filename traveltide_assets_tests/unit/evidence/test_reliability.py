"""Odd and even sessions of the same customers, in the same fitted strategy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.evidence.reliability import agreement, twice, unreliable
from traveltide_assets.segmentation.propensity import PropensityStrategy
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.toy_strategy import build

PERKS = load_perks(Settings().perks_file)
USERS = pd.DataFrame({"user_id": np.arange(40)})


def halves(odd: pd.DataFrame, even: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([odd.assign(half="odd"), even.assign(half="even")], ignore_index=True)


def test_a_strategy_that_looks_at_the_customer_alone_agrees_wholly() -> None:
    toy = build("toy", Settings(), PERKS)
    found = twice(toy, History(USERS), halves(USERS, USERS.iloc[::-1]))
    assert len(found) == len(USERS)
    assert agreement(found)["reliability_ari"] == 1
    assert unreliable(found).empty


def test_customers_with_sessions_in_one_half_only_are_left_out() -> None:
    toy = build("toy", Settings(), PERKS)
    found = twice(toy, History(USERS), halves(USERS, USERS.iloc[:10]))
    assert set(found["user_id"]) == set(range(10))


def test_agreement_is_that_beyond_chance() -> None:
    rng = np.random.default_rng(0)
    odd, even = (np.where(rng.random((2, 4_000)) < 0.9, "bag", "meal")).tolist()
    by_chance = pd.DataFrame(
        {
            "user_id": range(4_000),
            "segment_odd": odd,
            "segment_even": even,
            "perk_odd": odd,
            "perk_even": even,
        }
    )
    found = agreement(by_chance)
    assert (by_chance["perk_odd"] == by_chance["perk_even"]).mean() > 0.8
    assert found["reliability_kappa"] == pytest.approx(0, abs=0.05)
    assert found["reliability_ari"] == pytest.approx(0, abs=0.05)
    assert len(unreliable(by_chance)) == (by_chance["perk_odd"] != by_chance["perk_even"]).sum()


def test_one_perk_for_everybody_has_no_kappa() -> None:
    same = pd.DataFrame(
        {"user_id": [1, 2], **dict.fromkeys(["segment_odd", "segment_even"], "all")}
    ).assign(perk_odd="bag", perk_even="bag")
    assert np.isnan(agreement(same)["reliability_kappa"])


def test_a_strategy_that_cannot_be_fitted_has_no_reliability() -> None:
    found = twice(PropensityStrategy(PERKS, 1), History(USERS), halves(USERS, USERS))
    assert found.empty
    assert np.isnan(agreement(found)["reliability_ari"])

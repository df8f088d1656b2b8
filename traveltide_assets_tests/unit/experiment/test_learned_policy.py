"""The learnt policy as a table: what it decides, why, and when it comes into and out of service."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.experiment import learned_policy, policy_scorecard
from traveltide_assets.experiment.learned_policy import IN_SERVICE, LearnedPolicy
from traveltide_assets.experiment.learning.policy_promotion import (
    PROMOTED,
    TOO_LITTLE_DATA,
    Judgement,
)
from traveltide_assets.experiment.policy_scorecard import Explored
from traveltide_assets.experiment.tables import LEARNED_POLICY
from traveltide_assets_tests.unit.experiment.test_policy_scorecard import drawn

MONTH = "2023-07"


@pytest.fixture(scope="module")
def judged() -> tuple[Explored, Judgement]:
    """A bag is worth 40 USD to those who carry much, and costs 20 with the others."""
    found = policy_scorecard.explored(*drawn())
    assert found is not None
    return found, policy_scorecard.judged(found, {}, seed=1)


@pytest.fixture(scope="module")
def stored(judged: tuple[Explored, Judgement]) -> pd.DataFrame:
    rows, said = learned_policy.updated(None, *judged, MONTH)
    assert "comes into service" in said
    return rows


def policy_of(rows: pd.DataFrame) -> LearnedPolicy:
    found = LearnedPolicy.from_frame(rows)
    assert found is not None
    return found


def test_the_table_is_all_of_the_policy(
    judged: tuple[Explored, Judgement], stored: pd.DataFrame
) -> None:
    found, judgement = judged
    policy = policy_of(stored)
    assert list(stored.columns) == list(LEARNED_POLICY.column_names)
    assert not stored.duplicated(["perk", "feature"]).any()
    features = found.log.features
    learnt = judgement.policy.effects(features)[:, 1:]
    assert policy.effects(features).to_numpy() == pytest.approx(learnt, abs=1e-5)
    wide = np.resize(np.arange(len(features)), 3 * len(features))
    many = features.iloc[wide].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        policy.effects(many).iloc[: len(features)], policy.effects(features)
    )


def test_each_customer_gets_the_perk_of_which_most_is_expected_and_is_told_why(
    stored: pd.DataFrame,
) -> None:
    customers = pd.DataFrame(
        {"user_id": [7, 3], "segment": "s", "perk": "old", "score": 0.0, "reason": "none"}
    ).assign(preference_bag=9.0, preference_old=1.0, strategy="traits")
    features = pd.DataFrame({"user_id": [3, 7], "bags": [0.0, 2.0], "noise": np.nan})
    policy = policy_of(stored)
    found = policy.decide(customers, features).set_index("user_id")
    assert found.loc[7, "perk"] == "bag"
    assert found.loc[3, "perk"] == "meal"
    assert found.loc[7, "score"] == pytest.approx(40, abs=5)
    assert found.loc[7, "preference_bag"] == pytest.approx(1.4, abs=0.07)
    assert "preference_old" not in found, "the policy knows nothing of it"
    said = found.loc[7, "reason"]
    assert "USD of revenue expected over no offer" in said
    assert said.endswith("speaking for it: bags")
    assert set(found["strategy"]) == {"learned"}
    assert set(found["model_version"]) == {policy.version}
    again = policy.decide(customers.iloc[::-1], features).set_index("user_id").loc[[7, 3]]
    pd.testing.assert_frame_equal(again, found)


def test_what_is_not_known_of_a_customer_counts_for_nothing(stored: pd.DataFrame) -> None:
    policy = policy_of(stored)
    unknown = pd.DataFrame({"bags": [np.nan]})
    usual = pd.DataFrame([policy.mean])
    assert policy.effects(unknown).to_numpy() == pytest.approx(policy.effects(usual).to_numpy())


def test_a_perk_that_is_not_handed_out_is_not_decided(stored: pd.DataFrame) -> None:
    policy = policy_of(stored)
    meal = policy.of(["meal", "another"])
    assert meal is not None
    assert list(meal.effects(pd.DataFrame({"bags": [2.0]}))) == ["meal"]
    assert policy.of(["another"]) is None


def test_it_stays_until_another_is_promoted_or_a_single_choice_brings_more(
    judged: tuple[Explored, Judgement], stored: pd.DataFrame
) -> None:
    found, judgement = judged
    assert judgement.verdict == PROMOTED
    chosen = learned_policy.choices(policy_of(stored), found)
    heavy = (found.log.features["bags"] > 0).to_numpy()
    assert (chosen.loc[heavy, "perk"] == "bag").all()
    scores = judgement.scorecard.copy()
    scores.loc[IN_SERVICE] = scores.loc["learned"]
    not_now = replace(judgement, verdict=TOO_LITTLE_DATA, scorecard=scores)
    kept, said = learned_policy.updated(stored, found, not_now, "2023-08")
    pd.testing.assert_frame_equal(kept, stored)
    assert "2023-07 stays" in said
    worse = scores.copy()
    worse.loc[IN_SERVICE, ["value", "low", "high"]] = [80, 75, 85]
    gone, said = learned_policy.updated(stored, found, replace(not_now, scorecard=worse), "2023-08")
    assert gone.empty
    assert "withdrawn" in said
    assert LearnedPolicy.from_frame(gone) is None
    newer, _ = learned_policy.updated(stored, found, judgement, "2023-08")
    assert set(newer["learned_in"]) == {"2023-08"}
    none, said = learned_policy.updated(None, found, not_now, MONTH)
    assert none.empty
    assert "none has been promoted" in said

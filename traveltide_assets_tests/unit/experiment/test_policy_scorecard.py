"""The scorecard of policies: a log of what was drawn, with its probabilities, and a verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.experiment import policy_scorecard as scorecard
from traveltide_assets.experiment.assignment import EXPLORATION, HOLDOUT, PERSONALISED
from traveltide_assets.experiment.learning.policy_promotion import LEARNED, PROMOTED

COUNT = 3_000


def drawn() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A campaign in which a bag is worth 40 to those who carry much, and -20 to the others."""
    rng = np.random.default_rng(7)
    arm = rng.choice([HOLDOUT, EXPLORATION, PERSONALISED], COUNT, p=[0.3, 0.6, 0.1])
    offer = rng.choice(["bag", "meal"], COUNT, p=[0.75, 0.25])
    heavy = rng.random(COUNT) < 0.5
    effect = np.where(offer == "bag", np.where(heavy, 40.0, -20.0), 0.0) * (arm == EXPLORATION)
    outcomes = pd.DataFrame(
        {
            "campaign": "2023-05",
            "user_id": np.arange(COUNT),
            "arm": arm,
            "arm_probability": np.select([arm == HOLDOUT, arm == EXPLORATION], [0.3, 0.6], 0.1),
            "offer": offer,
            "probability": np.where(arm == EXPLORATION, np.where(offer == "bag", 0.75, 0.25), 1.0),
            "eligible": [["bag", "meal"]] * COUNT,
            "revenue_capped_usd": 100 + effect + rng.normal(0, 20, COUNT),
            "net_margin_usd": np.nan,
            "closed": True,
        }
    )
    features = outcomes[["campaign", "user_id"]].assign(
        bags=heavy * 2.0, noise=rng.normal(size=COUNT)
    )
    return outcomes, features


def test_the_log_has_what_was_drawn_with_its_probability() -> None:
    found = scorecard.explored(*drawn())
    assert found is not None
    assert found.log.actions == ("none", "bag", "meal")
    by_action = pd.Series(found.log.propensity).groupby(found.log.action)
    assert by_action.first().tolist() == pytest.approx([0.3 / 0.9, 0.45 / 0.9, 0.15 / 0.9])
    assert by_action.nunique().tolist() == [1, 1, 1]
    assert len(found.log) == (drawn()[0]["arm"] != PERSONALISED).sum()


def test_whoever_may_not_have_a_perk_says_nothing_of_it_and_is_never_given_it() -> None:
    outcomes, features = drawn()
    light = (features["bags"] == 0).to_numpy()
    nobody = np.arange(COUNT) % 10 == 0
    # Whoever carries little may have no bag, and every tenth customer nothing.
    eligible = [
        [] if none else ["meal"] if few else ["bag", "meal"]
        for none, few in zip(nobody, light, strict=True)
    ]
    explores = (outcomes["arm"] == EXPLORATION).to_numpy()
    offer = np.select([nobody, light], ["none", "meal"], outcomes["offer"])
    outcomes["offer"] = np.where(explores, offer, outcomes["offer"])
    outcomes.loc[explores & (light | nobody), "probability"] = 1.0
    found = scorecard.explored(outcomes.assign(eligible=eligible), features)
    assert found is not None
    log, users = found.log, found.customers["user_id"].to_numpy()
    bag = log.actions.index("bag")
    assert (log.possible[:, bag] == ~(light | nobody)[users]).all()
    assert (log.propensity[nobody[users]] == 1).all()
    assert (log.always(bag) == np.where((light | nobody)[users], 0, bag)).all()
    everybody = outcomes[["campaign", "user_id"]].assign(perk="bag")
    judgement = scorecard.judged(found, {scorecard.INCUMBENT: everybody}, seed=1)
    assert (judgement.decisions[(light | nobody)[users]] != bag).all()
    # Were the light counted, too, they would lose 20 each, and nobody would pay for them.
    assert judgement.policy.effects(log.features)[:, bag].min() > 20
    rows = judgement.scorecard
    assert rows.loc["incumbent", "value"] == rows.loc["always bag", "value"]
    assert rows.loc["always bag", "low"] < 100 + 40 * 0.45 < rows.loc["always bag", "high"]


def test_a_perk_that_only_some_campaigns_drew_is_as_rare_as_they_are() -> None:
    outcomes, features = drawn()
    later = outcomes.assign(campaign="2023-06", offer=outcomes["offer"].replace("bag", "night"))
    later["eligible"] = [["meal", "night"]] * COUNT
    both = pd.concat([features, features.assign(campaign="2023-06")])
    found = scorecard.explored(pd.concat([outcomes, later]), both)
    assert found is not None
    assert found.log.possible.all(), "that it was not drawn says nothing of who may have it"
    by_action = pd.Series(found.log.propensity).groupby(found.log.action).first()
    assert dict(zip(found.log.actions, by_action, strict=True)) == pytest.approx(
        {"none": 0.3 / 0.9, "bag": 0.45 / 0.9 / 2, "meal": 0.15 / 0.9, "night": 0.45 / 0.9 / 2}
    )


def test_yes_and_no_are_features_and_texts_are_not() -> None:
    outcomes, features = drawn()
    told = features.assign(has_children=features["bags"] > 0, home_country="usa")
    found = scorecard.explored(outcomes, told)
    assert found is not None
    assert list(found.log.features) == ["bags", "noise", "has_children"]
    assert (found.log.features["has_children"] == (found.log.features["bags"] > 0)).all()


def test_a_feature_may_be_called_as_an_outcome_is() -> None:
    outcomes, features = drawn()
    known = features.assign(completed_trips=3.0)
    found = scorecard.explored(outcomes.assign(completed_trips=1), known)
    assert found is not None
    assert (found.log.features["completed_trips"] == 3).all()


def test_a_policy_that_beats_all_it_must_beat_is_promoted() -> None:
    outcomes, features = drawn()
    found = scorecard.explored(outcomes, features)
    assert found is not None
    everybody = outcomes[["campaign", "user_id"]].assign(perk="bag")
    judgement = scorecard.judged(found, {scorecard.INCUMBENT: everybody}, seed=1)
    rows = scorecard.table(found, judgement).set_index("policy")
    assert rows["verdict"].eq(PROMOTED).all()
    assert rows.loc[LEARNED, "low"] < 120 < rows.loc[LEARNED, "high"]
    assert rows.loc["always bag", "value"] == pytest.approx(110, abs=4)
    assert rows.loc["incumbent", "value"] == rows.loc["always bag", "value"]
    assert rows.loc["always none", "gain"] == 0


def test_money_decides_as_soon_as_the_latest_campaign_knows_it() -> None:
    outcomes, features = drawn()
    earlier = outcomes.assign(campaign="2023-04")
    priced = outcomes.assign(net_margin_usd=0.2 * outcomes["revenue_capped_usd"] - 3)
    both = pd.concat([features, features.assign(campaign="2023-04")])
    found = scorecard.explored(pd.concat([earlier, priced]), both)
    assert found is not None
    assert found.reward == scorecard.NET_MARGIN
    assert set(found.customers["campaign"]) == {"2023-05"}
    assert found.log.reward.mean() == pytest.approx(18, abs=1)
    partly = priced.assign(net_margin_usd=priced["net_margin_usd"].where(priced["user_id"] > 9))
    found = scorecard.explored(pd.concat([earlier, partly]), both)
    assert found is not None
    assert found.reward == scorecard.REVENUE
    assert set(found.customers["campaign"]) == {"2023-04", "2023-05"}


def test_without_enough_that_was_drawn_there_is_no_log() -> None:
    outcomes, features = drawn()
    assert scorecard.explored(outcomes.assign(arm=PERSONALISED), features) is None
    assert scorecard.explored(outcomes[outcomes["arm"] != HOLDOUT], features) is None
    assert scorecard.explored(outcomes.assign(closed=False), features) is None
    assert scorecard.explored(outcomes.assign(arm_probability=np.nan), features) is None
    assert scorecard.explored(outcomes.iloc[:100], features) is None
    assert scorecard.nothing().empty


def test_one_rare_perk_does_not_keep_the_others_from_being_learned() -> None:
    outcomes, features = drawn()
    rng = np.random.default_rng(3)
    explores = (outcomes["arm"] == EXPLORATION).to_numpy()
    # Every third customer may have no bag, and the night is drawn with weight 1 to 75 and 24.
    may_bag = np.arange(COUNT) % 3 > 0
    outcomes["eligible"] = [
        ["bag", "meal", "night"] if may else ["meal", "night"] for may in may_bag
    ]
    chances = np.where(may_bag[:, None], [0.75, 0.24, 0.01], [0.0, 0.96, 0.04])
    place = (rng.random(COUNT)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    outcomes["offer"] = np.where(explores, np.array(["bag", "meal", "night"])[place], "bag")
    outcomes["probability"] = np.where(explores, chances[np.arange(COUNT), place], 1.0)
    found = scorecard.explored(outcomes, features)
    assert found is not None
    log = found.log
    assert log.actions == ("none", "bag", "meal")
    rare = int((explores & (outcomes["offer"] == "night")).sum())
    assert found.left_out == {"night": rare}
    assert len(log) == int(outcomes["arm"].isin([EXPLORATION, HOLDOUT]).sum()) - rare
    # As likely as they are among those who did not draw the rare one: 2 of 3 explore.
    known = pd.DataFrame({"may": may_bag[found.customers["user_id"]], "action": log.action})
    shown = pd.Series(log.propensity).groupby([known["may"], known["action"]])
    assert (shown.max() == shown.min()).all()
    with_bag, without = 0.3 + 0.6 * 0.99, 0.3 + 0.6 * 0.96
    assert shown.first().to_dict() == pytest.approx(
        {
            (True, 0): 0.3 / with_bag,
            (True, 1): 0.45 / with_bag,
            (True, 2): 0.144 / with_bag,
            (False, 0): 0.3 / without,
            (False, 2): 0.576 / without,
        }
    )
    judgement = scorecard.judged(found, {}, seed=1)
    rows = scorecard.table(found, judgement)
    assert f"Nothing is learned of night: {rare} customers drew it" in rows["in_words"].iloc[0]


def test_the_campaigns_of_a_customer_count_together() -> None:
    outcomes, features = drawn()
    again = pd.concat([outcomes, outcomes.assign(campaign="2023-06")])
    known = pd.concat([features, features.assign(campaign="2023-06")])
    once, twice = scorecard.explored(outcomes, features), scorecard.explored(again, known)
    assert once is not None
    assert twice is not None
    one, other = (scorecard.judged(found, {}, seed=1).scorecard for found in (once, twice))
    # The same campaign told twice says no more than told once.
    assert other.loc["always bag", "standard_error"] == pytest.approx(
        one.loc["always bag", "standard_error"], rel=0.02
    )


def test_why_there_is_no_log_is_said() -> None:
    outcomes, _ = drawn()
    few = outcomes[outcomes["arm"] != HOLDOUT]
    assert "no perk was drawn for more than" in scorecard.too_few(
        outcomes.iloc[:100].assign(arm=np.where(np.arange(100) < 60, HOLDOUT, EXPLORATION))
    )
    assert "only 0 customers were held out" in scorecard.too_few(few)
    assert "there is nothing to learn from" in scorecard.too_few(outcomes.assign(closed=False))

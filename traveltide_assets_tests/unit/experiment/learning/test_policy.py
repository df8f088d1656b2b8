"""What is learnt from a log, whether there is anything to learn, and when it is promoted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.experiment.learning import policy, policy_promotion
from traveltide_assets.experiment.learning.heterogeneity import heterogeneity
from traveltide_assets.experiment.learning.log import Log, LogError
from traveltide_assets.experiment.learning.policy_value import policy_value
from traveltide_assets.experiment.learning.uplift import qini, uplift_curve

ACTIONS = ("nothing", "bag", "meal")


def trial(rows: int, seed: int, trait: float = 0.0, gain: float = 0.0) -> Log:
    """A trial of three actions. "bag" helps families by `trait`, "meal" the others; all `gain`."""
    rng = np.random.default_rng(seed)
    family = rng.random(rows) < 0.5
    features = pd.DataFrame(
        {
            "family": family,
            "home": rng.choice(["new york", "toronto", "chicago"], rows),
            "age": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(40, 10, rows)),
        }
    )
    action = rng.integers(0, 3, rows)
    wanted = np.where(family, action == 1, action == 2)
    mean = 1 + trait * wanted + gain * (action == 1)
    reward = mean + rng.normal(size=rows)
    return Log.of(features, np.array(ACTIONS)[action], 1 / 3, reward, ACTIONS)


def test_traits_are_learnt_and_promoted() -> None:
    log = trial(4_000, 1, trait=0.5)
    found = policy_promotion.judge(log, costs=(0.0, 0.1, 0.1))
    assert found.promoted, found.in_words
    assert (found.gains["low"] > 0).all()
    assert found.scorecard.loc[policy_promotion.LEARNED, "value"] == pytest.approx(1.4, abs=0.1)
    assert max(test.p_holm for test in found.heterogeneity) < 0.001
    new = trial(2_000, 2, trait=0.5)
    chosen = found.policy.choose(new.features)
    right = chosen == np.where(new.features["family"], 1, 2)
    assert right.mean() > 0.9


def test_costs_above_the_effect_mean_that_nobody_gets_anything() -> None:
    log = trial(2_000, 1, trait=0.5)
    learnt = policy.learn(log, costs=(0.0, 2.0, 2.0))
    assert (learnt.choose(log.features) == 0).all()


def test_where_all_like_the_same_it_is_not_promoted() -> None:
    log = trial(4_000, 3, gain=0.5)
    found = policy_promotion.judge(log)
    assert found.verdict == policy_promotion.NOTHING_TO_GAIN
    assert "Use always bag" in found.in_words


def test_too_little_data_is_said_with_how_much_it_takes() -> None:
    log = trial(150, 4, trait=0.1)
    found = policy_promotion.judge(log)
    assert found.verdict == policy_promotion.TOO_LITTLE_DATA
    assert found.rows_needed is not None
    assert found.rows_needed > len(log)
    assert f"{found.rows_needed:,} rows" in found.in_words


def test_a_policy_that_does_not_target_is_no_proof_that_there_is_nothing_to_gain() -> None:
    log = trial(200, 1, trait=0.4)

    def alike(log: Log, costs: object, seed: int) -> policy.Policy:
        return policy.learn(log, methods=(policy.SAME_FOR_ALL,), folds=2, seed=seed)

    found = policy_promotion.judge(log, learner=alike, folds=2)
    assert found.gains.loc["always bag", ["low", "high"]].tolist() == [0, 0]
    assert found.verdict == policy_promotion.TOO_LITTLE_DATA
    assert found.rows_needed is not None
    assert found.rows_needed > len(log)
    assert "by a policy that targets more" in found.in_words


def test_the_incumbent_must_be_beaten_too() -> None:
    log = trial(1_500, 5, trait=0.7)
    oracle = np.where(log.features["family"], 1, 2)
    found = policy_promotion.judge(log, others={"rule": oracle}, incumbent="rule")
    assert not found.promoted
    assert policy_promotion.judge(log, others={"rule": oracle}).promoted


def test_learning_again_gives_the_same() -> None:
    log = trial(1_000, 6, trait=0.5)
    one, other = (policy.learn(log).effects(log.features) for _ in range(2))
    assert (one == other).all()


def test_effects_that_do_not_differ_are_not_called_different() -> None:
    alike = [heterogeneity(trial(600, seed, gain=0.5), folds=3) for seed in range(15)]
    alarms = sum(min(test.p_holm for test in tests) <= 0.05 for tests in alike)
    assert alarms <= 3  # 15 times 5 %; more happens once in 180
    assert min(test.p_holm for test in heterogeneity(trial(2_000, 1, trait=0.5))) < 1e-3


def test_features_of_any_kind_are_learnt_from() -> None:
    log = trial(400, 9, trait=1.5)
    for features in (
        log.features[["family"]] > 0,
        log.features["family"].map({1.0: "yes", 0.0: None}).to_frame(),
        log.features["age"].round().astype("Int64").to_frame(),
    ):
        other = Log.of(features, np.array(ACTIONS)[log.action], 1 / 3, log.reward, ACTIONS)
        assert np.isfinite(policy.learn(other, folds=2).effects(features)).all()
    with pytest.raises(LogError, match="infinite"):
        policy.learn(log).choose(np.full((3, 3), np.inf))


def test_an_action_that_hardly_occurs_is_named() -> None:
    log = trial(300, 1)
    rare = log.rows((log.action != 2) | (np.arange(300) < 9))
    with pytest.raises(LogError, match="meal was taken in"):
        policy.learn(rare)


def test_the_qini_area_is_that_under_the_curve() -> None:
    log = trial(800, 7, trait=0.5)
    score = np.random.default_rng(1).normal(size=800) + log.features["family"]
    curve = uplift_curve(log, score)
    area = np.trapezoid(curve["uplift"] - curve["random"], curve["share"])
    found = qini(log, score)
    assert found.area == pytest.approx(area, abs=1e-12)
    assert curve["uplift"].iloc[-1] == pytest.approx(
        policy_value(log, log.always(1), "inverse_propensity").value
        - policy_value(log, log.always(0), "inverse_propensity").value
    )
    # Summed row by row, as the definition says.
    order = np.argsort(-score)
    sign = np.where(log.action == 1, 1.0, np.where(log.action == 0, -1.0, 0.0))
    steps = np.concatenate([[0.0], np.cumsum((sign * log.reward * 3)[order]) / 800])
    np.testing.assert_allclose(curve["uplift"], steps, atol=1e-9)


def test_the_qini_of_noise_is_near_0_and_of_the_trait_above() -> None:
    inside = 0
    for seed in range(200):
        log = trial(500, seed, trait=0.5)
        found = qini(log, np.random.default_rng(seed + 1_000).normal(size=500))
        inside += found.low <= 0 <= found.high
    assert 0.9 <= inside / 200 <= 0.99
    assert (
        qini(trial(4_000, 1, trait=0.5), trial(4_000, 1).features["family"].astype(float)).low > 0
    )


def test_equal_scores_are_treated_together() -> None:
    log = trial(400, 8, trait=0.5)
    curve = uplift_curve(log, np.zeros(400))
    assert curve["share"].tolist() == [0.0, 1.0]
    assert qini(log, np.zeros(400)).area == pytest.approx(0.0, abs=1e-12)

"""What is learnt from a log, whether there is anything to learn, and when it is promoted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

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
    log = trial(5_500, 1, trait=0.5)
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
    log = trial(300, 1, trait=0.35)
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
    assert min(test.p_holm for test in heterogeneity(trial(4_000, 1, trait=0.5))) < 1e-3


def test_that_folds_are_predicted_from_each_other_is_allowed_for() -> None:
    found = []
    for seed in range(60):
        log = trial(200, seed)
        log = log.rows(log.action < 2)
        two = Log.of(log.features, np.array(ACTIONS)[log.action], 0.5, log.reward, ACTIONS[:2])
        found.append(heterogeneity(two, folds=3, seed=seed)[0].p_value)
    # The deviations of noise may spread by 1, and would by more if folds were independent.
    assert np.std(norm.isf(found)) < 1.05


def test_features_of_any_kind_are_learnt_from() -> None:
    log = trial(400, 9, trait=1.5)
    for features in (
        log.features[["family"]] > 0,
        log.features["family"].map({1.0: "yes", 0.0: None}).to_frame(),
        log.features["age"].round().astype("Int64").to_frame(),
        log.features[["age"]].assign(empty=np.nan, constant=1.0),
    ):
        other = Log.of(features, np.array(ACTIONS)[log.action], 1 / 3, log.reward, ACTIONS)
        assert np.isfinite(policy.learn(other, folds=2).effects(features)).all()
    with pytest.raises(LogError, match="unknown methods: magic"):
        policy.learn(log, methods=("magic",))
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


def gains(value: float, error: float) -> pd.DataFrame:
    """The gains over two rivals, the second by twice as much, with 95 % intervals."""
    values = np.array([value, 2 * value])
    columns = {"value": values, "standard_error": error, "high": values + 2.0 * error}
    return pd.DataFrame(columns, index=["always bag", "always none"])


def test_the_rows_needed_are_those_that_show_the_gain_that_is_estimated() -> None:
    # It must lie 2 standard errors above 0, with a power of 80 %: 0.84 more.
    found = policy_promotion._rows_needed([gains(1.1, 1.0)], 1_000)
    assert found is not None
    assert found == pytest.approx(1_000 * ((2 + 0.8416) / 1.1) ** 2, abs=2)
    both = policy_promotion._rows_needed([gains(1.1, 1.0), gains(2.2, 1.0)], 1_000)
    assert both == pytest.approx(found / 4, abs=2), "the one that is shown first counts"
    assert policy_promotion._rows_needed([gains(-1.0, 1.0), gains(1.1, 1.0)], 1_000) == found
    assert policy_promotion._rows_needed([gains(-1.0, 1.0), gains(0.9, 1.0)], 1_000) is None
    fewest = policy_promotion._rows_needed([gains(1.0, 1.0)], 1_000, "high")
    assert fewest == max(1_001, int(np.ceil(1_000 * ((2 + 0.8416) / 3) ** 2)))


def test_what_no_estimate_suggests_is_not_planned_for() -> None:
    log = trial(130, 2)
    found = policy_promotion.judge(log, folds=2)
    assert (found.gains["value"] <= 0).any()
    assert found.verdict == policy_promotion.TOO_LITTLE_DATA
    assert found.rows_needed is None
    assert "How many rows it takes cannot be said" in found.in_words
    assert "; at least" in found.in_words


def repeated(log: Log, times: int) -> Log:
    """The log with every row several times, as one customer's."""
    rows = log.rows(np.tile(np.arange(len(log)), times))
    names, whose = np.array(log.actions)[rows.action], rows.customer.astype(str)
    return Log.of(rows.features, names, rows.propensity, rows.reward, log.actions, customers=whose)


def test_rows_of_a_customer_are_in_one_fold_and_say_no_more_than_one() -> None:
    log = trial(500, 3, trait=0.5)
    often = repeated(log, 4)
    folds = often.folds(4, 0)
    assert (folds == np.tile(folds[:500], 4)).all()
    one, other = (
        policy_value(each, each.always(1), expected=np.zeros((len(each), 3)))
        for each in (log, often)
    )
    assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high))
    score = log.features["age"].fillna(40).to_numpy()
    assert qini(often, np.tile(score, 4)).standard_error == pytest.approx(
        qini(log, score).standard_error, rel=0.01
    )


def test_customers_who_come_again_do_not_make_effects_differ() -> None:
    alarms = 0
    for seed in range(15):
        tests = heterogeneity(repeated(trial(200, seed, gain=0.5), 3), folds=3)
        alarms += min(test.p_holm for test in tests) <= 0.05
    assert alarms <= 3  # 15 times 5 %; more happens once in 180


def test_that_some_customers_have_more_rows_is_no_spread() -> None:
    log = trial(400, 4)
    some = log.rows(np.concatenate([np.arange(400), np.arange(100)]))
    values = some.by_customer(np.full(500, 7.0))
    assert values == pytest.approx(np.full(400, 7.0))
    assert some.by_customer(some.reward).mean() == pytest.approx(some.reward.mean())

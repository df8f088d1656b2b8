"""The value of a policy from a log of another: equal to independent computations, and covering."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from traveltide_assets.experiment.learning import reward_model
from traveltide_assets.experiment.learning.log import Log, LogError, folds_of
from traveltide_assets.experiment.learning.policy_value import (
    METHODS,
    contributions,
    doubly_robust_scores,
    policy_value,
)
from traveltide_assets.experiment.learning.simultaneous import simultaneous_intervals

ACTIONS = ("nothing", "bag", "meal")


def log_of(rows: int, seed: int = 0, effect: float = 0.0) -> Log:
    """Three actions, drawn with probabilities that depend on the first feature."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    scores = np.column_stack([np.zeros(rows), 0.5 * x[:, 0], -0.5 * x[:, 0]])
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    action = (chances.cumsum(axis=1) < rng.random(rows)[:, None]).sum(axis=1).clip(max=2)
    reward = x[:, 0] + effect * (action == 1) * x[:, 1] + 0.2 * action + rng.normal(size=rows)
    return Log.of(
        x,
        np.array(ACTIONS)[action],
        chances[np.arange(rows), action],
        reward,
        ACTIONS,
    )


def policy_of(log: Log, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(len(log.actions)), len(log))


def independent(
    log: Log, policy: np.ndarray, expected: np.ndarray, method: str
) -> tuple[float, float]:
    """Value and standard error, row by row, without anything of the package."""
    one, weights = [], []
    for i in range(len(log.reward)):
        a, p, r = int(log.action[i]), float(log.propensity[i]), float(log.reward[i])
        w = policy[i, a] / p
        weights.append(w)
        if method == "doubly_robust":
            direct = sum(policy[i, k] * expected[i, k] for k in range(policy.shape[1]))
            one.append(direct + w * (r - expected[i, a]))
        else:
            one.append(w * r)
    n = len(one)
    value = sum(one) / (sum(weights) if method == "self_normalised" else n)
    if method == "self_normalised":
        mean = sum(weights) / n
        one = [(w * r - w * value) / mean for w, r in zip(weights, log.reward, strict=True)]
    middle = sum(one) / n
    return value, (sum((v - middle) ** 2 for v in one) / (n - 1) / n) ** 0.5


@pytest.mark.parametrize("method", METHODS)
def test_the_value_is_that_of_an_independent_computation_on_the_same_folds(method: str) -> None:
    log = log_of(600, effect=0.5)
    folds = folds_of(len(log), 3, 0)
    expected = reward_model.cross_fitted(log, folds, LinearRegression)
    mine = np.empty_like(expected)
    x = log.features.to_numpy()
    for fold in range(3):
        for a in range(3):
            rows = (folds != fold) & (log.action == a)
            design = np.column_stack([np.ones(rows.sum()), x[rows]])
            slope = np.linalg.lstsq(design, log.reward[rows], rcond=None)[0]
            held = folds == fold
            mine[held, a] = slope[0] + x[held] @ slope[1:]
    np.testing.assert_allclose(expected, mine, atol=1e-9)
    policy = policy_of(log)
    found = policy_value(log, policy, method, expected)  # type: ignore[arg-type]
    value, error = independent(log, policy, mine, method)
    assert found.value == pytest.approx(value, abs=1e-9)
    assert found.standard_error == pytest.approx(error, abs=1e-9)
    assert found.high - found.value == pytest.approx(1.959963984540054 * error, abs=1e-9)
    weights = log.weights(policy)
    assert found.effective_sample_size == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


# What two other packages say of the log below, cross-fitted on the same folds by the same
# regression: the estimators of obp 0.4.1, and the effects of econml 0.17.0's DRLearner (constant
# final model).
OF_OBP = {
    "inverse_propensity": 0.029559759106636545,
    "self_normalised": 0.028746050930616433,
    "doubly_robust": 0.012372967188939868,
}
OF_ECONML = [0.31388104820544144, 0.1602304848054662]


def test_the_values_are_those_of_obp_and_the_effects_those_of_econml() -> None:
    log = log_of(600, effect=0.5)
    expected = reward_model.cross_fitted(log, folds_of(len(log), 3, 0), LinearRegression)
    policy = policy_of(log)
    for method in METHODS:
        found = policy_value(log, policy, method, expected).value
        assert found == pytest.approx(OF_OBP[method], abs=1e-9)
    scores = doubly_robust_scores(log, expected)
    effects = (scores - scores[:, :1]).mean(axis=0)[1:]
    np.testing.assert_allclose(effects, OF_ECONML, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover_the_true_value_in_95_percent(method: str) -> None:
    # Always "bag" is worth 0.2, since every other part of the reward has the mean 0.
    covered = 0
    for seed in range(400):
        log = log_of(400, seed)
        expected = np.column_stack([log.features["0"]] * 3) * 0.5  # wrong, but known beforehand
        found = policy_value(log, log.always(1), method, expected)  # type: ignore[arg-type]
        covered += found.low <= 0.2 <= found.high
    assert 0.915 <= covered / 400 <= 0.985


@settings(max_examples=40)
@given(st.integers(5, 60), st.integers(0, 10_000))
def test_the_logged_policy_is_worth_the_mean_reward(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(3), rows)
    action = rng.integers(0, 3, rows)
    log = Log.of(
        rng.normal(size=(rows, 2)),
        np.array(ACTIONS)[action],
        chances[np.arange(rows), action].clip(1e-3),
        rng.normal(size=rows),
        ACTIONS,
    )
    logged = np.eye(3)[action] * log.propensity[:, None]
    logged += (1 - log.propensity[:, None]) * np.eye(3)[(action + 1) % 3]
    for method in ("inverse_propensity", "self_normalised"):
        assert policy_value(log, logged, method).value == pytest.approx(log.reward.mean())


def test_the_scores_of_a_perfect_model_are_its_expectations() -> None:
    log = log_of(50)
    expected = np.tile(log.reward[:, None], (1, 3))
    np.testing.assert_allclose(doubly_robust_scores(log, expected), expected, atol=1e-12)


def test_what_was_not_possible_is_neither_done_nor_learnt_from() -> None:
    log = log_of(400, effect=0.5)
    possible = np.ones((400, 3), dtype=bool)
    possible[::4, 1] = log.action[::4] == 1
    taken = np.array(ACTIONS)[log.action]
    some = Log.of(log.features, taken, log.propensity, log.reward, ACTIONS, possible)
    assert (some.always(1) == possible[:, 1]).all()
    assert (some.best(np.tile([0.0, 2.0, 1.0], (400, 1))) == np.where(possible[:, 1], 1, 2)).all()
    assert (some.rows(np.arange(0, 400, 4)).possible == possible[::4]).all()
    with pytest.raises(LogError, match="first action must be possible"):
        Log.of(log.features, taken, 0.5, log.reward, ACTIONS, np.eye(3, dtype=bool)[log.action])
    with pytest.raises(LogError, match="was not possible"):
        Log.of(
            log.features, taken, 0.5, log.reward, ACTIONS, np.arange(1200).reshape(-1, 3) % 3 < 1
        )
    with pytest.raises(LogError, match="boolean for each of 400 rows and 3 actions"):
        Log.of(log.features, taken, 0.5, log.reward, ACTIONS, np.ones((400, 2), dtype=bool))


def test_simultaneous_intervals_hold_together() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(6, 6)) + 1
    together = single = 0
    for _ in range(400):
        table = pd.DataFrame(rng.normal(size=(150, 6)) @ mixing)
        found = simultaneous_intervals(table)
        together += int(((found["low"] <= 0) & (found["high"] >= 0)).all())
        reach = 1.96 * found["standard_error"]
        single += int((found["value"].abs() <= reach).all())
    assert 0.92 <= together / 400 <= 0.98
    assert single < together


def test_a_column_without_spread_has_no_width() -> None:
    found = simultaneous_intervals(pd.DataFrame({"same": [0.0] * 9, "varies": range(9)}))
    assert found.loc["same", ["low", "high"]].tolist() == [0.0, 0.0]
    assert found.loc["varies", "low"] < 4 < found.loc["varies", "high"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"propensity": [0.5, 0.0]}, "propensity"),
        ({"reward": [1.0, np.nan]}, "missing"),
        ({"action": ["a", "c"]}, "unknown actions"),
        ({"reward": [1.0]}, "one value for each"),
        ({"actions": ("a",)}, "two or more"),
        ({"action": ["a", None]}, "1 actions are missing"),
        ({"action": [1.0, np.nan], "actions": (1.0, 2.0)}, "1 actions are missing"),
        ({"reward": ["yes", "no"]}, "reward must be numbers"),
        ({"propensity": ["50%", "50%"]}, "propensity must be numbers"),
        ({"features": np.full((2, 1), np.nan)}, "no feature has a value"),
        ({"customers": ["me"]}, "one value for each"),
    ],
)
def test_a_log_that_is_none_is_refused(change: dict[str, object], said: str) -> None:
    columns: dict[str, object] = {
        "features": np.zeros((2, 1)),
        "action": ["a", "b"],
        "propensity": 0.5,
        "reward": [0.0, 1.0],
        "actions": ("a", "b"),
    }
    with pytest.raises(LogError, match=said):
        Log.of(**(columns | change))  # type: ignore[arg-type]


def test_actions_may_be_numbers_as_a_file_has_them() -> None:
    numbered = Log.of(np.zeros((3, 1)), [0, 2, 1], 1 / 3, [1.0, 2.0, 3.0], (0, 1, 2))
    assert numbered.actions == ("0", "1", "2")
    assert numbered.action.tolist() == [0, 2, 1]
    unnamed = Log.of(np.zeros((3, 1)), [0, 2, 1], 1 / 3, [1.0, 2.0, 3.0])
    assert all(type(name) is str for name in unnamed.actions)


def test_what_a_method_lacks_is_said() -> None:
    log = log_of(20)
    with pytest.raises(LogError, match="expected"):
        policy_value(log, log.always(0))
    with pytest.raises(LogError, match="does not fit"):
        contributions(log, np.zeros((3, 3)), "inverse_propensity")
    with pytest.raises(LogError, match="add up to 1"):
        policy_value(log, np.zeros((20, 3)), "inverse_propensity")

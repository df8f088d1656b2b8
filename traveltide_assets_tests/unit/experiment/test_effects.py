"""Differences between two groups: right on average, as narrow as they may be, and honest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from traveltide_assets.experiment.effects import effect

RNG = np.random.default_rng(5)
COUNT = 1_000


def halves(seed: int, share: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).random(COUNT) < share


def test_without_adjustment_it_is_welchs_test() -> None:
    treated, values = halves(1, 0.3), RNG.exponential(2.0, COUNT)
    found = effect(values, treated)
    known = ttest_ind(values[treated], values[~treated], equal_var=False)
    low, high = known.confidence_interval(0.95)
    assert found.p_value == pytest.approx(known.pvalue)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.relative == pytest.approx(values[treated].mean() / values[~treated].mean() - 1)
    assert found.relative_low < found.relative < found.relative_high


def test_adjusted_intervals_are_narrower_and_cover_the_truth_as_often() -> None:
    covered = {True: 0, False: 0}
    widths = {True: 0.0, False: 0.0}
    repeats = 300
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        strata = rng.choice(["a", "b", "c"], COUNT)
        before = rng.poisson(3, (COUNT, 2))
        noise = rng.normal(size=COUNT)
        treated = halves(seed + 10_000, 0.3)
        own = before[:, 0] + 2.0 * (strata == "b") + noise
        # The effect differs by what customers did before: 0.5 on average.
        values = own + treated * (0.5 + 0.4 * (before[:, 1] - 3))
        for adjusted in (True, False):
            found = effect(values, treated, before, strata) if adjusted else effect(values, treated)
            covered[adjusted] += found.low <= 0.5 <= found.high
            widths[adjusted] += found.high - found.low
    assert widths[True] < 0.7 * widths[False]
    assert 0.91 <= covered[True] / repeats <= 0.985


def test_post_stratification_is_the_weighted_mean_of_the_strata() -> None:
    strata = np.repeat(["a", "b"], [700, 300])
    treated = halves(3, 0.4)
    values = RNG.normal(size=COUNT) + 5 * (strata == "b")
    by_hand = sum(
        (strata == name).mean()
        * (values[treated & (strata == name)].mean() - values[~treated & (strata == name)].mean())
        for name in ("a", "b")
    )
    assert effect(values, treated, strata=strata).difference == pytest.approx(by_hand)


def test_a_ratio_of_sums_is_covered_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        treated = halves(seed + 5_000)
        bookings = rng.poisson(1.2, COUNT)
        revenue = bookings * rng.gamma(2.0, 50 * (1 + 0.2 * treated), COUNT)
        found = effect(revenue, treated, per=bookings)
        assert found.one == pytest.approx(revenue[treated].sum() / bookings[treated].sum())
        covered += found.low <= 20 <= found.high
    assert 0.91 <= covered / 300 <= 0.985


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_nobody_differs_nothing_is_known(value: float) -> None:
    found = effect(np.full(COUNT, value), halves(1))
    assert np.isnan([found.error, found.p_value, found.relative]).all()
    nobody = effect(np.full(COUNT, value), halves(1), per=np.zeros(COUNT))
    assert np.isnan(nobody.difference)


def test_a_relative_difference_needs_a_mean_that_is_clearly_above_zero() -> None:
    values = np.zeros(COUNT)
    values[:2] = 1
    found = effect(values, halves(1))
    assert np.isnan(found.relative)
    assert np.isfinite(found.difference)


def test_weights_give_the_difference_of_weighted_means_and_equal_ones_change_nothing() -> None:
    rng = np.random.default_rng(8)
    treated, before = halves(9, 0.4), rng.normal(size=(COUNT, 1))
    values = 1.5 * before[:, 0] + rng.normal(size=COUNT)
    plain, same = (effect(values, treated, before, weights=w) for w in (None, np.full(COUNT, 7.0)))
    assert same.difference == pytest.approx(plain.difference)
    assert same.error == pytest.approx(plain.error, rel=0.01)
    weights = rng.choice([1.0, 3.0], COUNT)
    means = [np.average(values[g], weights=weights[g]) for g in (treated, ~treated)]
    found = effect(values, treated, weights=weights)
    assert found.difference == pytest.approx(means[0] - means[1])


def test_weights_make_up_for_unequal_chances_with_and_without_adjustment() -> None:
    """Whoever has much is rarely treated; the effect is 1 for everybody."""
    covered = {True: 0, False: 0}
    repeats = 200
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        has = rng.random(COUNT) < 0.5
        chance = np.where(has, 0.25, 0.5)
        treated = rng.random(COUNT) < chance
        before = (2.0 * has + rng.normal(size=COUNT))[:, None]
        values = before[:, 0] + treated + rng.normal(size=COUNT)
        weights = 1 / np.where(treated, chance, 1 - chance)
        for adjusted in (True, False):
            known = before if adjusted else None
            found = effect(values, treated, known, weights=weights)
            covered[adjusted] += found.low <= 1.0 <= found.high
    assert min(covered.values()) / repeats >= 0.9

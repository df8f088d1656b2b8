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

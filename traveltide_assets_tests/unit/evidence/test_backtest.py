"""The trial of perks on what customers did after a cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import NO_OUTCOME, Perk, load_perks, of_program
from traveltide_assets.evidence.backtest import (
    NOT_SUPPORTED,
    NOT_TRIED,
    SUPPORTED,
    TOO_LITTLE,
    BackTest,
    judge,
    perk_signals,
)
from traveltide_assets.evidence.config import Config as Evidence
from traveltide_assets.segmentation.propensity import (
    PropensityStrategy,
    TooLittleHistory,
)
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings

PERKS = load_perks(Settings().perks_file)
BAG = next(perk for perk in PERKS if perk.id == "free_checked_bag")
SEED = Settings().seed
CONFIG = Evidence(resamples=400, permutations=400, sample_rows=10_000)


def trial_of(
    sessions: np.ndarray, bags: np.ndarray, flights: np.ndarray, config: Evidence = CONFIG
) -> BackTest:
    """Customers with these sessions before the cut, and these bags on flights after it."""
    users = np.arange(len(sessions))
    earlier = pd.DataFrame({"user_id": users, "total_sessions": sessions})
    outcomes = pd.DataFrame(
        {"user_id": users, "bags_per_flight_amount": bags, "bags_per_flight_opportunities": flights}
    )
    return BackTest.prepare(earlier, outcomes, config, seed=1)


def verdict(perk: pd.Series, trial: BackTest) -> pd.Series:
    return judge({"any": perk}, trial, [BAG]).iloc[0]


def given_to(mask: np.ndarray) -> pd.Series:
    return pd.Series(np.where(mask, BAG.id, "something_else"), dtype=object)


def test_a_perk_given_to_those_who_later_check_more_bags_is_supported() -> None:
    rng = np.random.default_rng(0)
    packs = rng.random(2_000) < 0.3
    trial = trial_of(np.full(2_000, 5), rng.poisson(np.where(packs, 2.0, 1.0)), np.ones(2_000))
    row = verdict(given_to(packs), trial)
    assert row["verdict"] == SUPPORTED
    assert row["lift"] == pytest.approx(2, rel=0.15)
    assert 1 < row["lift_low"] < row["lift"] < row["lift_high"]


def test_a_perk_given_at_random_is_not_supported() -> None:
    rng = np.random.default_rng(1)
    trial = trial_of(np.full(2_000, 5), rng.poisson(1.0, 2_000), np.ones(2_000))
    assert verdict(given_to(rng.random(2_000) < 0.3), trial)["verdict"] == NOT_SUPPORTED


def test_a_perk_given_to_those_who_later_check_fewer_bags_is_not_supported() -> None:
    rng = np.random.default_rng(2)
    packs = rng.random(2_000) < 0.3
    trial = trial_of(np.full(2_000, 5), rng.poisson(np.where(packs, 0.5, 1.0)), np.ones(2_000))
    row = verdict(given_to(packs), trial)
    assert row["verdict"] == NOT_SUPPORTED
    assert row["lift"] < 1


def test_flying_more_often_is_not_taken_for_packing_more() -> None:
    rng = np.random.default_rng(3)
    flies = rng.random(3_000) < 0.5
    flights = rng.poisson(np.where(flies, 5.0, 1.0))
    trial = trial_of(np.full(3_000, 5), rng.poisson(0.6 * flights), flights)
    row = verdict(given_to(flies), trial)
    assert row["opportunities"] > 3 * row["opportunities_others"]
    assert row["verdict"] == NOT_SUPPORTED


def test_what_the_number_of_earlier_sessions_explains_does_not_count_for_a_perk() -> None:
    # Few sessions before the cut mean many after it, so here only their number says anything.
    rng = np.random.default_rng(4)
    sessions = rng.integers(1, 8, 4_000)
    bags = rng.poisson(np.where(sessions <= 2, 2.0, 0.5))
    trial = trial_of(sessions, bags, np.ones(4_000))
    picked = rng.random(4_000) < np.where(sessions <= 2, 0.9, 0.1)
    row = verdict(given_to(picked), trial)
    assert row["lift"] > 1.5
    assert row["lift_by_activity"] == pytest.approx(row["lift"], rel=0.1)
    assert row["verdict"] == NOT_SUPPORTED


def test_few_customers_or_opportunities_are_too_little_data() -> None:
    rng = np.random.default_rng(5)
    few = np.arange(2_000) < CONFIG.min_customers - 1
    everybody = trial_of(np.full(2_000, 5), rng.poisson(1.0, 2_000), np.ones(2_000))
    assert verdict(given_to(few), everybody)["verdict"] == TOO_LITTLE
    flights = np.where(np.arange(2_000) < 90, 1, 0)
    hardly = trial_of(np.full(2_000, 5), flights, flights)
    assert verdict(given_to(rng.random(2_000) < 0.5), hardly)["verdict"] == TOO_LITTLE


def test_a_perk_that_no_behaviour_speaks_to_is_not_tried_and_weakens_no_other() -> None:
    rng = np.random.default_rng(9)
    given = rng.random(2_000) < 0.5
    trial = trial_of(np.full(2_000, 5), rng.poisson(1.0 + given), np.ones(2_000))
    mute = Perk(**{**BAG.model_dump(), "id": "mute", "outcome": NO_OUTCOME})
    both = pd.Series(np.where(given, BAG.id, mute.id))
    judged = judge({"mine": both}, trial, (BAG, mute)).set_index("perk")
    assert judged.loc["mute", "verdict"] == NOT_TRIED
    assert judged.loc["mute", "customers"] == (~given).sum()
    figures = ["mean", "mean_others", "lift", "lift_low", "lift_high", "p_value", "p_holm"]
    assert judged.loc["mute", figures].isna().all()
    assert judged.loc[BAG.id, "verdict"] == SUPPORTED
    assert judged.loc[BAG.id, "p_holm"] == judged.loc[BAG.id, "p_value"]


def test_nobody_after_the_cut_is_too_little_data_and_no_error() -> None:
    nothing = trial_of(np.full(200, 5), np.zeros(200), np.zeros(200))
    row = verdict(given_to(np.arange(200) < 100), nothing)
    assert row["verdict"] == TOO_LITTLE
    assert np.isnan(row["lift"])


def test_the_shuffles_keep_the_number_of_earlier_sessions() -> None:
    sessions = np.random.default_rng(6).integers(1, 5, 300)
    trial = trial_of(sessions, np.ones(300), np.ones(300))
    for shuffled in trial.permutations[:20]:
        assert (sessions[shuffled] == sessions).all()
        assert (np.sort(shuffled) == np.arange(300)).all()


def test_the_trial_does_not_depend_on_the_order_of_the_customers() -> None:
    rng = np.random.default_rng(7)
    trial = trial_of(rng.integers(1, 5, 500), rng.poisson(1.0, 500), np.ones(500))
    order = rng.permutation(500)
    again = BackTest.prepare(trial.earlier.iloc[order], trial.outcomes.iloc[order], CONFIG, seed=1)
    perk = given_to(rng.random(500) < 0.4)
    pd.testing.assert_series_equal(verdict(perk, trial), verdict(perk, again))


def test_signals_name_the_perk_that_says_the_same() -> None:
    rng = np.random.default_rng(8)
    one, other, apart = of_program(PERKS, "classic")[:3]
    twins = (one, Perk(**{**one.model_dump(), "id": "twin"}), apart)
    frame = signal_frame(rng, (one, other, apart))
    signals = perk_signals(frame, twins).set_index("perk")
    assert signals.loc[one.id, "most_redundant_with"] == "twin"
    assert signals.loc[one.id, "rank_correlation"] == pytest.approx(1)
    assert 0 < signals.loc[one.id, "strong_share"] < 0.5


def signal_frame(rng: np.random.Generator, perks: tuple[Perk, ...]) -> pd.DataFrame:
    wanted = {name for perk in perks for name in perk.features}
    values = {n: rng.normal(size=400) if n in wanted else np.zeros(400) for n in NUMERIC}
    return pd.DataFrame({"user_id": np.arange(400), **values})


def test_propensity_without_a_past_says_what_is_missing() -> None:
    with pytest.raises(TooLittleHistory, match="as of a cut"):
        PropensityStrategy(PERKS, SEED).fit(History(pd.DataFrame({"user_id": [1]})))

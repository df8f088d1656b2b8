"""The trial of perks on what customers did after a cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import Perk, load_perks, of_program
from traveltide_assets.evidence.backtest import (
    NOT_SUPPORTED,
    SUPPORTED,
    TOO_LITTLE,
    BackTest,
    assign_from_past,
    judge,
    perk_signals,
)
from traveltide_assets.evidence.config import Config as Evidence
from traveltide_assets.schema.months import end_of
from traveltide_assets.segmentation.propensity import (
    NEAREST,
    NO_PREFERENCE,
    PropensityStrategy,
    TooLittleHistory,
)
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.project import Project

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


def test_a_strategy_that_learns_is_judged_on_customers_it_has_not_seen(
    sample_project: Project,
) -> None:
    earlier = sample_project.frame("gold/earlier_features", LAST)
    outcomes = sample_project.frame("gold/perk_outcomes", LAST)
    trial = BackTest.prepare(earlier, outcomes, CONFIG, seed=1)
    seen: list[set[int]] = []

    class Spy(PropensityStrategy):
        def fit(self, history: History) -> Asked:  # type: ignore[override]
            return Asked(set(history.features["user_id"]))

    class Asked:
        def __init__(self, fitted_on: set[int]) -> None:
            self.fitted_on = fitted_on

        def assign(self, features: pd.DataFrame) -> pd.DataFrame:
            seen.append(self.fitted_on & set(features["user_id"]))
            return pd.DataFrame({"perk": BAG.id}, index=features.index)

    perk = assign_from_past(Spy((BAG,), SEED), trial)
    assert len(seen) == CONFIG.folds
    assert seen == [set()] * CONFIG.folds
    assert (perk == BAG.id).all()


def test_every_strategy_and_perk_given_has_one_verdict(sample_project: Project) -> None:
    judged = sample_project.frame("gold/perk_evidence", LAST)
    assert set(judged["verdict"]) <= {SUPPORTED, NOT_SUPPORTED, TOO_LITTLE}
    assert not judged.duplicated(["strategy", "perk"]).any()
    # Without planted perks a strategy that learns may find nothing it can trust, and judge nobody.
    strategies = build_strategies(sample_project.settings, PERKS)
    always = {name for name, strategy in strategies.items() if not strategy.learns_from_outcomes}
    assert always <= set(judged["strategy"]) <= set(strategies)


def test_the_past_and_what_followed_do_not_overlap(sample_project: Project) -> None:
    earlier = sample_project.frame("gold/earlier_features", LAST).set_index("user_id")
    later = sample_project.frame("gold/perk_outcomes", LAST).set_index("user_id")
    whole = sample_project.frame("gold/user_features", LAST).set_index("user_id")
    browsing = earlier["total_sessions"] - earlier["cancellation_sessions"]
    browsing += later["browsing_without_booking_opportunities"].reindex(browsing.index)
    expected = whole["total_sessions"] - whole["cancellation_sessions"]
    assert (browsing == expected.reindex(browsing.index)).all()
    trips = earlier["total_trips"] + later["cancelled_share_opportunities"].reindex(earlier.index)
    assert (trips == whole["total_trips"].reindex(earlier.index)).all()


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


def test_propensity_trusts_a_behaviour_that_can_be_foreseen_and_no_other(
    sample_project: Project,
) -> None:
    earlier = sample_project.frame("gold/earlier_features", LAST)
    outcomes = sample_project.frame("gold/perk_outcomes", LAST)
    rng = np.random.default_rng(9)
    packs = earlier[["user_id"]].merge(outcomes, on="user_id", how="left")
    children = earlier["has_children"].to_numpy()
    packs["bags_per_flight_opportunities"] = 1
    packs["bags_per_flight_amount"] = rng.poisson(np.where(children, 3.0, 0.5)).astype(float)
    packs["nights_per_stay_opportunities"] = 1
    packs["nights_per_stay_amount"] = rng.poisson(3.0, len(packs)).astype(float)
    meal = next(perk for perk in PERKS if perk.id == "free_hotel_meal")
    fitted = PropensityStrategy((BAG, meal), SEED).fit(History(earlier, earlier, packs))
    assert fitted.experts[BAG.id].trust > 0.8
    lifts = fitted.lifts(earlier)
    assert lifts[BAG.id].std() > 0.4
    assert lifts[meal.id].std() < 0.1
    assigned = fitted.assign(earlier)
    assert (assigned.loc[children, "perk"] == BAG.id).all()
    assert (assigned.loc[~children, "perk"] == meal.id).mean() > 0.9


def test_propensity_says_of_whom_nothing_above_the_average_is_expected(
    sample_project: Project,
) -> None:
    earlier = sample_project.frame("gold/earlier_features", LAST)
    children = earlier["has_children"].to_numpy()
    packs = earlier[["user_id"]].assign(bags_per_flight_opportunities=1)
    packs["bags_per_flight_amount"] = np.where(children, 3.0, 0.0)
    assigned = (
        PropensityStrategy((BAG,), SEED).fit(History(earlier, earlier, packs)).assign(earlier)
    )
    assert (assigned["perk"] == BAG.id).all()
    assert set(assigned["segment"][children]) == {"Likely: Free checked bag"}
    assert set(assigned["segment"][~children]) == {NO_PREFERENCE}
    assert set(assigned["reason"][~children]) == {NEAREST}
    assert (assigned["score"][~children] < 1).all()


def test_propensity_learns_where_a_feature_is_undefined_for_everybody(
    sample_project: Project,
) -> None:
    earlier = sample_project.frame("gold/earlier_features", LAST).assign(mean_distance_km=np.nan)
    rng = np.random.default_rng(10)
    packs = earlier[["user_id"]].assign(bags_per_flight_opportunities=1)
    packs["bags_per_flight_amount"] = rng.poisson(np.where(earlier["has_children"], 3.0, 0.5))
    fitted = PropensityStrategy((BAG,), SEED).fit(History(earlier, earlier, packs))
    assert fitted.experts[BAG.id].trust > 0.8


def test_perks_are_tried_on_customers_who_belong_to_the_cohort_whatever_they_cancelled_later(
    sample_project: Project,
) -> None:
    sessions = sample_project.frame("gold/sessions_final", LAST)
    later = sessions["session_start"] >= end_of("2023-04")
    counted = sessions[~(sessions["cancellation"] & later)].groupby("user_id").size()
    fewest = sample_project.settings.cohort.min_sessions
    enough = set(counted.index[counted >= fewest])
    tried = set(sample_project.frame("gold/perk_outcomes", LAST)["user_id"])
    assert tried == enough
    assert tried < set(sample_project.frame("gold/users_final", LAST)["user_id"])
    assert set(sample_project.frame("gold/earlier_features", LAST)["user_id"]) <= tried


def test_on_the_real_cohort_clusters_and_discounts_are_not_supported(
    real_project: Project,
) -> None:
    judged = real_project.frame("gold/perk_evidence", LAST).set_index(["strategy", "perk"])
    supported = judged[judged["verdict"] == SUPPORTED].index
    assert ("personas", "exclusive_planning_tools") in supported
    assert not any(perk == "no_cancellation_fees" for _, perk in supported)
    assert not any(strategy.startswith("kmeans") for strategy, _ in supported)
    assert not any("discount" in perk for _, perk in supported)

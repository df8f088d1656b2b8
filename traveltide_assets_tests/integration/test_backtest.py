"""The trial of perks on what customers did after a cut."""

from __future__ import annotations

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.evidence.config import Config as Evidence
from traveltide_assets.evidence.tables import NOT_TRIED, SUPPORTED, VERDICTS
from traveltide_assets.evidence.trial import BackTest, Past, assign_from_past
from traveltide_assets.schema.months import end_of
from traveltide_assets.segmentation.propensity import (
    NEAREST,
    NO_PREFERENCE,
    PropensityStrategy,
)
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

PERKS = load_perks(Settings().perks_file)
BAG = next(perk for perk in PERKS if perk.id == "free_checked_bag")
SEED = Settings().seed
CONFIG = Evidence(resamples=400, permutations=400, sample_rows=10_000)


def test_a_strategy_that_learns_is_judged_on_customers_it_has_not_seen(
    sample_project: Project,
) -> None:
    earlier = sample_project.frame("gold/earlier_features", LAST)
    outcomes = sample_project.frame("gold/perk_outcomes", LAST)
    trial = BackTest.prepare([Past("2023-04", earlier, outcomes)], CONFIG, seed=1)
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

    (perk,) = assign_from_past(Spy((BAG,), SEED), trial)
    assert len(seen) == CONFIG.folds
    assert seen == [set()] * CONFIG.folds
    assert (perk == BAG.id).all()


def test_every_strategy_and_perk_given_has_one_verdict(sample_project: Project) -> None:
    judged = sample_project.frame("gold/perk_evidence", LAST)
    assert set(judged["verdict"]) <= set(VERDICTS)
    assert not judged.duplicated(["strategy", "perk"]).any()
    # Without planted perks a strategy that learns may find nothing it can trust, and try nothing.
    strategies = build_strategies(sample_project.settings, PERKS)
    for name, strategy in strategies.items():
        program = {perk.id for perk in PERKS if strategy.program in perk.programs}
        assert set(judged.loc[judged["strategy"] == name, "perk"]) == program
        if not strategy.learns_from_outcomes:
            assert (judged.loc[judged["strategy"] == name, "verdict"] != NOT_TRIED).any()


def test_the_past_and_what_followed_do_not_overlap(sample_project: Project) -> None:
    earlier = sample_project.frame("gold/earlier_features", LAST).set_index("user_id")
    later = sample_project.frame("gold/perk_outcomes", LAST).set_index("user_id")
    whole = sample_project.frame("gold/user_features", LAST).set_index("user_id")
    browsing = earlier["total_sessions"] - earlier["cancellation_sessions"]
    browsing += later["browsing_without_booking_opportunities"].reindex(browsing.index)
    expected = whole["total_sessions"] - whole["cancellation_sessions"]
    assert (browsing == expected.reindex(browsing.index)).all()
    # Trips booked later alone: those open at the cut could still be cancelled, too.
    trips = earlier["total_trips"] + later["discounted_share_opportunities"].reindex(earlier.index)
    assert (trips == whole["total_trips"].reindex(earlier.index)).all()


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
    assert ("five_personas", "exclusive_planning_tools") in supported
    # Age and family last: the young and the old stay longer, and the others book packages.
    assert ("traits", "free_hotel_meal") in supported
    assert ("traits", "free_hotel_night_with_flight") in supported
    assert not any(perk == "no_cancellation_fees" for _, perk in supported)
    assert not any(strategy.startswith("kmeans") for strategy, _ in supported)
    assert not any("discount" in perk for _, perk in supported)

"""The perk catalogue, affinities and the assignment of perks to segments."""

from __future__ import annotations

import pandas as pd
import pytest

from traveltide_assets.campaign import steady
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.segmentation import affinities as perks
from traveltide_assets.segmentation.affinities import (
    LEFT_OVER,
    assignments,
    profiles,
)
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

PERKS = load_perks(Settings().perks_file)
CLASSIC = {
    "free_hotel_meal",
    "free_checked_bag",
    "no_cancellation_fees",
    "exclusive_discounts",
    "free_hotel_night_with_flight",
}


def test_profiles_are_the_same_however_many_features_are_taken_at_a_time(
    sample_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = sample_project.frame("gold/user_features", LAST)
    groups = features["user_id"] % 5
    together = profiles(features, groups)
    for values in (1, 7 * len(features)):
        monkeypatch.setattr(perks, "_BLOCK_VALUES", values)
        pd.testing.assert_frame_equal(profiles(features, groups), together, check_exact=True)


def test_each_customer_has_one_perk_of_the_catalogue_and_another_as_runner_up(
    sample_project: Project,
) -> None:
    assigned = sample_project.frame("gold/perk_assignments", "2023-07")
    cohort = sample_project.frame("gold/users_final", "2023-07")
    assert list(assigned["user_id"]) == list(cohort["user_id"])
    assert set(assigned["perk"]) <= CLASSIC
    assert (assigned["runner_up"] != assigned["perk"]).all()
    own = assigned[~assigned["steadiness"].str.startswith(steady.KEPT.partition("{")[0])]
    assert own.groupby("segment")["perk"].nunique().eq(1).all()
    assert set(assigned["as_of_month"]) == {"2023-07"}


def test_the_reason_names_the_perks_own_features_with_the_segments_deviation(
    sample_project: Project,
) -> None:
    features = sample_project.frame("gold/user_features", "2023-07")
    customers = sample_project.frame("gold/segments/kmeans", "2023-07")
    assigned = assignments(features, customers, PERKS)
    weights = {perk.id: perk.features for perk in PERKS}
    profile = profiles(features, assigned["segment"])
    each = assigned[["segment", "perk", "deciding_features"]].drop_duplicates()
    assert len(each) == 4
    for segment, perk, reason in each.itertuples(index=False):
        of_perk = weights[perk]
        parts = [] if reason == LEFT_OVER else [part.split(" (") for part in reason.split(", ")]
        assert len(parts) <= 3
        assert parts or all(of_perk[name] * profile.loc[segment, name] < 0.01 for name in of_perk)
        for name, deviation in parts:
            assert of_perk[name] * profile.loc[segment, name] > 0, "what is named speaks for it"
            assert deviation == f"{profile.loc[segment, name]:+.2f} SD)"


def test_the_order_of_the_customers_changes_nothing_but_the_order(
    sample_project: Project,
) -> None:
    features = sample_project.frame("gold/user_features", "2023-07")
    customers = sample_project.frame("gold/segments/kmeans", "2023-07")
    expected = assignments(features, customers, PERKS).set_index("user_id")
    shuffled = assignments(
        features.sample(frac=1, random_state=1), customers.sample(frac=1, random_state=2), PERKS
    ).set_index("user_id")
    pd.testing.assert_frame_equal(shuffled.loc[expected.index], expected)

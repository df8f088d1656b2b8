"""The published k-means: a preset whose clusters are told by their profile."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import PerksMissing, load_perks
from traveltide_assets.segmentation.kmeans import ClusteringError
from traveltide_assets.segmentation.published_kmeans import PRESET, SEED, build
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.customers import customers

PERKS = load_perks(FOLDER / "perks.toml")
STRATEGY = build("published_kmeans", Settings(), PERKS)


def four_groups() -> pd.DataFrame:
    """Forty customers: who cancels, who sees discounts, who packs and pays, and the rest."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(0.0, index=range(40), columns=sorted({*STRATEGY.inputs, *NUMERIC}))
    group = np.repeat(range(4), 10)
    frame.loc[group == 0, ["session_cancellation_rate", "cancellation_rate"]] = 0.5
    frame.loc[group == 0, "discounted_row_share_with_cancellations"] = 0.9
    frame.loc[group == 1, "discounted_row_share_with_cancellations"] = 0.8
    frame.loc[group == 2, ["total_checked_bags_booked", "total_base_fare_booked"]] = 5.0
    noisy = ["discounted_row_share_with_cancellations", "total_base_fare_booked"]
    frame[noisy] += rng.normal(scale=0.01, size=(40, 2))
    return frame.assign(user_id=range(40))


def test_the_profile_of_a_cluster_decides_its_name_and_its_perk() -> None:
    features = four_groups()
    assigned = STRATEGY.fit(History(features)).assign(features)
    assert assigned["segment"].tolist()[::10] == [
        "Risk-Averse Planners",
        "Discount Seekers",
        "Premium Vacationers",
        "Light Packers",
    ]
    assert assigned["perk"].tolist()[::10] == [
        "no_cancellation_fees",
        "free_checked_bag",
        "exclusive_discounts",
        "free_hotel_night_with_flight",
    ]
    assert assigned.groupby(np.repeat(range(4), 10))["segment"].nunique().eq(1).all()


@given(features=customers(smallest=12))
@settings(max_examples=15)
def test_any_customer_is_in_one_of_four_clusters(features: pd.DataFrame) -> None:
    assume(len(features[list(PRESET.features)].drop_duplicates()) >= 8)
    assigned = STRATEGY.fit(History(features)).assign(features)
    assert tuple(assigned.columns) == ASSIGNMENT
    assert assigned["user_id"].tolist() == features["user_id"].tolist()
    assert assigned["segment"].nunique() <= 4
    assert assigned[["segment", "perk"]].drop_duplicates()["segment"].is_unique


def test_fewer_than_four_different_customers_cannot_be_clustered() -> None:
    with pytest.raises(ClusteringError, match="3 different customers"):
        STRATEGY.fit(History(four_groups().head(3)))


def test_it_has_the_seed_of_the_work_and_can_be_given_another() -> None:
    assert STRATEGY.seed == SEED == 42
    assert STRATEGY.reseeded(1).seed == 1


def test_a_catalogue_without_its_perks_leaves_it_out() -> None:
    some = tuple(perk for perk in PERKS if perk.id != "free_checked_bag")
    with pytest.raises(PerksMissing, match="free_checked_bag"):
        build("published_kmeans", Settings(), some)

"""The seven segments: rules first, then clusters told by their trips."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import PerksMissing, load_perks
from traveltide_assets.segmentation.kmeans import ClusteringError
from traveltide_assets.segmentation.seven_segments import FEATURES, PERKS, build
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.customers import customers

CATALOGUE = load_perks(FOLDER / "perks.toml")
STRATEGY = build("seven_segments", Settings(), CATALOGUE)


def clusterable(features: pd.DataFrame) -> bool:
    return len(features[list(FEATURES)].drop_duplicates()) >= 8


@given(features=customers(smallest=10))
@settings(max_examples=20)
def test_any_customer_is_in_one_segment_and_rules_come_first(features: pd.DataFrame) -> None:
    assume(clusterable(features))
    assigned = STRATEGY.fit(History(features)).assign(features).set_index(features.index)
    assert tuple(assigned.columns) == ASSIGNMENT
    assert assigned["user_id"].tolist() == features["user_id"].tolist()
    assert assigned["perk"].tolist() == [PERKS[name] for name in assigned["segment"]]
    assert assigned["score"].between(0, 1).all()
    family = features["has_children"] & (features["mean_rooms"] > 1)
    senior = ~family & (features["age"] >= 55)
    assert (assigned["segment"] == "Family").equals(family)
    assert (assigned["segment"] == "Senior").equals(senior)
    assert (assigned.loc[family | senior, "score"] == 1).all()


@given(features=customers(smallest=10))
@settings(max_examples=10)
def test_customers_who_were_not_fitted_on_may_have_unknown_words(features: pd.DataFrame) -> None:
    assume(clusterable(features))
    fitted = STRATEGY.fit(History(features))
    elsewhere = fitted.assign(features.assign(home_country="atlantis", gender="X"))
    assert elsewhere["segment"].isin(list(PERKS)).all()


def test_the_clusters_are_told_by_cancellations_and_trips() -> None:
    frame = pd.DataFrame(0.0, index=range(40), columns=list(FEATURES))
    group = np.repeat(range(4), 10)
    frame["total_trips"] = np.array([2.0, 9.0, 5.0, 1.0])[group]
    frame["cancelled_trips"] = np.array([2.0, 0.0, 0.0, 0.0])[group]
    frame["age"] = 20.0
    frame["mean_seats"] = np.random.default_rng(4).normal(1, 0.01, 40)
    frame = frame.assign(user_id=range(40), gender="F", home_country="usa", has_children=False)
    assigned = STRATEGY.fit(History(frame)).assign(frame)
    assert assigned["segment"].tolist()[::10] == [
        "Cautious Loyalists",
        "Elite",
        "Casual Deal Seekers",
        "Memory Makers",
    ]


def test_fewer_than_four_different_customers_cannot_be_clustered() -> None:
    alike = pd.DataFrame(1.0, index=range(9), columns=list(FEATURES))
    alike = alike.assign(user_id=range(9), gender="F", home_country="usa", has_children=False)
    with pytest.raises(ClusteringError, match="1 different customers"):
        STRATEGY.fit(History(alike))


def test_the_features_it_declares_are_its_inputs_gender_among_them() -> None:
    assert STRATEGY.inputs == set(FEATURES)
    assert "gender" in STRATEGY.inputs


def test_a_catalogue_without_its_perks_leaves_it_out() -> None:
    with pytest.raises(PerksMissing, match="all_perks"):
        build("seven_segments", Settings(), tuple(p for p in CATALOGUE if p.id != "all_perks"))

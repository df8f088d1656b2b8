"""The published rules on the real cohort: the published sizes, to the customer."""

from __future__ import annotations

import pandas as pd
import pytest

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.segmentation.rule_groups import FittedRules, load_rules
from traveltide_assets.segmentation.strategy import History
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

PERKS = load_perks(FOLDER / "perks.toml")


@pytest.fixture(scope="module")
def features(real_project: Project) -> pd.DataFrame:
    return real_project.frame("gold/user_features", LAST)


def fitted(name: str, features: pd.DataFrame) -> FittedRules:
    return load_rules(FOLDER / f"{name}.toml", PERKS).fit(History(features))


def test_the_six_groups_have_their_published_sizes(features: pd.DataFrame) -> None:
    assigned = fitted("six_groups", features).assign(features)
    assert assigned["segment"].value_counts().to_dict() == {
        "Family Market": 1_330,
        "Premium High Engaged Other": 1_180,
        "Mid-Ranged High Engaged Core": 1_100,
        "Mid-Ranged High Engaged Other": 897,
        "Price Sensitive Buyer": 869,
        "Premium High Engaged Core": 622,
    }


def test_spend_and_age_split_the_cohort_as_published(features: pd.DataFrame) -> None:
    known = fitted("six_groups", features).rules.known(features)
    assert known["middling spend"].sum() == 2_928
    assert known["premium spend"].sum() == 1_802
    assert known["low spend"].sum() == 1_268
    assert known["aged 35 to 49"].sum() == 2_951


def test_the_five_personas_have_the_sizes_of_sessions_from_4_january(
    features: pd.DataFrame,
) -> None:
    assigned = fitted("five_personas", features).assign(features)
    assert assigned["segment"].value_counts().to_dict() == {
        "Family Adventurers": 1_696,
        "Business Travelers": 1_655,
        "Exploring Empty-Nesters": 1_227,
        "Globetrotters": 864,
        "Dreamers": 556,
    }


def test_a_hundred_of_the_dreamers_cancelled_and_the_others_booked_nothing(
    features: pd.DataFrame,
) -> None:
    segment = fitted("five_personas", features).assign(features)["segment"]
    dreamers = features[(segment == "Dreamers").to_numpy()]
    assert not dreamers["kept_trips"].any()
    assert dreamers["discounted_flight_rate_with_cancellations"].value_counts().to_dict() == {
        1: 100
    }

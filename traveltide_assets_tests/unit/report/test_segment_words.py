"""Names of segments as a marketer says them."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.report.segment_words import called
from traveltide_assets.segmentation import naming, propensity, traits
from traveltide_assets.transforms.features.catalogue import CATALOGUE

NAMES = [feature.name for feature in CATALOGUE if feature.type != "string"]


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("Low discounts seen", "Customers who rarely see a discount"),
        ("High checked bags, low trips booked", "Customers who check many bags and book few trips"),
        ("High checked bags 2", "Customers who check many bags (2)"),
        ("Close to average", "Customers close to the average"),
        (propensity.NO_PREFERENCE, "Customers without a known preference"),
        (traits.NO_PREFERENCE, "Customers without a known preference"),
        ("Likely: Free checked bag", "Customers most likely to use: free checked bag"),
        ("25 to 64: without children", "Customers aged 25 to 64: without children"),
        ("Under 25 or 65 and over", "Customers under 25 or 65 and over"),
        ("Family Adventurers", "Family Adventurers"),
        ("High flyers", "High flyers"),
        ("", ""),
    ],
)
def test_a_name_of_features_becomes_what_customers_do(stored: str, said: str) -> None:
    assert called(stored) == said


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), st.booleans())
def test_every_name_that_clusters_are_given_is_said(features: list[str], more: bool) -> None:
    deviations = dict.fromkeys(features, 1.0 if more else -1.0)
    (name,) = naming.names(pd.DataFrame([deviations]))
    said = called(name)
    assert said.startswith("Customers who ")


@given(st.text(max_size=40))
def test_a_name_that_people_gave_stays(name: str) -> None:
    begins = ("high ", "low ", "likely: ", "under ", "with ", "without ")
    if not name.lower().startswith(begins) and not name[:1].isdigit():
        assert called(name) == name

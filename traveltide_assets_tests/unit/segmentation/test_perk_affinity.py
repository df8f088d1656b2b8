"""Perk affinity: ranks, memberships and the perk each customer ranks highest for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import load_perks, of_program
from traveltide_assets.segmentation.perk_affinity import AffinityStrategy
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets_tests.support.customers import customers

PERKS = load_perks(FOLDER / "perks.toml")
CLASSIC = [perk.id for perk in of_program(PERKS, "classic")]
MEMBERSHIPS = [f"membership_{perk}" for perk in CLASSIC]
STRATEGY = AffinityStrategy(of_program(PERKS, "classic"))


def unremarkable(size: int, **columns: object) -> pd.DataFrame:
    """Customers who are alike but for the columns given."""
    frame = pd.DataFrame({"user_id": range(1, size + 1)})
    for feature in CATALOGUE:
        frame[feature.name] = "usa" if feature.type == "string" else 1.0
    return frame.assign(**columns)


@given(features=customers())
@settings(max_examples=25)
def test_any_customer_gets_the_perk_of_the_highest_rank(features: pd.DataFrame) -> None:
    fitted = STRATEGY.fit(History(features))
    assigned, ranks = fitted.assign(features), fitted.ranks(features)
    assert list(assigned.columns) == [*ASSIGNMENT, *MEMBERSHIPS]
    assert assigned["user_id"].tolist() == features["user_id"].tolist()
    given_rank = ranks.to_numpy()[np.arange(len(ranks)), ranks.columns.get_indexer(assigned.perk)]
    np.testing.assert_allclose(given_rank, ranks.min(axis=1))


@given(features=customers())
@settings(max_examples=25)
def test_memberships_add_up_to_one_and_the_perk_given_has_most(features: pd.DataFrame) -> None:
    assigned = STRATEGY.fit(History(features)).assign(features)
    np.testing.assert_allclose(assigned[MEMBERSHIPS].sum(axis=1), 1)
    np.testing.assert_array_equal(assigned["score"], assigned[MEMBERSHIPS].max(axis=1))


@given(features=customers())
@settings(max_examples=25)
def test_the_ranks_of_the_cohort_are_those_of_its_places(features: pd.DataFrame) -> None:
    ranks = STRATEGY.fit(History(features)).ranks(features)
    np.testing.assert_allclose(ranks, ranks.rank())
    np.testing.assert_allclose(ranks.sum(), len(features) * (len(features) + 1) / 2)


@given(features=customers())
@settings(max_examples=20)
def test_the_order_of_the_customers_does_not_matter(features: pd.DataFrame) -> None:
    straight, turned = (
        STRATEGY.fit(History(frame)).assign(frame).sort_values("user_id", ignore_index=True)
        for frame in (features, features.iloc[::-1])
    )
    pd.testing.assert_frame_equal(straight, turned)


@given(cohort=customers(), others=customers(largest=5))
@settings(max_examples=20)
def test_other_customers_than_the_cohort_are_placed_one_by_one(
    cohort: pd.DataFrame, others: pd.DataFrame
) -> None:
    fitted = STRATEGY.fit(History(cohort))
    together = fitted.assign(others)
    alone = [fitted.assign(others.iloc[[i]]) for i in range(len(others))]
    pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True))


def test_who_stands_out_in_what_a_perk_is_for_gets_it() -> None:
    features = unremarkable(4, mean_nights=[1, 1, 1, 9], cancellation_rate=[1, 0, 0, 0])
    features["total_checked_bags"] = [0, 5, 0, 0]
    assigned = STRATEGY.fit(History(features)).assign(features)
    assert assigned["perk"].tolist()[:2] == ["no_cancellation_fees", "free_checked_bag"]
    assert assigned["perk"].tolist()[3] == "free_hotel_meal"
    assert assigned["reason"].tolist()[3] == "nights per stay (percentile 88)"


def test_an_unknown_feature_speaks_neither_for_nor_against() -> None:
    features = unremarkable(3, mean_nights=[1, np.nan, 9])
    ranks = STRATEGY.fit(History(features)).ranks(features)
    assert ranks["free_hotel_meal"].tolist() == [3, 2, 1]


def test_customers_who_are_all_alike_share_the_middle_and_the_first_perk() -> None:
    features = unremarkable(3)
    fitted = STRATEGY.fit(History(features))
    assert fitted.ranks(features).eq(2).all(axis=None)
    assigned = fitted.assign(features)
    assert set(assigned["perk"]) == {CLASSIC[0]}
    assert assigned["score"].tolist() == pytest.approx([1 / len(CLASSIC)] * 3)
    assert set(assigned["reason"]) == {"nothing known speaks for it"}


def test_a_negative_weight_turns_a_feature_round() -> None:
    perks = tuple(
        perk.model_copy(update={"features": {"mean_nights": sign}})
        for perk, sign in zip(of_program(PERKS, "classic"), (1, -1), strict=False)
    )
    features = unremarkable(2, mean_nights=[1, 9])
    assigned = AffinityStrategy(perks).fit(History(features)).assign(features)
    assert assigned["perk"].tolist() == [perks[1].id, perks[0].id]
    assert assigned["reason"].tolist() == [
        "nights per stay (percentile 25)",
        "nights per stay (percentile 75)",
    ]

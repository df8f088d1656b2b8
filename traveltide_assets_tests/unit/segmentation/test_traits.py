"""The strategy of traits on customers whose preferences are known, because they were planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.segmentation import trait_words, traits
from traveltide_assets.segmentation.registry import ForbiddenFeature, build_strategies, left_out
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.segmentation.trait_behaviour import INPUTS, SO_FAR, Behaviour, observed
from traveltide_assets.segmentation.trait_levels import UNKNOWN, Levels, bands
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.outcomes import OUTCOMES
from traveltide_assets_tests.support.customers import customers

MEAL, BAG, NO_FEES = "free_hotel_meal", "free_checked_bag", "no_cancellation_fees"


def people(
    size: int = 3_000, seed: int = 1, nights: float = 1.0, bags: float = 1.0
) -> pd.DataFrame:
    """Customers of whom those under 25 stay `nights` times as long, and parents check `bags` times
    as many bags. Some have an open trip booked long ahead; half of such trips were cancelled."""
    rng = np.random.default_rng(seed)
    age, married, parent = (
        rng.integers(18, 60, size),
        rng.random(size) < 0.5,
        rng.random(size) < 0.4,
    )
    trips = rng.poisson(4, size)
    early = np.where(rng.random(size) < 0.1, 1, 0) * (trips > 0)
    cancelled_early = rng.binomial(early, 0.5)
    kept = trips - cancelled_early
    frame: dict[str, Any] = {name: np.zeros(size) for name in INPUTS}
    frame |= {
        "user_id": np.arange(size),
        "age": age.astype(float),
        "married": married,
        "has_children": parent,
        "open_trips_long_lead": early - cancelled_early,
        "total_sessions": np.full(size, 8),
        "total_trips": trips,
        "completed_trips": kept,
        "cancelled_trips": cancelled_early,
        "long_lead_trips": early,
        "cancelled_long_lead_trips": cancelled_early,
        "hotel_stays": kept,
        "total_flights": kept,
        "total_nights": rng.poisson(3 * kept * np.where(age < 25, nights, 1)),
        "total_checked_bags": rng.poisson(0.6 * kept * np.where(parent, bags, 1)),
        "total_spend": rng.uniform(1, 1_000, size).round(2),
        "package_rate": rng.binomial(kept, 0.7) / np.maximum(kept, 1),
        "discounted_booking_rate": rng.binomial(trips, 0.2) / np.maximum(trips, 1),
        "conversion_rate": trips / 8,
        "short_solo_trip_share": 0.0,
    }
    return pd.DataFrame(frame)


def told(**changes: Any) -> Settings:
    return Settings(**changes)


def strategy(**changes: Any) -> traits.TraitStrategy:
    chosen = told(**changes)
    return traits.build("traits", chosen, load_perks(chosen.perks_file))


def assigned(frame: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    return strategy(**changes).fit(History(frame)).assign(frame)


def test_every_outcome_can_be_learnt_from_what_was_done_so_far() -> None:
    assert set(SO_FAR) == {outcome.name for outcome in OUTCOMES}
    frame = people(200)
    for behaviour in SO_FAR.values():
        assert isinstance(behaviour, Behaviour)
        assert (behaviour.chances(frame) >= 0).all()
    cancelling = observed("cancelled_share", frame)
    assert cancelling.amount.sum() == frame["cancelled_trips"].sum()
    assert cancelling.chances.sum() == frame["total_trips"].sum()
    assert cancelling.chances[cancelling.long_lead].sum() == frame["long_lead_trips"].sum()


def test_planted_preferences_are_found_and_said_in_a_sentence() -> None:
    frame = people(nights=1.6, bags=1.5)
    found = assigned(frame)
    by_perk = found.groupby("perk")["segment"].agg(lambda names: set(names))
    assert by_perk[NO_FEES] == {"With an open trip booked long ahead"}
    assert by_perk[MEAL] == {"Under 25"}
    others = found[(frame["age"] >= 25) & (frame["open_trips_long_lead"] == 0)]
    assert set(others.loc[frame["has_children"], "perk"]) == {BAG}
    reason = found.loc[found["perk"] == MEAL, "reason"].iloc[0]
    assert reason.startswith("under 25: expected ")
    assert "nights per hotel stay" in reason
    assert (found.loc[found["perk"] == MEAL, "score"] > 1.2).all()


def test_what_mailed_customers_do_is_no_preference() -> None:
    frame = people()
    mailed = frame["user_id"][(frame["age"] < 25) & (frame.index % 3 != 0)]
    touched = frame["user_id"].isin(mailed)
    # The perk makes them stay longer, and nobody else of their age.
    nights = frame["total_nights"] * np.where(touched, 3, 1)
    changed = frame.assign(total_nights=nights)
    fooled = strategy().fit(History(changed))
    assert MEAL in fooled.signals
    found = strategy().fit(History(changed, mailed=mailed))
    assert MEAL not in found.signals
    assert list(found.assign(changed)["user_id"]) == list(changed["user_id"])


def test_customers_without_a_known_preference_are_told_apart_and_get_the_perk_of_the_settings() -> (
    None
):
    frame = people(nights=1.6)
    frame.loc[frame["age"] >= 25, "age"] = np.nan
    found = assigned(frame, traits={"default_perk": BAG, "features": ["age"]})
    nothing = found["segment"] == traits.NO_PREFERENCE
    assert set(found.loc[nothing, "perk"]) == {BAG}
    assert set(found.loc[nothing, "reason"]) == {
        "nothing known speaks for a perk; customers like them get this one"
    }


def test_among_customers_who_are_alike_hardly_any_perk_has_a_signal() -> None:
    alarms = 0
    for seed in range(20):
        frame = people(seed=seed)
        frame[["long_lead_trips", "cancelled_long_lead_trips", "cancelled_trips"]] = 0
        alarms += len(strategy().fit(History(frame)).signals)
    # Four perks with an outcome in 20 populations, each with a chance of 5 %.
    assert alarms <= 9


def test_one_perk_for_everybody_without_any_signal() -> None:
    frame = people(seed=3).assign(age=30.0, married=False, has_children=False)
    frame[["long_lead_trips", "cancelled_long_lead_trips", "open_trips_long_lead"]] = 0
    found = assigned(frame)
    assert set(found["segment"]) == {traits.NO_PREFERENCE}
    assert len(set(found["perk"])) == 1


def test_the_order_of_the_rows_changes_nothing() -> None:
    frame = people(nights=1.6, bags=1.5)
    one = assigned(frame).sort_values("user_id", ignore_index=True)
    shuffled = frame.sample(frac=1, random_state=5, ignore_index=True)
    other = assigned(shuffled)
    assert list(other["user_id"]) == list(shuffled["user_id"])
    same = other.sort_values("user_id", ignore_index=True)
    assert (one[["segment", "perk"]] == same[["segment", "perk"]]).all(axis=None)


@given(customers(smallest=5))
@settings(max_examples=25, deadline=None)
def test_anybody_gets_exactly_one_perk_of_the_program(frame: pd.DataFrame) -> None:
    made = strategy()
    found = made.fit(History(frame)).assign(frame)
    assert list(found["user_id"]) == list(frame["user_id"])
    assert set(found["perk"]) <= {perk.id for perk in made.perks}
    assert found[["segment", "reason", "score"]].notna().all(axis=None)
    assert len(found[["segment", "perk"]].drop_duplicates()) == len(set(found["segment"]))


def test_a_perk_with_a_signal_gets_its_least_share() -> None:
    frame = people(nights=1.6, bags=1.5)
    found = assigned(frame, traits={"min_share": 0.4, "features": ["age", "has_children"]})
    parents = frame["has_children"].mean()
    assert (found["perk"] == BAG).mean() >= min(0.4, parents) - 0.1


def test_bands_lie_where_behaviour_changes() -> None:
    frame = people(nights=1.8)
    age = frame["age"].to_numpy()
    assert bands(age, [observed("nights_per_stay", frame)]) == (25.0,)
    assert bands(np.full(10, np.nan), []) == ()


def test_unknown_and_new_levels_are_placed() -> None:
    levels = Levels("age", ("under 25", "25 and over"), edges=(25.0,))
    placed = levels.place(pd.DataFrame({"age": [24, 25, None]}))
    assert list(placed) == [0, 1, UNKNOWN]


def test_a_segment_is_said_with_what_its_parts_have_in_common_first() -> None:
    levels = (
        Levels("age", ("under 25", "25 and over"), edges=(25.0,)),
        Levels("married", ("not married", "married")),
        Levels("has_children", ("without children", "with children")),
    )
    groups = np.array([(a, m, c) for a in (0, 1) for m in (0, 1) for c in (0, 1)])
    labels = ["a"] * 4 + ["b", "b", "b", "c"]
    said = trait_words.sentences(groups, np.ones(8), labels, levels)
    assert said["a"] == "Under 25"
    assert said["c"] == "25 and over, married, with children"
    assert said["b"] in (
        "25 and over: not married or without children",
        "25 and over: without children or not married",
    )


def test_a_forbidden_feature_is_no_trait_and_no_other_strategy_uses_it() -> None:
    policy: dict[str, Any] = {"forbidden_features": ["age", "has_children"]}
    chosen = told(policy=policy)
    perks = load_perks(chosen.perks_file, chosen.policy.forbidden_features)
    for name, made in build_strategies(chosen, perks).items():
        assert not made.inputs & {"age", "has_children"}, name
    for why in left_out(chosen, perks).values():
        assert "policy.forbidden_features" in why
    frame = people(nights=1.6, bags=1.5).drop(columns=["age", "has_children"])
    assert len(assigned(frame, policy=policy)) == len(frame)


def test_a_deciding_strategy_that_needs_a_forbidden_feature_is_an_error() -> None:
    chosen = told(strategy="traits", policy={"forbidden_features": ["hotel_stays"]})
    with pytest.raises(ForbiddenFeature, match=r"Traits uses hotel_stays"):
        build_strategies(chosen, load_perks(chosen.perks_file))

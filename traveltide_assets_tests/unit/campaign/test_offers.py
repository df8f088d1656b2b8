"""Offers: who gets what with which probability, fair and sticky draws, money never overspent."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.campaign import net_value, offers, random_offers
from traveltide_assets.campaign.config import Config, Economics, Exploration
from traveltide_assets.campaign.net_value import EconomicsError
from traveltide_assets.campaign.offers import Rules
from traveltide_assets.campaign.random_offers import ExplorationError
from traveltide_assets.campaign.steady import HELD, SAME
from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.campaign.tables import BUDGET_CURVE
from traveltide_assets.campaign.tables import offers as contract
from traveltide_assets.catalogue.perks import NO_OFFER, Perk
from traveltide_assets.catalogue.rule_conditions import Condition
from traveltide_assets.defs.checks.offers import improbable, surprising
from traveltide_assets.experiment import assignment
from traveltide_assets.experiment.assignment import (
    CONTROL,
    CONTROL_OFFER,
    EXPLORATION,
    HOLDOUT,
    PERSONALISED,
)
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.experiment.learned_policy import LearnedPolicy
from traveltide_assets.experiment.policy_scorecard import NET_MARGIN
from traveltide_assets.segmentation.trait_behaviour import INPUTS

MONTH = "2023-06"
FEW = settings(max_examples=25)
NOBODY = Suppressed(frozenset(), None)
OPEN = Condition(feature="open_trips", comparison=">=", value=1)


def perk(name: str, outcome: str, **more: Any) -> Perk:
    texts = {"title": name, "audience": name, "headline": name}
    return Perk(id=name, outcome=outcome, features={"total_nights": 1.0}, **texts, **more)


BAG = perk("bag", "bags_per_flight")
MEAL = perk("meal", "nights_per_stay")
FREE = perk("free", "cancelled_share", eligible=(OPEN,))
PERKS = (BAG, MEAL, FREE)
IDS = [each.id for each in PERKS]


def rules(perks: tuple[Perk, ...] = PERKS, **changes: Any) -> Rules:
    given: dict[str, Any] = {
        "campaign": Config(holdout_share=0.1),
        "experiment": Experiment(),
        "exploration": Exploration(share=0.3),
        "economics": Economics(),
    }
    return Rules(MONTH, perks, "classic", **(given | changes))


def cohort(users: list[int], expects: bool = True) -> tuple[pd.DataFrame, ...]:
    """Assignments, decided segments and features of customers, each by their id alone."""
    ids = np.array(users, dtype="int64")
    frame = pd.DataFrame({"user_id": ids, "perk": np.array(IDS, dtype=object)[ids % 3]})
    affinities = {f"affinity_{name}": float(i) for i, name in enumerate(IDS)}
    assigned = frame.assign(
        segment="s", strategy="traits", model_version="m", steadiness=SAME, **affinities
    )
    lifts = {
        f"preference_{name}": 0.5 + (ids * (i + 2) % 17) / 10 if expects else np.nan
        for i, name in enumerate(IDS)
    }
    segments = frame.assign(strategy="traits", score=1.0, **lifts)
    features = pd.DataFrame(dict.fromkeys(sorted(INPUTS), 2.0), index=range(len(ids)))
    features["total_spend"] = 800.0
    return assigned, segments, features.assign(user_id=ids, open_trips=ids % 2)


def decided(
    users: list[int], rules: Rules, suppressed: Suppressed = NOBODY, expects: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    assigned, segments, features = cohort(users, expects)
    taking_part = ~random_offers.explores(assigned["user_id"], rules.exploration)
    arms = assignment.assign(assigned[taking_part], rules.experiment)
    return offers.decide(assigned, segments, features, suppressed, arms, rules)


USERS = st.lists(st.integers(1, 10**6), min_size=2, max_size=40, unique=True)
MANY = list(range(1, 4_001))


def test_without_exploration_and_money_everybody_gets_the_perk_decided() -> None:
    plain = rules(perks=(BAG, MEAL, perk("free", "none")), exploration=Exploration())
    found, curve = decided(MANY, plain)
    held = found["arm"] == HOLDOUT
    assert (found.loc[~held, "offer"] == found.loc[~held, "perk"]).all()
    assert (found.loc[held, "offer"] == NO_OFFER).all()
    assert (found["probability"] == 1).all()
    assert found["expected_cost_usd"].isna().all()
    assert curve.empty
    assert list(curve.columns) == list(BUDGET_CURVE.column_names)
    assert list(found.columns) == list(contract(IDS).column_names)


@FEW
@given(USERS, st.data())
def test_a_draw_is_that_of_the_customer_whoever_else_there_is_and_in_any_order(
    users: list[int], data: st.DataObject
) -> None:
    whole, _ = decided(users, rules())
    some = data.draw(st.permutations(users))[: len(users) // 2 + 1]
    part, _ = decided(some, rules())
    expected = whole[whole["user_id"].isin(some)].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected)


@FEW
@given(USERS, st.data())
def test_everybody_but_the_suppressed_has_one_offer_with_probabilities_of_all_it_could_be(
    users: list[int], data: st.DataObject
) -> None:
    blocked = frozenset(data.draw(st.sets(st.sampled_from(users))))
    found, _ = decided(users, rules(), Suppressed(blocked, None))
    assert sorted(found["user_id"]) == sorted({*users} - blocked)
    assert not any(improbable(found, IDS).values())


def test_draws_are_as_likely_as_they_say_and_the_check_sees_when_they_are_not() -> None:
    weighted = rules(exploration=Exploration(share=0.5, weights={"bag": 3, "free": 1}))
    found, _ = decided(MANY, weighted)
    p_values = surprising(found, 0.5)
    assert set(p_values) == {"exploring", "probability_bag", "probability_free"}
    assert min(p_values.values()) > 0.001
    exploring = found[found["arm"] == EXPLORATION]
    may = exploring["user_id"] % 2 == 1  # They have an open trip.
    assert set(exploring.loc[~may, "probability_bag"]) == {1.0}
    assert set(exploring.loc[may, "probability_bag"]) == {0.75}
    assert abs((exploring.loc[may, "offer"] == "bag").mean() - 0.75) < 0.06
    assert surprising(found, 0.4)["exploring"] < 1e-6
    rigged = found.assign(offer=found["offer"].where(found["arm"] != EXPLORATION, "bag"))
    assert surprising(rigged, 0.5)["probability_free"] < 1e-6


def test_a_drawn_perk_stays_until_the_customer_may_not_have_it_any_more() -> None:
    users = pd.Series(MANY)
    config = Exploration(share=1)
    every = pd.DataFrame(True, index=users.index, columns=IDS)
    fewer = every.assign(free=False)
    now, later = (
        random_offers.drawn(users, random_offers.probabilities(may, config), config)
        for may in (every, fewer)
    )
    stays = now != "free"
    assert (now[stays] == later[stays]).all()
    assert not (later == "free").any()
    assert 0.3 < stays.mean() < 0.7


def test_weights_name_the_perks_drawn_whichever_strategy_decides() -> None:
    with pytest.raises(ExplorationError, match="pony"):
        random_offers.check_weights(PERKS, Exploration(weights={"pony": 1}))
    other = Perk(**{**BAG.model_dump(), "id": "other", "programs": ("six_groups",)})
    named = rules((*PERKS, other), exploration=Exploration(share=0.5, weights={"other": 1}))
    found, _ = decided(MANY, named)
    explores = found["arm"] == EXPLORATION
    assert set(found.loc[explores, "offer"]) == {"other"}
    assert "other" not in set(found.loc[~explores, "offer"])
    with pytest.raises(ExplorationError, match="no perk that may be offered: other"):
        decided(MANY, rules(exploration=Exploration(share=0.5, weights={"other": 1})))


@pytest.mark.parametrize(("expects", "instead"), [(True, None), (False, "meal")])
def test_who_is_not_eligible_for_the_perk_decided_gets_the_next_best(
    expects: bool, instead: str | None
) -> None:
    found, _ = decided(MANY, rules(exploration=Exploration()), expects=expects)
    written = found[found["arm"] != HOLDOUT]
    ineligible = written[(written["perk"] == "free") & (written["user_id"] % 2 == 0)]
    assert len(ineligible) > 100
    assert set(ineligible["because"]) == {offers.INSTEAD}
    assert set(ineligible["offer"]) == ({"bag", "meal"} if instead is None else {instead})
    only = tuple(each.model_copy(update={"eligible": (OPEN,)}) for each in PERKS)
    nothing, _ = decided([2, 4, 6, 8], rules(only, campaign=Config(holdout_share=0)))
    assert set(nothing["offer"]) == {NO_OFFER}
    assert set(nothing["because"]) == {offers.NOT_ELIGIBLE}
    assert not any(improbable(nothing, IDS).values())


def test_the_arms_of_a_running_experiment_are_those_of_the_offers() -> None:
    running = rules(experiment=Experiment(start=dt.date(2023, 7, 1), ratio=0.4))
    found, _ = decided(MANY, running)
    control = found[found["arm"] == CONTROL]
    assert set(control["offer"]) == {CONTROL_OFFER}
    assert set(found["arm_probability"].round(9)) == {
        round(0.9 * 0.7 * 0.6, 9),
        round(0.9 * 0.7 * 0.4, 9),
        round(0.9 * 0.3, 9),
        0.1,
    }
    shares = found["arm"].value_counts(normalize=True)
    for arm, probability in found.groupby("arm")["arm_probability"].first().items():
        assert abs(shares[arm] - probability) < 0.03
    before, _ = decided(MANY, rules())
    assert found["policy_version"].iloc[0] != before["policy_version"].iloc[0]
    explored = found["arm"] == EXPLORATION
    pd.testing.assert_series_equal(found.loc[explored, "offer"], before.loc[explored, "offer"])


MONEY = {"margin_rate": 0.2, "incremental_share": 0.5}
PRICED = (
    perk("bag", "bags_per_flight", cost_usd=15, cost_unit="bags_per_flight"),
    perk("meal", "nights_per_stay", cost_usd=9, expected_redemption=0.3, max_customers=25),
    perk("free", "cancelled_share", cost_usd=30, max_cost_usd=40, eligible=(OPEN,)),
)


@FEW
@given(
    USERS,
    st.floats(0, 300),
    st.sampled_from([0.0, 0.2]),
    st.integers(0, 10),
    st.floats(0, 60),
)
def test_never_over_the_budget_or_a_cap(
    users: list[int], budget: float, share: float, most: int, dollars: float
) -> None:
    bag, meal, free = PRICED
    capped = (
        bag,
        meal.model_copy(update={"max_customers": most}),
        free.model_copy(update={"max_cost_usd": dollars}),
    )
    config = rules(
        capped,
        exploration=Exploration(share=share),
        economics=Economics(budget_usd=budget, **MONEY),
    )
    try:
        found, curve = decided(users, config)
    except EconomicsError:
        assert share > 0  # Random offers alone would exceed a limit.
        return
    spent = found.groupby("offer")["expected_cost_usd"].sum()
    assert spent.sum() <= budget * (1 + 1e-9)
    assert (found["offer"] == "meal").sum() <= most
    assert spent.get("free", 0) <= dollars * (1 + 1e-9)
    assert not any(improbable(found, IDS).values())
    assert (curve["expected_cost_usd"] <= curve["budget_usd"] * (1 + 1e-9)).all()


def test_the_curve_rises_to_the_best_and_has_the_budget_on_it() -> None:
    config = rules(PRICED, exploration=Exploration(), economics=Economics(budget_usd=500, **MONEY))
    found, curve = decided(list(range(1, 400)), config)
    ours = curve[curve["configured"]].iloc[0]
    net = found["expected_margin_usd"].sum() - found["expected_cost_usd"].sum()
    assert ours["expected_net_value_usd"] == pytest.approx(net)
    assert ours["expected_cost_usd"] == pytest.approx(found["expected_cost_usd"].sum())
    assert ours["customers"] == (found["offer"] != NO_OFFER).sum()
    assert (np.diff(curve["expected_net_value_usd"]) >= -1e-6).all()
    assert (curve["low"] <= curve["expected_net_value_usd"]).all()
    assert set(found["because"]) >= {offers.NO_MONEY, offers.HELD_OUT}


def test_an_experiment_in_which_a_perk_is_held_offers_that_one_or_none() -> None:
    assigned, segments, features = cohort(list(range(1, 300)))
    held = assigned.assign(steadiness=HELD)
    config = rules(PRICED, exploration=Exploration(), economics=Economics(**MONEY))
    arms = assignment.assign(held, config.experiment)
    found, _ = offers.decide(held, segments, features, NOBODY, arms, config)
    ours = found[(found["arm"] == PERSONALISED) & (found["offer"] != NO_OFFER)]
    assert (ours["because"].isin([offers.DECIDED, offers.INSTEAD])).all()
    free, _ = offers.decide(assigned, segments, features, NOBODY, arms, config)
    assert (free["because"] == offers.WORTH_MORE).any()


def test_a_perk_that_costs_more_than_it_brings_goes_to_nobody() -> None:
    dear = tuple(each.model_copy(update={"cost_usd": 1e6}) for each in PRICED)
    config = rules(dear, exploration=Exploration(), economics=Economics(**MONEY))
    found, _ = decided(MANY[:200], config)
    assert set(found["offer"]) == {NO_OFFER}
    assert set(found["because"]) == {offers.NOT_WORTH_IT, offers.HELD_OUT}


def test_expected_money_is_worked_out_as_the_docs_say() -> None:
    bag, meal, _ = PRICED
    lifts = pd.DataFrame({"bag": [1.5, np.nan], "meal": [1.0, 10.0]})
    usual = {"spend_per_trip": 400.0, "bags_per_flight": 0.6}
    economics = Economics(margin_rate=0.2, incremental_share=0.5, expected_redemption=0.1)
    found = net_value.expected(lifts, (bag, meal), usual, economics)
    # Redemption: 0.1 x 1.5, 0.1 x 1 (nothing is expected), 0.3, and 0.3 x 10, which is all.
    extra_margin = 0.5 * 0.2 * 400
    assert found.gain == pytest.approx(np.array([[0.15, 0.3], [0.1, 1.0]]) * extra_margin)
    assert found.cost == pytest.approx(
        np.array([[0.15 * 15 * 0.6 * 1.5, 0.3 * 9], [0.1 * 15 * 0.6, 9.0]])
    )


def learnt(reward: str) -> LearnedPolicy:
    """Who has an open trip spends 50 USD more with a bag, and everybody 5 less with a meal."""
    rows = pd.DataFrame(
        {
            "perk": ["bag", "meal"],
            "feature": "open_trips",
            "mean": 0.5,
            "spread": 0.5,
            "points": [30.0, 0.0],
            "base": [20.0, -5.0],
            "usual": 100.0,
            "reward": reward,
            "customers": 900,
            "learned_in": "2023-05",
            "policy_version": "v",
        }
    )
    policy = LearnedPolicy.from_frame(rows)
    assert policy is not None
    return policy


def by_policy(reward: str, **changes: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The offers of customers of whom every second has an open trip, and the budget curve."""
    assigned, segments, features = cohort(list(range(1, 400)))
    policy, config = learnt(reward), rules(PRICED, exploration=Exploration(), **changes)
    own = policy.decide(segments, features)
    assigned = assigned.assign(perk=own["perk"], strategy="learned")
    arms = assignment.assign(assigned, config.experiment)
    return offers.decide(assigned, own, features, NOBODY, arms, config, policy)


def test_whoever_brings_less_with_any_perk_gets_none_by_the_learnt_policy() -> None:
    found, _ = by_policy("revenue")
    ours = found[found["arm"] == PERSONALISED]
    travels = ours["user_id"] % 2 == 1
    assert set(ours.loc[travels, "offer"]) == {"bag"}
    assert set(ours.loc[~travels, "offer"]) == {NO_OFFER}
    assert set(ours.loc[~travels, "because"]) == {offers.NOTHING_LEARNED}


@pytest.mark.parametrize(("reward", "margin"), [("revenue", 0.2 * 50), (NET_MARGIN, 50 + 0.2 * 15)])
def test_the_learnt_policy_says_what_an_offer_brings_and_keeps_within_the_budget(
    reward: str, margin: float
) -> None:
    free, _ = by_policy(reward, economics=Economics(**MONEY))
    given = free[free["offer"] != NO_OFFER]
    assert set(given["offer"]) == {"bag"}
    assert (given["user_id"] % 2 == 1).all()
    # One in five is assumed to redeem it for a bag of 15 USD.
    assert given["expected_cost_usd"].to_numpy() == pytest.approx(0.2 * 15)
    assert given["expected_margin_usd"].to_numpy() == pytest.approx(margin)
    few, curve = by_policy(reward, economics=Economics(budget_usd=31, **MONEY))
    assert (few["offer"] != NO_OFFER).sum() == 10
    assert curve.loc[curve["configured"], "expected_cost_usd"].item() == pytest.approx(30)


def test_money_is_named_where_it_is_missing() -> None:
    with pytest.raises(ValueError, match="budget_usd needs margin_rate"):
        Economics(budget_usd=10)
    with pytest.raises(EconomicsError, match="meal, free"):
        net_value.check_caps(PRICED, Economics())
    net_value.check_caps(PRICED, Economics(margin_rate=0.1))

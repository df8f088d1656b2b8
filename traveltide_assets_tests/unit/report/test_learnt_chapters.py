"""The chapters on what offers did and on what to send next: what they say of which tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import load_perks, titles
from traveltide_assets.experiment import (
    campaign_readout,
    judging,
    policy_scorecard,
    weekly_looks,
)
from traveltide_assets.experiment.learning.policy_promotion import NOTHING_TO_GAIN, PROMOTED
from traveltide_assets.report import charts, next_section, offers_section
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support import learnt

SETTINGS = Settings()


def material(**tables: pd.DataFrame) -> Any:
    """What the two sections read of a month; nothing was learnt but what is given."""
    nothing = {
        "effects": campaign_readout.nothing(),
        "looks": weekly_looks.nothing(),
        "policies": policy_scorecard.nothing(),
        "curve": learnt.curve().iloc[:0],
        "plan": pd.DataFrame({"segment": [], "role": [], "power": []}),
    }
    return SimpleNamespace(
        month="2023-07",
        settings=SETTINGS,
        perks=load_perks(SETTINGS.perks_file),
        titles=titles(load_perks(SETTINGS.perks_file)),
        assignments=pd.DataFrame({"perk": [learnt.BAG, learnt.MEAL]}),
        campaign={"customers": {"written_to": 5_000, "held_out": 500}},
        strategies={"traits": "Traits"},
        **{**nothing, **tables},
    )


@pytest.fixture(scope="module")
def effects() -> pd.DataFrame:
    return learnt.effects()


def test_a_campaign_is_told_by_comparison_with_what_is_beyond_chance(effects: pd.DataFrame) -> None:
    m = material(effects=effects)
    assert offers_section.message(m).startswith("The offers of May 2023 brought more: bookings")
    (campaign,) = offers_section.context(m)["campaigns"]
    said = campaign["sentences"]
    assert said[0].startswith("All written to, against nobody: ")
    assert "Own perk, against control offer: bookings per customer: More than" in said[1]
    assert [line.partition(":")[0] for line in said[2:]] == [
        "Free checked bag, against nothing",
        "Free hotel meal, against nothing",
        "No other difference between two perks that were drawn is shown.",
    ]
    assert campaign["rows"][-1][0] == "Free checked bag, against free hotel meal"
    assert "Beyond chance: Own perk" in campaign["picture"].alt.replace(
        "All written to, against nobody, bookings per customer: better, ", ""
    )


def test_an_open_campaign_and_a_harmful_one_are_no_success(effects: pd.DataFrame) -> None:
    unclear = effects.assign(verdict=judging.NO_DIFFERENCE)
    early = offers_section.message(material(effects=unclear.assign(peek=True)))
    assert early == "It is too early to say what the offers of May 2023 did"
    over = offers_section.message(material(effects=unclear.assign(peek=False)))
    assert over == "No effect of the offers of May 2023 is shown"
    harm = effects.assign(verdict=effects["verdict"].where(effects.index != 0, judging.HARM))
    assert "did harm" in offers_section.message(material(effects=harm))


def test_the_weekly_chart_says_how_far_a_goal_is_and_its_bound() -> None:
    weekly = offers_section.context(material(looks=learnt.looks()))["weekly"]
    assert weekly["said"] == "The look of week 3 decided: stop and ship."
    assert weekly["picture"].alt.endswith("bookings per customer +3.9 standard errors, bound 2.0.")
    before = offers_section.context(material(looks=learnt.looks(weeks=2)))["weekly"]
    assert before["said"] == "After week 2 the rule says: go on."
    nothing = learnt.looks().assign(difference=None, low=None, high=None)
    assert "no goal can be read" in charts.weekly_looks(nothing).alt


def test_policies_are_called_by_their_titles_and_the_best_comes_first() -> None:
    m = material(policies=learnt.policies(), curve=learnt.curve())
    assert next_section.message(m).startswith("There is too little data")
    shown = next_section.context(m)
    assert shown["exploration"] == "Set exploration.share = 0.05: it takes 10 months more."
    assert "+2 USD per customer against Free checked bag for everybody" in shown["policies"]["said"]
    assert "always" not in shown["policies"]["said"]
    assert [row["policy"] for row in shown["policies"]["rows"]] == [
        "the learned policy",
        "Free checked bag for everybody",
        "nothing for anybody",
        "Free hotel meal for everybody",
    ]
    assert shown["budget"]["said"] == (
        "Most is expected of a budget of 2,000 USD: 800 USD net (by chance 400 to 1,200) from 350 "
        "customers. The budget set, 1,000 USD, is expected to bring 650 USD net (by chance 450 to "
        "850) from 180 customers."
    )


@pytest.mark.parametrize(
    ("verdict", "words"), [(PROMOTED, "Let the learned policy"), (NOTHING_TO_GAIN, "gains nothing")]
)
def test_the_chapter_is_headed_by_the_verdict(verdict: str, words: str) -> None:
    assert words in next_section.message(material(policies=learnt.policies(verdict)))


def test_where_nothing_was_learnt_nothing_is_drawn() -> None:
    m = material()
    assert offers_section.context(m)["campaigns"] == []
    assert offers_section.context(m)["weekly"] is None
    assert next_section.context(m)["policies"] is None
    assert next_section.context(m)["budget"] is None
    assert offers_section.message(m) == "Nothing is known yet of what offers did"


def test_a_policy_that_decides_already_is_not_advised_again() -> None:
    m = material(policies=learnt.policies(PROMOTED))
    m.settings = SETTINGS.model_copy(update={"strategy": "learned"})
    assert next_section.message(m).startswith("The learned policy chooses who gets what")
    assert "Let it decide" not in next_section.context(m)["exploration"]


def test_perks_of_which_nothing_is_learned_are_called_by_their_titles() -> None:
    said = f"There is nothing to gain. Nothing is learned of {learnt.BAG}: 12 customers drew it."
    m = material(policies=learnt.policies().assign(in_words=said))
    shown = next_section.context(m)["policies"]["said"]
    assert "Nothing is learned of Free checked bag: 12 customers drew it." in shown


def test_who_explores_already_is_not_told_to_begin() -> None:
    exploring = SETTINGS.exploration.model_copy(update={"share": 0.1})
    for settings in (SETTINGS, SETTINGS.model_copy(update={"exploration": exploring})):
        m = material()
        m.settings = settings
        shown = next_section.context(m)
        assert shown["explores"] == (settings is not SETTINGS)
        assert ("Keep" in shown["exploration"]) == shown["explores"]


def test_a_budget_that_nothing_costs_binds_nobody() -> None:
    free = learnt.curve().iloc[[3]].assign(budget_usd=0.0, expected_cost_usd=0.0)
    said = next_section.budget_in_words(free)
    assert said.startswith("No budget binds")
    assert "800 USD net" in said

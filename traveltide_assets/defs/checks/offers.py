"""Checks of the offers: nobody is lost, draws are fair, and limits are kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from traveltide_assets.campaign import eligibility, offers
from traveltide_assets.campaign.invitations import too_young
from traveltide_assets.campaign.suppression import Suppressed, read_suppressed
from traveltide_assets.campaign.tables import could_be, probability_of
from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity, Step
from traveltide_assets.experiment.assignment import EXPLORATION, HOLDOUT
from traveltide_assets.stats.holm import holm

_OFFERS = "gold/offers"
_CURVE = "gold/budget_curve"
_ASSIGNMENTS = "gold/perk_assignments"
_FEATURES = "gold/user_features"
_SLACK = 1e-9


def _frame(context: Context) -> pd.DataFrame:
    return context.lake.frame(_OFFERS, context.month)


def _suppressed(context: Context) -> Suppressed:
    users = context.lake.frame("gold/users_final", context.month, ["user_id", "birthdate"])
    young = too_young(users, context.settings.cohort.minimum_age, context.month)
    return read_suppressed(context.settings.campaign.suppression_file).with_others(young)


def _everybody_has_one(context: Context) -> Outcome:
    offered = _frame(context)["user_id"]
    cohort = context.lake.frame(_ASSIGNMENTS, context.month, ["user_id"])["user_id"]
    blocked = cohort.isin(_suppressed(context).users)
    facts = {
        "missing": int((~cohort[~blocked].isin(offered)).sum()),
        "more_than_once": int(offered.duplicated().sum()),
        "not_in_the_cohort": int((~offered.isin(cohort)).sum()),
        "suppressed": int(offered.isin(cohort[blocked]).sum()),
    }
    return Outcome(not any(facts.values()), facts)


def _probabilities_add_up(context: Context) -> Outcome:
    problems = improbable(_frame(context), [perk.id for perk in context.perks])
    return Outcome(not any(problems.values()), problems)


def improbable(rows: pd.DataFrame, perks: list[str]) -> dict[str, int]:
    """The customers whose probabilities contradict each other or their offer, by how they do."""
    names = could_be(perks)
    likely = rows[[probability_of(name) for name in names]].to_numpy()
    places = pd.Index(names).get_indexer(rows["offer"])
    own = likely[np.arange(len(rows)), places]
    exploring = (rows["arm"] == EXPLORATION).to_numpy()
    return {
        "do_not_add_up_to_1": int((~np.isclose(likely.sum(axis=1), 1, atol=1e-9)).sum()),
        "out_of_range": int(((likely < 0) | (likely > 1)).any(axis=1).sum()),
        "offer_unknown": int((places < 0).sum()),
        "not_that_of_the_offer": int((~np.isclose(own, rows["probability"], atol=1e-12)).sum()),
        "offer_that_could_not_be": int((rows["probability"] <= 0).sum()),
        "certain_and_below_1": int((rows.loc[~exploring, "probability"] < 1).sum()),
        "held_out_and_offered": int(((rows["arm"] == HOLDOUT) & (rows["offer"] != NO_OFFER)).sum()),
    }


def _draws_are_fair(context: Context) -> Outcome:
    share, limit = (
        context.settings.exploration.share,
        context.settings.experiment.mismatch_alpha,
    )
    p_values = surprising(_frame(context), share)
    return Outcome(min(p_values.values()) >= limit, {"p_values": p_values, "limit": limit})


def surprising(rows: pd.DataFrame, share: float) -> dict[str, float]:
    """P-values of the number who explore, and of how many drew each perk; Holm over perks.

    The binomial of the mean probability bounds the spread of a sum of draws that are not alike, so
    a p-value is at least as large as it should be.
    """
    written = rows[rows["arm"] != HOLDOUT]
    exploring = written[written["arm"] == EXPLORATION]
    found = {"exploring": 1.0}
    if len(written):
        found["exploring"] = float(binomtest(len(exploring), len(written), share).pvalue)
    by_perk = {}
    for name in exploring.filter(regex="^probability_").columns:
        likely = exploring[name]
        if likely.any():
            count = int((exploring["offer"] == name.removeprefix("probability_")).sum())
            chance = min(float(likely.mean()), 1.0)
            by_perk[name] = float(binomtest(count, len(exploring), chance).pvalue)
    if by_perk:
        corrected = holm(list(by_perk.values()))
        found |= {name: float(p) for name, p in zip(by_perk, corrected, strict=True)}
    return found


def _nobody_ineligible(context: Context) -> Outcome:
    """Also tells what became of perks that the strategy gave to customers not eligible for them."""
    rows = _frame(context)
    columns = ["user_id", *sorted(eligibility.features_needed(context.perks))]
    features = context.lake.frame(_FEATURES, context.month, columns)
    known = features.set_index("user_id").reindex(rows["user_id"]).reset_index()
    may = eligibility.eligible(known, context.perks)
    facts: dict[str, object] = {
        "ineligible": _not_allowed(may, rows["offer"]),
        "decided_for_ineligible": _not_allowed(may, rows["perk"]),
        "got_the_next_best": int((rows["because"] == offers.INSTEAD).sum()),
        "got_nothing": int((rows["because"] == offers.NOT_ELIGIBLE).sum()),
    }
    return Outcome(facts["ineligible"] == 0, facts)


def _not_allowed(may: pd.DataFrame, offer: pd.Series) -> int:
    places = may.columns.get_indexer(offer)
    known = np.flatnonzero(places >= 0)
    return int((~may.to_numpy()[known, places[known]]).sum())


def _within_limits(context: Context) -> Outcome:
    rows = _frame(context)
    spent = float(rows["expected_cost_usd"].sum())
    budget = context.settings.economics.budget_usd
    facts: dict[str, object] = {"expected_cost_usd": spent, "budget_usd": budget}
    over = {} if budget is None or spent <= budget * (1 + _SLACK) else {"budget": spent}
    for perk in context.perks:
        given = rows[rows["offer"] == perk.id]
        cost = float(given["expected_cost_usd"].sum())
        if perk.max_customers is not None and len(given) > perk.max_customers:
            over[f"{perk.id}: customers"] = len(given)
        if perk.max_cost_usd is not None and cost > perk.max_cost_usd * (1 + _SLACK):
            over[f"{perk.id}: cost"] = cost
    return Outcome(not over, facts | {"over": over})


def _costs_are_known(context: Context) -> Outcome:
    given = set(_frame(context)["offer"])
    priced = context.settings.economics.margin_rate is not None
    unknown = [
        perk.id
        for perk in context.perks
        if priced and perk.id in given and None in (perk.cost_usd, perk.expected_redemption)
    ]
    problem = (
        f"the catalogue gives no cost or no expected redemption of {', '.join(unknown)}, which are "
        "offered: without a cost a perk counts as free"
    )
    return Outcome(not unknown, {"problem": problem, "perks_without_cost_or_redemption": unknown})


STEPS = (
    Step(
        "offers",
        (_OFFERS, _CURVE),
        (
            Check(
                _OFFERS,
                "everybody_once",
                "Every customer with a perk has exactly one row, but for those suppressed or below "
                "the minimum age, who have none.",
                Severity.ERROR,
                _everybody_has_one,
                blocking=True,
                after=(_ASSIGNMENTS,),
            ),
            Check(
                _OFFERS,
                "probabilities",
                "The probabilities of all that could have been offered add up to 1, the offer is "
                "one of these, and held-out customers are offered nothing.",
                Severity.ERROR,
                _probabilities_add_up,
                blocking=True,
            ),
            Check(
                _OFFERS,
                "fair_draws",
                "As many customers explore as `exploration.share` says, and perks are drawn as "
                "often as their probabilities say, up to chance.",
                Severity.ERROR,
                _draws_are_fair,
                blocking=True,
            ),
            Check(
                _OFFERS,
                "eligible",
                "Nobody is offered a perk that they are not eligible for. Where the strategy gave "
                "one, the next best perk that they are eligible for takes its place, or nothing.",
                Severity.ERROR,
                _nobody_ineligible,
                blocking=True,
                after=(_FEATURES,),
            ),
            Check(
                _OFFERS,
                "within_limits",
                "The expected cost is within `economics.budget_usd`, and no perk exceeds its caps.",
                Severity.ERROR,
                _within_limits,
                blocking=True,
            ),
            Check(
                _OFFERS,
                "costs_known",
                "Where money decides, the catalogue gives cost and expected redemption of every "
                "perk offered. Otherwise it counts as free, and its redemption is assumed.",
                Severity.WARNING,
                _costs_are_known,
            ),
        ),
    ),
)

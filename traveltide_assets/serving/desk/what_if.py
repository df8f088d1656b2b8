"""The page *What if*: the month decided anew under a scenario, beside what was decided."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from traveltide_assets.campaign import release_files, steady
from traveltide_assets.campaign.invitations import drawn
from traveltide_assets.catalogue.perks import Perk, alternatives, features_of, load_perks
from traveltide_assets.evidence.tables import SUPPORTED
from traveltide_assets.report import phrases, summaries, words
from traveltide_assets.report.disclosure import FEWEST, told
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation import affinities
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.segmentation.strategy import CannotFit, History, Strategy
from traveltide_assets.serving.desk import offered_anew
from traveltide_assets.serving.desk.decision import Decision, Decisions
from traveltide_assets.serving.desk.offered_anew import Anew
from traveltide_assets.serving.desk.scenario import (
    MONEY,
    PRICES,
    SHARES,
    NotAScenario,
    Scenario,
    percent,
    plain,
    price,
)
from traveltide_assets.settings import Settings

_MOVES = 12
# One is computed at a time: they share the machine with the service.
_TURN = threading.Lock()


@dataclass(frozen=True)
class Choices:
    """What a scenario may name: strategies that a release suffices for, perks and features."""

    strategies: Mapping[str, Strategy]
    perks: tuple[Perk, ...]
    features: tuple[str, ...]


def choices(settings: Settings) -> Choices:
    """The choices of an installation; strategies that learn from outcomes are none."""
    perks = load_perks(settings.perks_file, settings.policy.forbidden_features)
    built = {
        name: strategy
        for name, strategy in build_strategies(settings, perks).items()
        if not strategy.learns_from_outcomes
    }
    used = frozenset().union(*(strategy.inputs for strategy in built.values()))
    return Choices(built, perks, settings.policy.allowed(sorted(used & set(LABELS))))


def base_of(decision: Decision, settings: Settings, known: Choices) -> Scenario:
    """The scenario that changes nothing: the deciding strategy, if a release suffices for it."""
    strategy = decision.strategy if decision.strategy in known.strategies else "traits"
    return Scenario.decided(strategy, settings)


def context(
    decisions: Decisions, decision: Decision, settings: Settings, scenario: Scenario, known: Choices
) -> dict[str, Any]:
    """What the template shows: the form, and the outcome of the scenario beside the decision."""
    base, strategy = base_of(decision, settings, known), known.strategies[scenario.strategy]
    try:
        outcome, problem = _outcome(decisions, decision, settings, scenario), None
    # Also what a run would be refused for: a perk without a feature, a strategy without its perks.
    except (CannotFit, TravelTideError) as error:
        # A page names no place of this machine.
        file = settings.perks_file
        outcome, problem = None, str(error).replace(str(file), file.name)
    shown = [p for p in scenario.priced(known.perks) if strategy.program in p.programs]
    return {
        "changed": scenario != base,
        "money": [
            (
                "margin",
                MONEY["margin"],
                "" if scenario.margin is None else percent(scenario.margin),
            ),
            ("budget", MONEY["budget"], plain(scenario.budget)),
        ],
        "prices": [
            (p.title, [(f"{name}.{p.id}", price(name, getattr(p, name))) for name in PRICES])
            for p in shown
        ],
        "prices_changed": bool(scenario.prices),
        "price_names": list(PRICES.values()),
        "pairs": scenario.pairs(),
        "strategies": [
            (name, each.title, name == scenario.strategy) for name, each in known.strategies.items()
        ],
        # What matters for the strategy, and whatever was chosen before another strategy was.
        "perks": [
            (perk.id, perk.title, perk.id in scenario.left_out)
            for perk in known.perks
            if strategy.program in perk.programs or perk.id in scenario.left_out
        ],
        "features": [
            (name, LABELS[name], name in scenario.forbidden)
            for name in sorted(known.features, key=lambda name: LABELS[name])
            if name in strategy.inputs or name in scenario.forbidden
        ],
        "always_forbidden": words.listed(
            [LABELS.get(name, name) for name in settings.policy.forbidden_features]
        ),
        "shares": [
            (name, label, percent(getattr(scenario, name))) for name, label in SHARES.items()
        ],
        "outcome": outcome,
        "problem": problem,
        "stands_in": _stands_in(decision, base, known),
    }


def _stands_in(decision: Decision, base: Scenario, known: Choices) -> str | None:
    """That another strategy than the deciding one is computed; None if it is the same."""
    if base.strategy == decision.strategy:
        return None
    return (
        f"{words.month_name(decision.month)} was decided by {decision.strategy}, which learns from "
        "what customers did later. A release does not hold that, so another strategy stands in "
        f"unless you choose one: {known.strategies[base.strategy].title}. Perks differ by that, "
        "too."
    )


def _outcome(
    decisions: Decisions, decision: Decision, settings: Settings, scenario: Scenario
) -> dict[str, Any]:
    began = time.perf_counter()
    before = decisions.released(previous_month(decision.month))
    with _TURN:
        made = decided_anew(decision, before, settings, scenario)
        money = offered_anew.figures(decision, made)
    anew = made.perk
    now = decision.assignments["perk"].reindex(anew.index).astype(object)
    moved = now != anew
    title = decision.title
    scale = len(decision.assignments) / max(len(anew), 1)
    flows = pd.DataFrame({"now": now, "anew": anew})[moved].value_counts()
    return {
        "seconds": f"{time.perf_counter() - began:.1f}",
        "sample": f"{len(anew):,}" if len(anew) < len(decision.assignments) else None,
        "moved": _scaled(int(moved.sum()), scale),
        "moved_share": phrases.share(float(moved.mean())) if len(anew) else words.NONE,
        "perks": _sides(decision, now, anew, scale),
        "moves": [
            (title(was), title(is_now), _scaled(int(size), scale))
            for (was, is_now), size in flows[flows >= FEWEST].head(_MOVES).items()
        ],
        "figures": [*_figures(decision, now, anew, settings, scenario), *money],
    }


@functools.lru_cache(maxsize=4)
def decided_anew(
    decision: Decision, before: Decision | None, settings: Settings, scenario: Scenario
) -> Anew:
    """The perks of the customers under a scenario, or of a sample of them.

    The strategy is fitted anew on the features of the release; last month's perks are kept as they
    are when a month is decided. Who was mailed before is not in a release: they are learned from.
    """
    applied = scenario.applied(settings)
    loaded = load_perks(settings.perks_file, applied.policy.forbidden_features)
    kept = tuple(perk for perk in loaded if perk.id not in scenario.left_out)
    perks = scenario.priced(kept)
    strategy = build_strategies(applied, perks).get(scenario.strategy)
    if strategy is None or applied.traits.default_perk in scenario.left_out:
        raise NotAScenario("the strategy cannot do without what is left out or forbidden")
    features = applied.policy.permitted(_sampled(decision))
    customers = strategy.fit(History(features)).assign(features).assign(strategy=strategy.name)
    if "model_version" not in customers:
        customers["model_version"] = ""
    own = affinities.assignments(
        features[["user_id", *sorted(features_of(perks))]], customers, perks
    )
    final = steady.steadied(
        own,
        None if before is None else before.assignments.reset_index(),
        None,
        alternatives(perks, own["perk"].unique()),
        applied.decision.keep_margin,
    )
    return Anew(final, customers, features, perks, strategy.program, applied)


@functools.lru_cache(maxsize=1)
def _sampled(decision: Decision) -> pd.DataFrame:
    """The features of all customers, or of the same sample of them each time."""
    release = decision.release
    if decision.has(release_files.SAMPLE) and len(held := release.frame(release_files.SAMPLE)):
        return held
    features = release.frame(release_files.FEATURES)
    # A release of an earlier version holds no sample of its many customers.
    drawn = summaries.sample(features)
    return drawn if len(drawn) else features


def _scaled(customers: int, scale: float) -> str:
    if 0 < customers < FEWEST:
        return f"fewer than {FEWEST}"
    return f"{customers:,}" if scale == 1 else f"about {round(customers * scale, -2):,.0f}"


def _sides(
    decision: Decision, now: pd.Series, anew: pd.Series, scale: float
) -> list[tuple[str, str, str]]:
    """Each perk with its customers now and under the scenario."""
    before, after = (told(perks.value_counts().to_dict()) for perks in (now, anew))
    return [
        (
            decision.title(perk),
            _told(before.get(perk, 0), scale),
            _told(after.get(perk, 0), scale),
        )
        for perk in dict.fromkeys([*before, *after])
    ]


def _told(customers: int | None, scale: float) -> str:
    return "too few to show" if customers is None else _scaled(customers, scale)


def _figures(
    decision: Decision, now: pd.Series, anew: pd.Series, settings: Settings, scenario: Scenario
) -> list[tuple[str, str, str]]:
    """What both are worth by the evidence, and how many are written to."""
    rows = [("Different perks", f"{now.nunique()}", f"{anew.nunique()}")]
    if decision.has(release_files.EVIDENCE):
        evidence = decision.release.frame(release_files.EVIDENCE)
        rows += [
            (
                label,
                shown(now, evidence, decision.strategy),
                shown(anew, evidence, scenario.strategy),
            )
            for label, shown in (
                ("Customers with a perk that the data supports", _supported),
                ("Mean back-tested lift of the perks given", _lift),
            )
        ]
    held = decision.campaign["holdout"]
    mails = len(held) - int(held.sum())
    # Of a sample, what counts is how many more or fewer of it are held out.
    ours = held[held.index.isin(anew.index)]
    would_be = drawn(ours.index, settings.campaign) < scenario.holdout
    fewer = int(would_be.sum()) - int(ours.sum())
    scale = len(decision.assignments) / max(len(anew), 1)
    would_be_mails = mails - fewer if scale == 1 or not fewer else round(mails - scale * fewer, -2)
    return [*rows, ("Customers who get a mail", f"{mails:,}", f"{would_be_mails:,.0f}")]


def _supported(perks: pd.Series, evidence: pd.DataFrame, strategy: str) -> str:
    rows = evidence[(evidence["strategy"] == strategy) & (evidence["verdict"] == SUPPORTED)]
    return phrases.share(float(perks.isin(rows["perk"]).mean()))


def _lift(perks: pd.Series, evidence: pd.DataFrame, strategy: str) -> str:
    """The mean over customers of the lift of their perk, with its 95 % interval.

    A perk that was not tried, or of which too little is known, counts as 1.
    """
    rows = evidence[(evidence["strategy"] == strategy) & evidence["p_holm"].notna()]
    known = rows.set_index("perk")[["lift", "lift_low", "lift_high"]]
    means = [
        float(np.nan_to_num(perks.map(known[name]).to_numpy("float64"), nan=1.0).mean())
        for name in known
    ]
    return "{} ({} to {})".format(*map(words.decimal, means))

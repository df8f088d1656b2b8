"""What each customer is offered: a perk, the control offer or nothing, and with which probability.

Held-out customers are offered nothing. Of all others a share explores: their perk is drawn at
random (`random_offers`). In the control arm of a running experiment customers get the control
offer. All remaining ones get the perk decided, if they are eligible for it. Otherwise they get the
next best perk that they are eligible for, or nothing. With `economics.margin_rate` set, the
allocation (`offer_allocation`) then gives these customers the perk with the highest expected net
value, or none, within budget and caps.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from traveltide_assets.campaign import net_value, offer_allocation, random_offers
from traveltide_assets.campaign.config import Config, Economics, Exploration
from traveltide_assets.campaign.eligibility import eligible
from traveltide_assets.campaign.invitations import allowed, held_out
from traveltide_assets.campaign.net_value import NetValue
from traveltide_assets.campaign.offer_allocation import Allocating
from traveltide_assets.campaign.steady import HELD
from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.campaign.tables import could_be, probability_of
from traveltide_assets.catalogue.perks import NO_OFFER, Perk, Program, catalogue_version, of_program
from traveltide_assets.experiment.assignment import (
    CONTROL,
    EXPLORATION,
    HOLDOUT,
    PERSONALISED,
)
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.experiment.learned_policy import LearnedPolicy
from traveltide_assets.experiment.periods import runs_in_campaign
from traveltide_assets.experiment.policy_scorecard import NET_MARGIN

ARMS = (PERSONALISED, CONTROL, EXPLORATION, HOLDOUT)
DECIDED = "the perk decided"
INSTEAD = "not eligible for the perk decided: the next best one"
NOT_ELIGIBLE = "not eligible for any perk"
WORTH_MORE = "worth more than the perk decided, or within the caps where that is not"
NOT_WORTH_IT = "no perk is expected to bring more than it costs"
NOTHING_LEARNED = "the learned policy expects more without an offer"
NO_MONEY = "budget and caps go to customers to whom more net value is expected"
DRAWN = "drawn at random"
CONTROL_ARM = "the control arm of the experiment"
HELD_OUT = "held out"


@dataclass(frozen=True)
class Rules:
    """What decides the offers of a month besides its customers. `program` is the strategy's."""

    month: str
    perks: tuple[Perk, ...]
    program: Program
    campaign: Config
    experiment: Experiment
    exploration: Exploration
    economics: Economics

    @property
    def running(self) -> bool:
        """Whether the campaign of the month carries an experiment."""
        return runs_in_campaign(self.experiment, self.month)

    def version(self, model: str) -> str:
        """Hash of all that decides how likely an offer is."""
        said: dict[str, Any] = {
            "model": model,
            "perks": catalogue_version(self.perks),
            "holdout": self.campaign.model_dump(include={"holdout_share", "salt"}),
            "exploration": self.exploration.model_dump(),
            "economics": self.economics.model_dump(),
        }
        if self.running:
            arms = self.experiment.model_dump(include={"ratio", "salt", "control_offer"})
            said["experiment"] = arms
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def decide(
    assigned: pd.DataFrame,
    segments: pd.DataFrame,
    features: pd.DataFrame,
    suppressed: Suppressed,
    arms: pd.DataFrame,
    rules: Rules,
    policy: LearnedPolicy | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `gold/offers` and of `gold/budget_curve`.

    `assigned` are the perks decided, `segments` those of the strategy, with what it expects,
    `features` those of the month, `arms` the random assignment of the experiment, `policy` the
    learned one, if it decided. Rows depend on nobody else, unless money does.
    """
    rows = assigned[allowed(assigned["user_id"], suppressed)].sort_values(
        "user_id", ignore_index=True
    )
    known, expecting = (
        frame.set_index("user_id").reindex(rows["user_id"]).reset_index()
        for frame in (features, segments)
    )
    program = {perk.id for perk in of_program(rules.perks, rules.program)}
    if policy is not None:
        program = set(policy.perks)
    handed = program | set(rows["perk"]) | set(rules.exploration.weights)
    handed.add(rules.experiment.control_offer)
    perks = tuple(perk for perk in rules.perks if perk.id in handed)
    month = _Month(
        rows,
        perks,
        [perk.id for perk in perks if perk.id in program],
        eligible(known, perks),
        net_value.lifts(expecting, perks),
        None if policy is None else policy.effects(known),
        _arm(rows["user_id"], arms, rules),
        rules,
    )
    priced = rules.economics.margin_rate is not None
    if not priced:
        return month.table(*month.worthwhile(), None), offer_allocation.nothing()
    usual = net_value.averages(features)
    if policy is None or month.effects is None:
        values = net_value.expected(month.lifts, perks, usual, rules.economics)
    else:
        # The preferences of the policy are rewards, and say nothing of how often a perk is used.
        assumed = net_value.expected(month.lifts * np.nan, perks, usual, rules.economics)
        net = policy.reward == NET_MARGIN
        values = net_value.learned(month.effects, perks, assumed, rules.economics, net)
    allocating = month.allocating(values)
    offer, because = month.allocated(allocating)
    return month.table(offer, because, values), allocating.curve()


def _arm(users: pd.Series, arms: pd.DataFrame, rules: Rules) -> np.ndarray:
    """The arm of each customer. Whoever is in no arm of the experiment gets their perk."""
    control = np.zeros(len(users), dtype=bool)
    if rules.running:
        control = users.isin(arms.loc[arms["arm"] == CONTROL, "user_id"]).to_numpy()
    held = held_out(users, rules.campaign)
    exploring = random_offers.explores(users, rules.exploration)
    return np.select([held, exploring, control], [HOLDOUT, EXPLORATION, CONTROL], PERSONALISED)


@dataclass(frozen=True)
class _Month:
    """The customers of a month: rows of every frame, in the same order; perks are columns.

    `program` are the perks that what decides hands out: a strategy, or the learned policy.
    `effects` is what the learned policy expects of the perks that it knows over no offer, in USD.
    """

    rows: pd.DataFrame
    perks: tuple[Perk, ...]
    program: list[str]
    eligible: pd.DataFrame
    lifts: pd.DataFrame
    effects: pd.DataFrame | None
    arm: np.ndarray
    rules: Rules

    @property
    def ids(self) -> list[str]:
        return [perk.id for perk in self.perks]

    @cached_property
    def chances(self) -> pd.DataFrame:
        """The probability of each perk for those who explore: of those weighed, or the program."""
        weighed = self.rules.exploration.weights
        drawn = [name for name in self.ids if name in weighed] if weighed else self.program
        exploring = self.eligible.loc[self.arm == EXPLORATION, drawn]
        return random_offers.probabilities(exploring, self.rules.exploration)

    @cached_property
    def own(self) -> np.ndarray:
        """The perk decided, or the next best one that the customer is eligible for, or nothing."""
        decided = self.rows["perk"].to_numpy(dtype=object)
        places = self.eligible.columns.get_indexer(decided)
        may = self.eligible.to_numpy()[np.arange(len(decided)), places]
        wanted = self._wanted()[self.program].where(self.eligible[self.program], -np.inf)
        best = np.array([*self.program, NO_OFFER], dtype=object)
        none = np.isinf(wanted.to_numpy()).all(axis=1)
        second = best[np.where(none, len(self.program), wanted.to_numpy().argmax(axis=1))]
        return np.where(may, decided, second)

    def _wanted(self) -> pd.DataFrame:
        """How strongly a perk is suggested: by what is expected, or else by the affinities."""
        if self.lifts.notna().any(axis=None):
            return self.lifts.fillna(1.0)
        return pd.DataFrame({perk.id: self.rows[f"affinity_{perk.id}"] for perk in self.perks})

    @cached_property
    def due(self) -> np.ndarray:
        """The offer of each customer, whatever it costs."""
        offer = np.where(self.arm == HOLDOUT, NO_OFFER, self.own)
        control = self.rules.experiment.control_offer
        may = self.eligible[control].to_numpy() if control in self.eligible else True
        offer = np.where(self.arm == CONTROL, np.where(may, control, NO_OFFER), offer)
        exploring = self.arm == EXPLORATION
        users = self.rows.loc[exploring, "user_id"]
        offer[exploring] = random_offers.drawn(users, self.chances, self.rules.exploration)
        return offer

    @cached_property
    def because(self) -> np.ndarray:
        """Why the offer is `due`."""
        same = self.own == self.rows["perk"].to_numpy(dtype=object)
        return np.select(
            [
                self.arm == HOLDOUT,
                (self.arm != CONTROL) & (self.due == NO_OFFER),
                self.arm == EXPLORATION,
                self.arm == CONTROL,
                same,
            ],
            [HELD_OUT, NOT_ELIGIBLE, DRAWN, CONTROL_ARM, DECIDED],
            INSTEAD,
        ).astype(object)

    def worthwhile(self) -> tuple[np.ndarray, np.ndarray]:
        """The offers due, but none of which the learned policy expects nothing; and why."""
        if self.effects is None:
            return self.due, self.because
        expected = self._of_offer(self.due, self.effects.reindex(columns=self.ids).to_numpy())
        free = (self.arm == PERSONALISED) & (self.rows["steadiness"] != HELD).to_numpy()
        nothing = free & (self.due != NO_OFFER) & (expected <= 0)
        return (
            np.where(nothing, NO_OFFER, self.due),
            np.where(nothing, NOTHING_LEARNED, self.because),
        )

    def allocating(self, values: NetValue) -> Allocating:
        """The problem of who gets which perk, given what each is expected to bring and to cost.

        A customer may get the perk that is due, and any other that the strategy expects something
        of. In a running experiment it is the perk of its start or none.
        """
        due = np.array([perk.id for perk in self.perks], dtype=object) == self.due[:, None]
        held = (self.rows["steadiness"] == HELD).to_numpy()[:, None]
        candidates = due | (self.lifts.notna().to_numpy() & self.eligible.to_numpy() & ~held)
        ours = self.arm == PERSONALISED
        given = due.any(axis=1) & ~ours
        return Allocating(
            values,
            candidates & ours[:, None],
            np.where(given, due.argmax(axis=1), -1),
            self.perks,
            self.rules.economics,
        )

    def allocated(self, allocating: Allocating) -> tuple[np.ndarray, np.ndarray]:
        """The offers within budget and caps, and why they are."""
        names = np.array([*(perk.id for perk in self.perks), NO_OFFER], dtype=object)
        found = names[allocating.places()]
        ours = (self.arm == PERSONALISED) & (self.due != NO_OFFER)
        offer = np.where(ours, found, self.due)
        worth = (allocating.candidates & (allocating.expected.net > 0)).any(axis=1)
        because = np.select(
            [~ours | (offer == self.due), offer != NO_OFFER, worth],
            [self.because, WORTH_MORE, NO_MONEY],
            NOT_WORTH_IT,
        )
        return offer, because

    def table(
        self, offer: np.ndarray, because: np.ndarray, values: NetValue | None
    ) -> pd.DataFrame:
        """The rows of `gold/offers`."""
        offers = could_be(perk.id for perk in self.rules.perks)
        chances = pd.DataFrame(0.0, index=self.rows.index, columns=list(offers))
        exploring = self.arm == EXPLORATION
        chances.loc[exploring, self.chances.columns] = self.chances
        certain = ~exploring | (offer == NO_OFFER)
        places = chances.columns.get_indexer(offer)
        likely = chances.to_numpy(copy=True)
        likely[certain, places[certain]] = 1.0
        gain, cost = (None, None) if values is None else (values.gain, values.cost)
        versions = self.rows["model_version"]
        made = {version: self.rules.version(version) for version in versions.unique()}
        return pd.DataFrame(
            {
                "user_id": self.rows["user_id"],
                "segment": self.rows["segment"],
                "perk": self.rows["perk"],
                "arm": self.arm,
                "arm_probability": self._arm_probability(),
                "offer": offer,
                "probability": likely[np.arange(len(offer)), places],
                **{probability_of(name): likely[:, i] for i, name in enumerate(offers)},
                "eligible": self._eligible(),
                "because": because,
                "expected_margin_usd": self._of_offer(offer, gain),
                "expected_cost_usd": self._of_offer(offer, cost),
                "strategy": self.rows["strategy"],
                "policy_version": versions.map(made),
            }
        )

    def _eligible(self) -> list[list[str]]:
        """The perks that each customer may be offered."""
        kinds, kind = np.unique(self.eligible.to_numpy(), axis=0, return_inverse=True)
        names = np.array(self.ids, dtype=object)
        lists = [names[may].tolist() for may in kinds]
        return [lists[place] for place in kind.ravel()]

    def _arm_probability(self) -> np.ndarray:
        rules = self.rules
        written, explores = 1 - rules.campaign.holdout_share, rules.exploration.share
        taking_part = rules.running & (self.rows["perk"] != rules.experiment.control_offer)
        personalised = np.where(taking_part, rules.experiment.ratio, 1.0)
        within = {
            HOLDOUT: np.full(len(self.arm), 1 - written),
            EXPLORATION: np.full(len(self.arm), written * explores),
            CONTROL: written * (1 - explores) * (1 - personalised),
            PERSONALISED: written * (1 - explores) * personalised,
        }
        return np.select([self.arm == arm for arm in within], list(within.values()))

    def _of_offer(self, offer: np.ndarray, part: np.ndarray | None) -> np.ndarray:
        """A part of the values for each customer's offer; NaN without values."""
        if part is None:
            return np.full(len(offer), np.nan)
        places = self.eligible.columns.get_indexer(offer)
        return np.where(places >= 0, part[np.arange(len(offer)), places], 0.0)

"""The learned policy in service: a table that says what each perk brings to whom, and decides.

What it expects of a perk is a sum over features, so that the table is all there is to it, and every
decision has its reasons. It comes into service when it is promoted (`policy_scorecard`). It stays
until a later one is promoted, or until every interval of what it would have brought lies below that
of the best single perk: then it is withdrawn. The month that is decided reads what the month before
put in service.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traveltide_assets.evidence.config import LEARNED
from traveltide_assets.experiment.learning.policy_promotion import Judgement
from traveltide_assets.experiment.policy_scorecard import NONE, Explored
from traveltide_assets.experiment.tables import LEARNED_POLICY

PATH = LEARNED_POLICY.path
IN_SERVICE = "in service"
TITLE = "The learned policy"
DESCRIPTION = (
    "Gives each customer the perk of which most is expected, learned from the customers of earlier "
    "campaigns whose offer was drawn at random"
)

_REASONS = 2
_BLOCK_VALUES = 4_000_000


@dataclass(frozen=True)
class LearnedPolicy:
    """A policy in service: the table, which is all that decides.

    `points` (perks by features) is by how much more of the reward is expected of a perk where the
    feature is higher by one `spread`; `base` what is expected of it at the `mean` of all features.
    `usual` is the reward per customer without an offer. All in US dollars over the horizon.
    """

    points: pd.DataFrame
    base: pd.Series
    mean: pd.Series
    spread: pd.Series
    usual: float
    reward: str
    customers: int
    learned_in: str
    version: str

    @classmethod
    def from_frame(cls, rows: pd.DataFrame) -> LearnedPolicy | None:
        """The policy of a stored `gold/learned_policy`; None if none is in service."""
        if rows.empty:
            return None
        first = rows.iloc[0]
        by_feature = rows.drop_duplicates("feature").set_index("feature")
        names = list(by_feature.index)
        return cls(
            rows.pivot_table(index="perk", columns="feature", values="points")[names],
            rows.groupby("perk")["base"].first(),
            by_feature["mean"],
            by_feature["spread"],
            float(first["usual"]),
            str(first["reward"]),
            int(first["customers"]),
            str(first["learned_in"]),
            str(first["policy_version"]),
        )

    @property
    def features(self) -> tuple[str, ...]:
        """What it reads of a customer."""
        return tuple(self.points.columns)

    @property
    def perks(self) -> tuple[str, ...]:
        """Those of which it says anything."""
        return tuple(self.points.index)

    def of(self, perks: Collection[str]) -> LearnedPolicy | None:
        """What it says of these perks; None if it knows none of them."""
        known = [perk for perk in self.points.index if perk in perks]
        if not known:
            return None
        return LearnedPolicy(
            **{**vars(self), "points": self.points.loc[known], "base": self.base.loc[known]}
        )

    def effects(self, features: pd.DataFrame) -> pd.DataFrame:
        """Customers (rows, as in `features`) by perks: the reward expected over no offer, in USD.

        A feature that is not given, or undefined, counts neither for nor against a perk.
        """
        parts = [
            self._deviations(block).to_numpy() @ self.points.to_numpy().T
            for block in self._blocks(features)
        ]
        # Rounded, since the last digits of a sum depend on its order.
        found = (self.base.to_numpy() + np.vstack(parts)).round(6)
        return pd.DataFrame(found, index=features.index, columns=list(self.points.index))

    def reasons(self, features: pd.DataFrame, perk: pd.Series) -> pd.Series:
        """The features that speak most for each customer's perk, as text; empty if none does."""
        names = np.array(self.features, dtype=object)
        found = pd.Series("", index=features.index, dtype=object)
        for block in self._blocks(features):
            weights = self.points.loc[perk.loc[block.index]].to_numpy()
            spoken = self._deviations(block).to_numpy() * weights
            ranked = np.argsort(-spoken, axis=1, kind="stable")[:, :_REASONS]
            amount = np.take_along_axis(spoken, ranked, axis=1)
            found.loc[block.index] = [
                ", ".join(names[place[value > 0]])
                for place, value in zip(ranked, amount, strict=True)
            ]
        return found

    def decide(self, customers: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
        """The segments of a month with the perks of this policy, and why each is the perk.

        `customers` are those of the strategy that forms the segments. The preference for a perk is
        the reward expected with it, divided by that without an offer.
        """
        known = features.set_index("user_id").reindex(customers["user_id"])
        effects = self.effects(known)
        perk, gain = effects.idxmax(axis=1), effects.max(axis=1)
        said = [
            f"{value:+,.2f} USD of {self.reward} expected over no offer, learned from "
            f"{self.customers:,} customers whose offer was drawn"
            + (f"; speaking for it: {why}" if why else "")
            for value, why in zip(gain, self.reasons(known, perk), strict=True)
        ]
        preferences = {
            f"preference_{name}": (1 + effects[name] / self.usual).to_numpy()
            if self.usual > 0
            else np.nan
            for name in effects
        }
        kept = customers.drop(columns=list(customers.filter(like="preference_")))
        return kept.assign(
            perk=perk.to_numpy(dtype=object),
            score=gain.to_numpy(),
            reason=said,
            **preferences,
            strategy=LEARNED,
            model_version=self.version,
        )

    def _deviations(self, features: pd.DataFrame) -> pd.DataFrame:
        """How far each customer is from the customers learned from, in spreads of theirs."""
        values = features.reindex(columns=list(self.features)).astype("float64")
        return ((values - self.mean) / self.spread.where(self.spread > 0)).fillna(0.0)

    def _blocks(self, features: pd.DataFrame) -> Iterator[pd.DataFrame]:
        step = max(1, _BLOCK_VALUES // len(self.features))
        for first in range(0, max(len(features), 1), step):
            yield features.iloc[first : first + step]


def because(policy: LearnedPolicy | None) -> str:
    """What decides a month by the setting `learned`, before why its segments are those they are."""
    if policy is None:
        return "no learned policy has been promoted yet, so this strategy decides"
    return (
        f"the learned policy of {policy.learned_in} gives the perks, and this strategy the segments"
    )


def updated(
    before: pd.DataFrame | None, found: Explored, judgement: Judgement, month: str
) -> tuple[pd.DataFrame, str]:
    """The rows of `gold/learned_policy` at the end of a month, and what became of it in words.

    `before` is the policy in service so far, which the judgement valued as `IN_SERVICE`.
    """
    if judgement.promoted:
        return _rows(found, judgement, month), f"The policy learned by {month} comes into service."
    if before is None or before.empty:
        return nothing(), "No policy is in service: none has been promoted."
    scores = judgement.scorecard
    single = scores[[str(name).startswith("always ") for name in scores.index]]
    if IN_SERVICE in scores.index and scores.loc[IN_SERVICE, "high"] < single["low"].max():
        return nothing(), "The policy in service is withdrawn: it brings less than a single choice."
    return before, f"The policy of {before['learned_in'].iloc[0]} stays in service."


def choices(policy: LearnedPolicy, found: Explored) -> pd.DataFrame:
    """What a policy would have given each customer of the log: `campaign`, `user_id`, `perk`."""
    names = list(found.log.actions)
    effects = policy.effects(found.log.features).reindex(columns=names, fill_value=-np.inf)
    best = found.log.best(effects.assign(**{NONE: 0.0}).to_numpy())
    return found.customers.assign(perk=np.array(names, dtype=object)[best])


def nothing() -> pd.DataFrame:
    """The table while no policy is in service."""
    return pd.DataFrame(columns=list(LEARNED_POLICY.column_names))


def _rows(found: Explored, judgement: Judgement, month: str) -> pd.DataFrame:
    policy, features = judgement.policy, found.log.features
    mean, spread = features.mean(), features.std(ddof=0)
    # What it expects is linear in each feature, so a step along each says all there is.
    steps = pd.DataFrame(mean.to_numpy() + np.diag(spread), columns=list(features))
    base = policy.effects(pd.DataFrame([mean]))[0]
    points = policy.effects(steps) - base
    rows = pd.DataFrame(
        [
            {
                "perk": perk,
                "feature": name,
                "mean": mean[name],
                "spread": spread[name],
                "points": float(points[row, place].round(9)),
                "base": float(base[place].round(9)),
            }
            for place, perk in enumerate(policy.actions)
            if perk != NONE
            for row, name in enumerate(features)
        ]
    ).assign(
        usual=float(judgement.scorecard.loc[f"always {NONE}", "value"]),
        reward=found.reward,
        customers=len(found.log),
        learned_in=month,
    )
    version = hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()[:12]
    return rows.assign(policy_version=version)[list(LEARNED_POLICY.column_names)]

"""What each way of choosing offers would be worth, from the customers whose offer was drawn.

The log is of closed campaigns: whoever was in exploration, where the offer was drawn among perks,
and the held-out, who were drawn to get none. Nothing else was left to chance, so nothing else can
say what another choice would have brought. Whoever is not eligible for a perk says nothing of it,
and no policy gives it to them. Of a perk that only some campaigns drew, their customers speak for
those of all. The reward is the margin of what a customer spent over the horizon less what their
offer cost, where the latest campaign knows both, else what they spent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from traveltide_assets.experiment.assignment import EXPLORATION, HOLDOUT
from traveltide_assets.experiment.campaign_outcomes import may_have
from traveltide_assets.experiment.learning import policy
from traveltide_assets.experiment.learning.log import Log
from traveltide_assets.experiment.learning.policy_promotion import Judgement, Learner, judge
from traveltide_assets.experiment.tables import POLICY_SCORECARD

NONE = "none"
INCUMBENT = "incumbent"
_METHODS = (policy.SAME_FOR_ALL, policy.LINEAR)
"""Effects that are sums over features: the policy is a table, and each decision has reasons."""

_FEWEST = 50
"""Customers per action below which nothing is learned."""

NET_MARGIN, REVENUE = "margin less cost", "revenue"
"""What may be the reward, in US dollars per customer."""

_REWARDS = {NET_MARGIN: "net_margin_usd", REVENUE: "revenue_capped_usd"}
_PLACE = ["campaign", "user_id"]
_DRAWN = ["arm", "arm_probability", "offer", "probability", "eligible"]


@dataclass(frozen=True)
class Explored:
    """The log, the campaign and customer of each of its rows, and what the reward is.

    `left_out` are perks that too few customers drew, with their number: nothing is learned of them.
    """

    log: Log
    customers: pd.DataFrame
    reward: str
    left_out: Mapping[str, int] = field(default_factory=dict)


def explored(outcomes: pd.DataFrame, features: pd.DataFrame) -> Explored | None:
    """The log of exploration; None if too few customers got nothing, or any perk (`too_few`).

    `outcomes` are rows of `gold/campaign_outcomes`, `features` those of `gold/user_features` with
    the campaign that they were known for; numbers are used, and yes and no as 1 and 0. A perk that
    too few customers drew is left out with them.
    """
    # Some features are called as an outcome is: completed trips.
    rows, reward = _rewarded(_drawn_of(outcomes))
    rows = rows.merge(features, on=_PLACE, how="inner").sort_values(_PLACE, ignore_index=True)
    rows["action"] = _actions(rows)
    sizes = rows.groupby("action")["user_id"].nunique()
    enough = sorted(set(sizes[sizes >= _FEWEST].index) - {NONE})
    if sizes.get(NONE, 0) < _FEWEST or not enough:
        return None
    actions = [NONE, *enough]
    kept = rows["action"].isin(actions)
    left_out = sizes.drop(actions).sort_index().to_dict()
    likely = _arm_share(rows) * rows["probability"]
    if left_out:
        likely /= _kept_chance(rows, left_out)
    rows, likely = rows[kept].reset_index(drop=True), likely[kept].to_numpy()
    known = rows[[name for name in features if name not in _PLACE]]
    known = known.select_dtypes(["number", "bool"]).astype("float64")
    log = _log(rows, likely, known.fillna(known.mean()).fillna(0.0), actions)
    return Explored(log, rows[_PLACE], reward, left_out)


def _log(rows: pd.DataFrame, likely: np.ndarray, features: pd.DataFrame, actions: list[str]) -> Log:
    """The log of these rows, of which each was `likely` within its campaign."""
    action = rows["action"]
    drawn_in = (pd.crosstab(rows["campaign"], action) > 0).loc[rows["campaign"], actions].to_numpy()
    perks = [may_have(rows["eligible"], perk) for perk in actions[1:]]
    may = np.column_stack([np.ones(len(rows), dtype=bool), *perks])
    # Whoever could get no perk gets none for certain, in either arm.
    certain = ~(drawn_in & may)[:, 1:].any(axis=1)
    # What only some campaigns drew is as rare in the log as they are.
    shares = drawn_in.mean(axis=0)[pd.Categorical(action, actions).codes]
    return Log.of(
        features,
        action,
        np.where(certain, 1.0, likely) * shares,
        rows["reward"],
        actions,
        may | ~drawn_in,
        # Draws are sticky: in the next campaign a customer is likely to have the same perk again.
        rows["user_id"],
    )


def too_few(outcomes: pd.DataFrame) -> str:
    """Why there is no log, in words."""
    rows, _ = _rewarded(_drawn_of(outcomes))
    sizes = rows["user_id"].groupby(_actions(rows)).nunique()
    if not len(sizes.drop(NONE, errors="ignore")):
        return "No closed campaign has offers that were drawn: there is nothing to learn from."
    if sizes.get(NONE, 0) < _FEWEST:
        who = f"only {sizes.get(NONE, 0)} customers were held out in them"
    else:
        who = f"no perk was drawn for more than {sizes.drop(NONE).max()} customers in them"
    return f"Nothing can be learned from closed campaigns yet: {who}, and {_FEWEST} are needed."


def _drawn_of(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The customers of closed campaigns of whom it was left to chance what they get."""
    drawn = outcomes["arm"].isin([EXPLORATION, HOLDOUT]) & outcomes["closed"].astype(bool)
    return outcomes[drawn & outcomes["arm_probability"].notna()]


def _actions(rows: pd.DataFrame) -> pd.Series:
    return rows["offer"].where(rows["arm"] == EXPLORATION, NONE)


def _rewarded(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows with a reward, all of the same kind, and which it is.

    Money is compared as soon as the latest campaign knows it; earlier ones that do not are left
    out.
    """
    known = rows["net_margin_usd"].notna().groupby(rows["campaign"]).all().sort_index()
    reward = NET_MARGIN if len(known) and known.iloc[-1] else REVENUE
    if reward == NET_MARGIN:
        rows = rows[rows["campaign"].map(known)]
    return rows[[*_PLACE, *_DRAWN]].assign(reward=rows[_REWARDS[reward]]), reward


def _arm_share(rows: pd.DataFrame) -> pd.Series:
    """How likely the arm of each row was, of the two of which the log is made."""
    arms = rows.groupby(["campaign", "arm"])["arm_probability"].first().groupby("campaign").sum()
    return rows["arm_probability"] / rows["campaign"].map(arms)


def _kept_chance(rows: pd.DataFrame, left_out: Collection[str]) -> pd.Series:
    """How likely each row's customer was to draw nothing that is left out."""
    chance = pd.Series(1.0, index=rows.index)
    exploring = rows[rows["arm"] == EXPLORATION]
    for _, drawn in exploring.groupby("campaign"):
        campaign = rows[rows["campaign"] == drawn["campaign"].iloc[0]]
        perks = sorted(set(drawn["action"]) - {NONE})
        may = pd.DataFrame({perk: may_have(campaign["eligible"], perk) for perk in perks})
        share = float(_arm_share(campaign)[drawn.index[0]])
        for could, alike in may.set_index(campaign.index).groupby(perks):
            eligible = may.columns[list(could)]
            lost = _lost(drawn[drawn.index.isin(alike.index)], eligible, left_out)
            chance[alike.index] -= share * lost
    return chance


def _lost(drawn: pd.DataFrame, eligible: pd.Index, left_out: Collection[str]) -> float:
    """How likely one of the perks left out was, among customers who could draw the same ones.

    The probability of a perk is known from whoever drew it; what nobody drew counts alike.
    """
    known = drawn.groupby("action")["probability"].first().reindex(eligible)
    rest = (1 - known.sum()) / max(int(known.isna().sum()), 1)
    return float(known.fillna(rest)[[perk for perk in eligible if perk in left_out]].sum())


def judged(
    found: Explored,
    choices: Mapping[str, pd.DataFrame],
    seed: int,
    learner: Learner | None = None,
) -> Judgement:
    """The judgement on a learned policy against every single perk, and against `choices`.

    Each of them has `campaign`, `user_id` and `perk`: whom a strategy would have offered what. One
    of them may be called `INCUMBENT`. Whoever it does not know, or who may not have
    its perk, gets none.
    """
    places = {name: place for place, name in enumerate(found.log.actions)}
    others = {
        name: found.log.within_reach(
            found.customers.merge(chosen, on=_PLACE, how="left")["perk"]
            .map(places)
            .fillna(places[NONE])
            .to_numpy(dtype="int64")
        )
        for name, chosen in choices.items()
    }
    incumbent = INCUMBENT if INCUMBENT in others else None
    return judge(
        found.log, others=others, incumbent=incumbent, seed=seed, learner=learner or learned
    )


def learned(log: Log, costs: Sequence[float] | np.ndarray | None, seed: int) -> policy.Policy:
    """The policy of campaigns: of those that a table can say, the one that brings most."""
    return policy.learn(log, costs, methods=_METHODS, seed=seed)


def in_words(found: Explored, judgement: Judgement) -> str:
    """The verdict, and what nothing is learned of."""
    said = [judgement.in_words]
    said += [
        f"Nothing is learned of {perk}: {customers:,} customers drew it, and {_FEWEST} are needed."
        for perk, customers in found.left_out.items()
    ]
    return " ".join(said)


def table(found: Explored, judgement: Judgement) -> pd.DataFrame:
    """One row per policy: see `gold/policy_scorecard`."""
    rows = judgement.scorecard.rename_axis("policy").reset_index()
    none = float(judgement.scorecard.loc[f"always {NONE}", "value"])
    return rows.assign(
        gain=rows["value"] - none,
        customers=len(found.log),
        reward=found.reward,
        verdict=judgement.verdict,
        in_words=in_words(found, judgement),
        rows_needed=np.nan if judgement.rows_needed is None else float(judgement.rows_needed),
    )[list(POLICY_SCORECARD.column_names)]


def nothing() -> pd.DataFrame:
    """The scorecard without exploration."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in POLICY_SCORECARD.column_names})

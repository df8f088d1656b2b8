"""What each way of choosing offers would be worth, from the customers whose offer was drawn.

The log is of closed campaigns: whoever was in exploration, where the offer was drawn among perks,
and the held-out, who were drawn to get none. Nothing else was left to chance, so nothing else can
say what another choice would have brought. Whoever is not eligible for a perk says nothing of it,
and no policy gives it to them. Of a perk that only some campaigns drew, their customers speak for
those of all. The reward is the margin of what a customer spent over the horizon less what their
offer cost, where the latest campaign knows both, else what they spent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
"""Customers per action below which nothing is learnt."""

NET_MARGIN, REVENUE = "margin less cost", "revenue"
"""What may be the reward, in US dollars per customer."""

_REWARDS = {NET_MARGIN: "net_margin_usd", REVENUE: "revenue_capped_usd"}
_PLACE = ["campaign", "user_id"]
_DRAWN = ["arm", "arm_probability", "offer", "probability", "eligible"]


@dataclass(frozen=True)
class Explored:
    """The log, the campaign and customer of each of its rows, and what the reward is."""

    log: Log
    customers: pd.DataFrame
    reward: str


def explored(outcomes: pd.DataFrame, features: pd.DataFrame) -> Explored | None:
    """The log of exploration; None if an action has too few customers, or there is none.

    `outcomes` are rows of `gold/campaign_outcomes`, `features` those of `gold/user_features` with
    the campaign that they were known for; numbers are used, and yes and no as 1 and 0.
    """
    drawn = outcomes["arm"].isin([EXPLORATION, HOLDOUT]) & outcomes["closed"].astype(bool)
    # Some features are called as an outcome is: completed trips.
    rows, reward = _rewarded(outcomes[drawn & outcomes["arm_probability"].notna()])
    rows = rows.merge(features, on=_PLACE, how="inner").sort_values(_PLACE, ignore_index=True)
    action = rows["offer"].where(rows["arm"] == EXPLORATION, NONE)
    sizes = action.value_counts()
    if len(sizes) < 2 or NONE not in sizes or sizes.min() < _FEWEST:
        return None
    actions = [NONE, *sorted(set(action) - {NONE})]
    drawn_in = (pd.crosstab(rows["campaign"], action) > 0).loc[rows["campaign"], actions].to_numpy()
    perks = [may_have(rows["eligible"], perk) for perk in actions[1:]]
    may = np.column_stack([np.ones(len(rows), dtype=bool), *perks])
    known = rows[[name for name in features if name not in _PLACE]]
    known = known.select_dtypes(["number", "bool"]).astype("float64")
    log = Log.of(
        known.fillna(known.mean()).fillna(0.0),
        action,
        _propensities(rows, pd.Categorical(action, actions).codes, drawn_in, may),
        rows["reward"],
        actions,
        may | ~drawn_in,
    )
    return Explored(log, rows[_PLACE], reward)


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


def _propensities(
    rows: pd.DataFrame, action: np.ndarray, drawn_in: np.ndarray, may: np.ndarray
) -> pd.Series:
    """How likely the offer of each row was, among those that the log is made of.

    `drawn_in` and `may` are rows by actions: whether the campaign drew it, and whether the customer
    may have it. Whoever could get no perk gets none for certain, in either arm.
    """
    arms = rows.groupby(["campaign", "arm"])["arm_probability"].first().groupby("campaign").sum()
    likely = rows["arm_probability"] * rows["probability"] / rows["campaign"].map(arms)
    certain = ~(drawn_in & may)[:, 1:].any(axis=1)
    # What only some campaigns drew is as rare in the log as they are.
    return likely.mask(certain, 1.0) * drawn_in.mean(axis=0)[action]


def judged(
    found: Explored,
    choices: Mapping[str, pd.DataFrame],
    seed: int,
    learner: Learner | None = None,
) -> Judgement:
    """The judgement on a learnt policy against every single perk, and against `choices`.

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
        found.log, others=others, incumbent=incumbent, seed=seed, learner=learner or learnt
    )


def learnt(log: Log, costs: Sequence[float] | np.ndarray | None, seed: int) -> policy.Policy:
    """The policy of campaigns: of those that a table can say, the one that brings most."""
    return policy.learn(log, costs, methods=_METHODS, seed=seed)


def table(found: Explored, judgement: Judgement) -> pd.DataFrame:
    """One row per policy: see `gold/policy_scorecard`."""
    rows = judgement.scorecard.rename_axis("policy").reset_index()
    none = float(judgement.scorecard.loc[f"always {NONE}", "value"])
    return rows.assign(
        gain=rows["value"] - none,
        customers=len(found.log),
        reward=found.reward,
        verdict=judgement.verdict,
        in_words=judgement.in_words,
        rows_needed=np.nan if judgement.rows_needed is None else float(judgement.rows_needed),
    )[list(POLICY_SCORECARD.column_names)]


def nothing() -> pd.DataFrame:
    """The scorecard without exploration."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in POLICY_SCORECARD.column_names})

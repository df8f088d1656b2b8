"""Who is invited with which offer, who is held out, and what changed since last month.

Customers on the suppression list, and those below the minimum age, are left out entirely. A share
of the others is held out: they get no invitation at all, which allows measuring the effect of
inviting. All remaining customers are contacted with their offer (`offers`), unless that is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from traveltide_assets.campaign.config import Config
from traveltide_assets.campaign.steady import HELD, SAME
from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.schema.months import end_of
from traveltide_assets.stats import bucketing

NEW, MOVED, DROPPED = "new", "moved", "dropped"
CHANGES = (NEW, MOVED, DROPPED)
_NOT_INVITED, _NO_LONGER = "not in last month's mailing", "not in this month's mailing"
_OFFERED = "the offer of the experiment's arm, or of its end"


def too_young(users: pd.DataFrame, minimum_age: int | None, month: str) -> frozenset[int]:
    """The customers who are not known to have an age on the last day of a month.

    `users` has `user_id` and `birthdate`. Nobody is too young without a minimum.
    """
    if minimum_age is None:
        return frozenset()
    latest = pd.Timestamp(end_of(month)) - pd.DateOffset(days=1) - pd.DateOffset(years=minimum_age)
    old_enough = pd.to_datetime(users["birthdate"]) <= latest
    return frozenset(users.loc[~old_enough, "user_id"].astype(int))


def allowed(users: pd.Series, suppressed: Suppressed) -> pd.Series:
    """Whether each customer may be contacted."""
    return ~users.isin(suppressed.users)


def drawn(users: Iterable[int], config: Config) -> np.ndarray:
    """What decides whether each customer is held out: a number that must reach the share.

    It is the same every month, whoever else there is.
    """
    return bucketing.draws(users, config.salt)


def held_out(users: pd.Series, config: Config) -> np.ndarray:
    """Whether each customer is held out."""
    return drawn(users, config) < config.holdout_share


def invite(
    assignments: pd.DataFrame,
    suppressed: Suppressed,
    config: Config,
    headlines: Mapping[str, str],
    offers: pd.Series | None,
) -> pd.DataFrame:
    """One row per customer not suppressed: `user_id`, `perk`, `headline`, `segment`, `holdout`.

    `offers` are the offers by `user_id`; without one it is the perk decided. That is also the perk
    of a held-out customer. An offer of nothing has no headline.
    """
    rows = assignments.loc[
        allowed(assignments["user_id"], suppressed), ["user_id", "perk", "segment"]
    ].sort_values("user_id", ignore_index=True)
    rows["holdout"] = held_out(rows["user_id"], config)
    if offers is not None:
        offered = rows["user_id"].map(offers)
        rows["perk"] = offered.where(offered.notna() & ~rows["holdout"], rows["perk"])
    return rows.assign(headline=rows["perk"].map({NO_OFFER: "", **headlines}))


def changed(
    campaign: pd.DataFrame,
    before: pd.DataFrame | None,
    suppressed: Suppressed,
    assigned: pd.DataFrame,
    otherwise: pd.Series,
) -> pd.DataFrame:
    """One row per customer whose offer changed since last month. `before` is last month's campaign.

    Empty without a campaign of last month. Customers suppressed since then have no row. `assigned`
    are the month's perks, which say why they are those of last month or are not. `otherwise` says
    why an offer is not the perk decided, by `user_id`, for those of whom the arm does not say it.
    """
    columns = ["user_id", "change", "perk_before", "perk", "reason"]
    if before is None:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns}).astype(
            {"user_id": "int64"}
        )
    earlier = written_to(before).rename(columns={"perk": "perk_before"})
    earlier = earlier.loc[allowed(earlier["user_id"], suppressed), ["user_id", "perk_before"]]
    both = earlier.merge(
        written_to(campaign)[["user_id", "perk"]],
        on="user_id",
        how="outer",
        validate="one_to_one",
    )
    was, now = both["perk_before"].notna(), both["perk"].notna()
    moved = both["perk_before"] != both["perk"]
    both["change"] = np.select([~was, ~now, moved], [NEW, DROPPED, MOVED], "")
    because = both["user_id"].map(assigned.set_index("user_id")["steadiness"])
    by_experiment = because.isin([SAME, HELD]) | because.isna()
    other = both["user_id"].map(otherwise)
    both["reason"] = np.select(
        [~was, other.notna(), ~now, by_experiment],
        [_NOT_INVITED, other, _NO_LONGER, _OFFERED],
        because,
    )
    return both.loc[both["change"] != "", columns].reset_index(drop=True)


def written_to(campaign: pd.DataFrame) -> pd.DataFrame:
    """The rows of a campaign that the mailing tool gets."""
    return campaign[~campaign["holdout"] & (campaign["perk"] != NO_OFFER)]

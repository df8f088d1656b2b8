"""Checks of the campaign: its columns, its recipients, its completeness and its checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from traveltide_assets.campaign import mailing
from traveltide_assets.campaign.invitations import too_young, written_to
from traveltide_assets.campaign.suppression import Suppressed, read_suppressed
from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity, Step
from traveltide_assets.lake.parquet_bytes import read_table

_CAMPAIGN = "gold/campaign"
_CHANGES = "gold/campaign_changes"
_ASSIGNMENTS = "gold/perk_assignments"
_USERS = "silver/users_processed"


def _only_allowed_columns(context: Context) -> Outcome:
    columns = {name: _columns(name, content) for name, content in _files(context).items()}
    wrong = {name: found for name, found in columns.items() if tuple(found) != mailing.COLUMNS}
    return Outcome(not wrong, {"files": wrong})


def _nobody_suppressed(context: Context) -> Outcome:
    """Also fails if the suppression list is not the one that the campaign was made with."""
    suppressed = _suppressed(context)
    users = {
        "campaign": context.lake.frame(_CAMPAIGN, context.month, ["user_id"])["user_id"],
        "changes": context.lake.frame(_CHANGES, context.month, ["user_id"])["user_id"],
        **_users(_files(context)),
    }
    rows = {name: int(each.isin(suppressed.users).sum()) for name, each in users.items()}
    found = {name: count for name, count in rows.items() if count}
    same_list = suppressed.digest == _facts(context)["suppression_list_sha256"]
    return Outcome(not found and same_list, {"rows": found, "list_unchanged_since": same_list})


def _list_is_of_our_customers(context: Context) -> Outcome:
    """A list of other ids, such as those of the mailing tool, would suppress nobody."""
    listed = read_suppressed(context.settings.campaign.suppression_file).users
    known = int(context.lake.frame(_USERS, columns=["user_id"])["user_id"].isin(listed).sum())
    problem = (
        f"none of the {len(listed):,} ids of the suppression list is a user_id of the source, so "
        "it suppresses nobody: likely they are the ids of another system"
    )
    facts = {"problem": problem, "listed": len(listed), "known": known}
    return Outcome(known > 0 or not listed, facts)


def _nobody_lost(context: Context) -> Outcome:
    campaign = context.lake.frame(_CAMPAIGN, context.month, ["user_id", "perk", "holdout"])
    silent = campaign.index.difference(written_to(campaign).index)
    assigned = context.lake.frame(_ASSIGNMENTS, context.month, ["user_id"])["user_id"]
    problems = lost(
        _users(_files(context)),
        campaign.loc[silent, "user_id"],
        _suppressed(context),
        assigned,
    )
    return Outcome(not any(problems.values()), problems)


def lost(
    files: Mapping[str, pd.Series],
    silent: pd.Series,
    suppressed: Suppressed,
    assigned: pd.Series,
) -> dict[str, int]:
    """Customers missing, repeated or without a perk, by file format.

    `silent` are those of the campaign who get no mail: held out, or offered nothing.
    The files of each format hold the whole campaign.
    """
    problems: dict[str, int] = {}
    for kind in ("csv", "parquet"):
        users = [found for name, found in files.items() if name.endswith(f".{kind}")]
        mailed = pd.concat(users) if users else pd.Series(dtype="int64")
        known = pd.concat([mailed, silent, assigned[assigned.isin(suppressed.users)]])
        problems |= {
            f"{kind}_missing": int((~assigned.isin(known)).sum()),
            f"{kind}_more_than_once": int(known.duplicated().sum()),
            f"{kind}_without_perk": int((~known.isin(assigned)).sum()),
        }
    return problems


def _checksums_match(context: Context) -> Outcome:
    perks = _facts(context)["perks"]
    expected = {file["name"]: file["sha256"] for perk in perks for file in perk["files"]}
    found = {name: hashlib.sha256(content).hexdigest() for name, content in _files(context).items()}
    names = {*expected, *found}
    differing = sorted(name for name in names if expected.get(name) != found.get(name))
    return Outcome(not differing, {"files": differing})


def _suppressed(context: Context) -> Suppressed:
    """The customers who must not be contacted: on the list, or below the minimum age."""
    users = context.lake.frame("gold/users_final", context.month, ["user_id", "birthdate"])
    young = too_young(users, context.settings.cohort.minimum_age, context.month)
    return read_suppressed(context.settings.campaign.suppression_file).with_others(young)


def _facts(context: Context) -> Any:
    return mailing.read_facts(context.lake, context.month)


def _files(context: Context) -> dict[str, bytes]:
    """The files to be sent, by name, made of the stored table as a release makes them."""
    return mailing.files(context.lake.frame(_CAMPAIGN, context.month))


def _columns(name: str, content: bytes) -> list[str]:
    if name.endswith(".csv"):
        return list(pd.read_csv(BytesIO(content), nrows=0).columns)
    return list(pq.read_schema(BytesIO(content)).names)


def _users(files: Mapping[str, bytes]) -> dict[str, pd.Series]:
    """The customers in each file. `allowed_columns` reports files without the column."""
    return {
        name: _user_ids(name, content)
        for name, content in files.items()
        if "user_id" in _columns(name, content)
    }


def _user_ids(name: str, content: bytes) -> pd.Series:
    if name.endswith(".csv"):
        return pd.read_csv(BytesIO(content), usecols=["user_id"])["user_id"]
    return read_table(content, ["user_id"]).to_pandas()["user_id"]


STEPS = (
    Step(
        "campaign",
        (_CAMPAIGN, _CHANGES),
        (
            Check(
                _CAMPAIGN,
                "allowed_columns",
                f"The files have the columns {', '.join(mailing.COLUMNS)} and no others.",
                Severity.ERROR,
                _only_allowed_columns,
                blocking=True,
            ),
            Check(
                _CAMPAIGN,
                "nobody_suppressed",
                "Nobody on the suppression list or below the minimum age is in the campaign, its "
                "files or its changes.",
                Severity.ERROR,
                _nobody_suppressed,
                blocking=True,
                after=(_CHANGES,),
            ),
            Check(
                _CAMPAIGN,
                "suppression_list_known",
                "The suppression list has a user_id that the source knows, if it has any.",
                Severity.WARNING,
                _list_is_of_our_customers,
            ),
            Check(
                _CAMPAIGN,
                "nothing_lost",
                "Every customer with a perk is mailed exactly once, held out, offered nothing, "
                "suppressed or below the minimum age.",
                Severity.ERROR,
                _nobody_lost,
                blocking=True,
                after=(_ASSIGNMENTS,),
            ),
            Check(
                _CAMPAIGN,
                "checksums",
                "The files made of the table match the checksums among its facts.",
                Severity.ERROR,
                _checksums_match,
                blocking=True,
            ),
        ),
    ),
)

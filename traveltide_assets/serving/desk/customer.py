"""The page *One customer*: the perk, why, what was offered when, and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from traveltide_assets.campaign import release_files, steady
from traveltide_assets.catalogue.perks import NO_OFFER, StoredPerk
from traveltide_assets.lake.release import Release
from traveltide_assets.report import phrases, reasons, verdicts, words
from traveltide_assets.report.dimensions import HELD_OUT, LEFT_OUT
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.serving.desk.decision import Decision, Decisions

_MONTHS = 12
_COUNTED = {
    "clicks": "click",
    "sign_ups": "sign-up",
    "redemptions": "redemption",
    "unsubscribed": "unsubscription",
    "bookings": "booking",
    "cancellations": "cancellation",
}
_ANSWERS = ["campaign", "user_id", *_COUNTED, "revenue_usd", "read_until", "closed"]
_AT_MONTHS_END = (
    "total_sessions",
    "total_trips",
    "completed_trips",
    "cancelled_trips",
    "total_spend",
)


def context(decisions: Decisions, decision: Decision, user_id: int) -> dict[str, Any] | None:
    """What the template shows; None if the customer is not in the cohort of the month."""
    release = decision.release
    given = _row(release, release_files.ASSIGNMENTS, user_id)
    features = _row(release, release_files.FEATURES, user_id)
    if given is None or features is None:
        return None
    mine, perk = decision.people.loc[user_id], decision.perks[given["perk"]]
    peers = (decision.assignments["segment"] == mine["segment"]).sum()
    values = pd.DataFrame(
        {
            "customer": features[decision.averages.index].astype("float64"),
            "segment": decision.averages_by_segment.loc[mine["segment"]],
            "cohort": decision.averages,
        }
    )
    judged, shown = decision.verdicts, decisions.months()[-_MONTHS:]
    came = _came_back(decisions, shown, user_id)
    return {
        "user_id": user_id,
        "perk": perk,
        "runner_up": decision.title(given["runner_up"]),
        "steadiness": _steadiness(given),
        "segment": mine["segment"],
        "segment_says": decision.says("segment", mine["segment"]),
        "peers": f"{peers:,}",
        "reasons": reasons.of_customer(perk, values, given["deciding_features"]),
        "verdict": None if judged is None else judged.get(perk.id, verdicts.not_tried()),
        "offer": _offer(decision, user_id),
        "contact": mine["contact"],
        "held_out": mine["contact"] == HELD_OUT,
        "left_out": mine["contact"] == LEFT_OUT,
        "because": _because(release, user_id),
        "arm": mine["arm"] if decision.facts["experiment"]["running"] else None,
        **_compared(decision, given, values),
        "months": [
            {**row, "came_back": came.get(m)}
            for m in shown
            if (row := _month(decisions, m, user_id))
        ],
        "answered": bool(came),
        "columns": [LABELS[name] for name in _AT_MONTHS_END],
    }


def _offer(decision: Decision, user_id: int) -> str | None:
    """The title of the perk that the customer is offered; None if nothing is sent."""
    if user_id not in decision.campaign.index:
        return None
    mine = decision.campaign.loc[user_id]
    return None if mine["holdout"] or mine["perk"] == NO_OFFER else decision.title(mine["perk"])


def _steadiness(given: pd.Series) -> str | None:
    """Why the perk is not simply the strategy's own, or was changed; None if it is the same."""
    said = given.get("steadiness")  # A release of an earlier version has none.
    return None if said is None or said in (steady.FIRST, steady.SAME) else str(said)


def _because(release: Release, user_id: int) -> str | None:
    """Why this was offered, and how likely it was if drawn; None if the release does not say."""
    if release_files.OFFERS not in release.names:
        return None
    mine = _row(release, release_files.OFFERS, user_id, ["because", "probability"])
    return None if mine is None else f"{mine['because']}{_drawn(mine)}"


def _drawn(offered: pd.Series) -> str:
    likely = offered["probability"]
    return f" (with a probability of {phrases.share(likely)})" if likely < 1 else ""


def _compared(
    decision: Decision, given: pd.Series, values: pd.DataFrame
) -> dict[str, list[dict[str, Any]]]:
    """The perks that the strategy can give and the others, the highest affinity first in each."""
    able, others = reasons.ranked(decision.perks, decision.assignments["perk"].unique(), given)
    return {
        "perks": _with_features(able, given, values),
        "other_perks": _with_features(others, given, values),
    }


def _with_features(
    perks: list[StoredPerk], given: pd.Series, values: pd.DataFrame
) -> list[dict[str, Any]]:
    return [
        {
            "title": perk.title,
            "affinity": _signed(given[f"affinity_{perk.id}"]),
            "features": [
                (
                    LABELS[name],
                    phrases.customers_number(name, values.loc[name, "customer"]),
                    phrases.number(name, values.loc[name, "segment"]),
                    phrases.number(name, values.loc[name, "cohort"]),
                )
                for name in perk.features
            ],
        }
        for perk in perks
    ]


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "\N{MINUS SIGN}")


def _month(decisions: Decisions, month: str, user_id: int) -> dict[str, Any] | None:
    """What a month's release says of the customer; None if it has nothing on them."""
    release = decisions.releases.current(month)
    assigned = _row(release, release_files.ASSIGNMENTS, user_id, ["segment", "perk"])
    if assigned is None:
        return None
    campaign = _row(release, release_files.CAMPAIGN, user_id, ["perk", "holdout"])
    features = _row(release, release_files.FEATURES, user_id, _AT_MONTHS_END)
    decision = Decision(release)  # Not kept: of each month, no more than this customer is read.
    if campaign is None:
        offer = "no mail: suppressed or too young"
    elif campaign["holdout"]:
        offer = "no mail: held out"
    elif campaign["perk"] == NO_OFFER:
        offer = "no mail: no perk is worth it, or none may be offered"
    else:
        offer = decision.title(campaign["perk"])
        because = _because(release, user_id)
        offer += "" if because is None else f": {because}"
    return {
        "month": words.month_name(month),
        "segment": decision.says("segment", assigned["segment"]),
        "perk": decision.title(assigned["perk"]),
        "offer": offer,
        "values": []
        if features is None
        else [phrases.customers_number(name, features[name]) for name in _AT_MONTHS_END],
    }


def _came_back(decisions: Decisions, months: list[str], user_id: int) -> dict[str, str]:
    """What is known of the customer's answer to each campaign, by the month that decided it.

    Each month reads the campaigns that are open or closed then, so the last one knows most.
    """
    said = {}
    for month in months:
        release = decisions.releases.current(month)
        if release_files.OUTCOMES in release.names:
            read = release.of_customer(release_files.OUTCOMES, user_id, _ANSWERS)
            for _, row in read.iterrows():
                said[str(row["campaign"])] = _answer(row)
    return said


def _answer(row: pd.Series) -> str:
    done = [words.counted(int(row[name]), one) for name, one in _COUNTED.items() if row[name]]
    if row["revenue_usd"]:
        done.append(f"{row['revenue_usd']:,.0f} USD")
    until = f"until {row['read_until']:%d %B %Y}{'' if row['closed'] else ', not over yet'}"
    return f"{words.listed(done) if done else 'nothing'} ({until})"


def _row(
    release: Release, name: str, user_id: int, columns: Sequence[str] | None = None
) -> pd.Series | None:
    found = release.of_customer(name, user_id, columns)
    return None if found.empty else found.iloc[0]

"""One card per segment: its customers, what sets them apart, their perk and the evidence for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.report import phrases, verdicts, words
from traveltide_assets.report.segment_words import called
from traveltide_assets.report.verdicts import Verdict
from traveltide_assets.segmentation.affinities import profiles
from traveltide_assets.segmentation.scaling import numeric, standardised

_TRAITS, _SENTENCES = 5, 3
_NOTABLE_SD = 0.2
_SAME_THING = 0.6
_CLEAR_SD, _SOME_SD = 0.5, 0.15
_AGE_STEP, _MONEY_STEP = 5, 100
# What the card says about the example, which is chosen by the same features.
_FACTS = (
    "age",
    "married",
    "has_children",
    "total_trips",
    "cancelled_trips",
    "total_nights",
    "total_checked_bags",
    "total_spend",
)
# The scores repeat what sessions, trips and spend say.
_SCORES = ("recency_score", "frequency_score", "monetary_score", "bargain_hunter_index")


@dataclass(frozen=True)
class Trait:
    """A feature in which a segment differs: its mean, everyone's, and the deviation in SD."""

    label: str
    value: str
    everybody: str
    deviation: float
    width: float


@dataclass(frozen=True)
class SegmentCard:
    """What the report says about a segment: `name` is what a marketer calls it."""

    segment: str
    name: str
    said: tuple[str, ...]
    customers: int
    share: str
    perk: Perk
    fit: str
    verdict: Verdict
    typical: tuple[str, ...]
    traits: tuple[Trait, ...]
    example: tuple[str, ...]


def build(
    features: pd.DataFrame,
    assignments: pd.DataFrame,
    perks: Mapping[str, Perk],
    judged: Mapping[str, Verdict],
) -> list[SegmentCard]:
    """The cards of the segments, largest first; the frames have one row per customer."""
    features = features.set_index("user_id", drop=False)
    values = numeric(features)
    deviations = standardised(values)
    profile = profiles(features, assignments.set_index("user_id")["segment"][features.index])
    alike = deviations.corr().abs()
    cards = []
    for segment, members in assignments.groupby("segment"):
        users = members["user_id"]
        perk = perks[members["perk"].mode()[0]]
        cards.append(
            SegmentCard(
                segment=str(segment),
                name=called(str(segment)),
                said=_said(values.loc[users].mean(), values.mean(), profile.loc[segment], alike),
                customers=len(members),
                share=words.percent(len(members) / len(assignments)),
                perk=perk,
                fit=_fit(perk, members.iloc[0], perks),
                verdict=judged.get(perk.id, verdicts.not_tried()),
                typical=_typical(features.loc[users]),
                traits=_traits(
                    values.loc[users].mean(), values.mean(), profile.loc[segment], alike
                ),
                example=_example(
                    features.loc[
                        _nearest_to_median(
                            deviations.loc[users, [name for name in _FACTS if name in deviations]]
                        )
                    ]
                ),
            )
        )
    return sorted(cards, key=lambda card: (-card.customers, card.segment))


def telling(profile: pd.DataFrame, alike: pd.DataFrame, count: int) -> list[str]:
    """The features in which the segments (rows) differ most, without those that repeat another.

    Where they differ in nothing worth mentioning, it is the feature in which they differ most.
    """
    strength = profile.abs().max()
    return _distinct(strength, alike)[:count] or [str(strength.idxmax())]


def _distinct(strength: pd.Series, alike: pd.DataFrame) -> list[str]:
    """Features from the strongest on, without those that repeat a stronger one."""
    chosen: list[str] = []
    for name in (
        strength.drop(list(_SCORES), errors="ignore")
        .sort_values(ascending=False, kind="stable")
        .index
    ):
        if strength[name] >= _NOTABLE_SD and (alike.loc[name, chosen] < _SAME_THING).all():
            chosen.append(str(name))
    return chosen


def _traits(
    mean: pd.Series, everybody: pd.Series, deviation: pd.Series, alike: pd.DataFrame
) -> tuple[Trait, ...]:
    names = _distinct(deviation.abs(), alike)[:_TRAITS]
    longest = max((abs(deviation[name]) for name in names), default=1.0)
    return tuple(
        Trait(
            label=words.FEATURES[name].label,
            value=words.feature(name, mean[name]),
            everybody=words.feature(name, everybody[name]),
            deviation=float(deviation[name]),
            width=float(50 * abs(deviation[name]) / max(longest, 1.0)),
        )
        for name in names
    )


def _said(
    mean: pd.Series, everybody: pd.Series, deviation: pd.Series, alike: pd.DataFrame
) -> tuple[str, ...]:
    """What sets them apart most, in sentences."""
    names = _distinct(deviation.abs(), alike)[:_SENTENCES]
    return tuple(phrases.of_segment(name, mean[name], everybody[name]) for name in names)


def _fit(perk: Perk, member: pd.Series, perks: Mapping[str, Perk]) -> str:
    """How clearly the segment's past behaviour points to the perk it is given."""
    affinity = float(member[f"affinity_{perk.id}"])
    habits = words.listed([words.FEATURES[name].label for name in perk.features])
    strength = f"{affinity:+.2f} standard deviations from the average customer"
    if affinity >= _CLEAR_SD:
        return f"Their past habits point clearly to this perk: {habits} ({strength})."
    if affinity >= _SOME_SD:
        return f"Their past habits point somewhat to this perk: {habits} ({strength})."
    other = perks[member["runner_up"]]
    rather = float(member[f"affinity_{other.id}"]) >= max(affinity, _SOME_SD)
    instead = f" They point more to: {other.title.lower()}." if rather else ""
    return f"Their past habits say little for this perk: {habits} ({strength}).{instead}"


def _typical(members: pd.DataFrame) -> tuple[str, ...]:
    trips, flights, stays = (
        float(members[name].sum()) for name in ("total_trips", "total_flights", "hotel_stays")
    )
    discounted = float((members["discounted_booking_rate"] * members["total_trips"]).sum())
    return (
        *_who(members, _MANY),
        f"{words.decimal(trips / len(members), 1)} trips booked in "
        f"{words.decimal(members['total_sessions'].mean(), 1)} sessions; "
        f"{words.percent(_per(members['cancelled_trips'].sum(), trips))} of the trips cancelled, "
        f"{words.percent(_per(discounted, trips))} booked with a discount",
        f"{words.decimal(_per(members['total_nights'].sum(), stays), 1)} nights per hotel stay, "
        f"{words.decimal(_per(members['total_checked_bags'].sum(), flights))} checked bags per "
        f"flight, ${members['total_spend'].mean():,.0f} spent in total",
    )


def _per(amount: float, opportunities: float) -> float:
    return amount / opportunities if opportunities else float("nan")


def _nearest_to_median(deviations: pd.DataFrame) -> int:
    """The member nearest the segment's median in the features of the example."""
    distance = np.square(deviations - deviations.median()).sum(axis=1)
    return int(distance.idxmin())


def _example(customer: pd.Series) -> tuple[str, ...]:
    """Facts rounded so far that no one can be recognised by them."""
    nights, bags = int(customer["total_nights"]), int(customer["total_checked_bags"])
    return (
        *_who(customer, _ONE),
        f"{words.counted(int(customer['total_trips']), 'trip')} booked, "
        f"{int(customer['cancelled_trips'])} cancelled",
        f"{words.counted(nights, 'hotel night')}, {words.counted(bags, 'checked bag')}",
        f"About ${_rounded(customer['total_spend'], _MONEY_STEP):,.0f} spent",
    )


def _who(known: Any, phrases: Mapping[str, Callable[[Any], str]]) -> list[str]:
    """A line on the profile, or none. Features that may not be used are not in the data."""
    said = [say(known[name]) for name, say in phrases.items() if name in known]
    return [", ".join(said)] if said else []


def _age(age: float) -> str:
    return f"About {_rounded(age, _AGE_STEP):.0f} years old" if pd.notna(age) else "Age unknown"


def _rounded(value: float, step: int) -> float:
    return round(value / step) * step


_MANY: dict[str, Callable[[Any], str]] = {
    "age": lambda ages: f"{ages.median():.0f} years old (median)",
    "married": lambda married: f"{words.percent(married.mean())} married",
    "has_children": lambda children: f"{words.percent(children.mean())} with children",
}
_ONE: dict[str, Callable[[Any], str]] = {
    "age": _age,
    "married": lambda married: "married" if married else "not married",
    "has_children": lambda children: "with children" if children else "without children",
}

"""Sentences about what customers do, as a marketer would say them: one phrase per feature.

A feature without a phrase is shown with its label, so a new feature needs no change here.
"""

from __future__ import annotations

import math
import re

from traveltide_assets.report import words
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.transforms.features.catalogue import CATALOGUE

_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

# The verb for one customer and for several, then the rest, with a place for the number.
_PHRASES: dict[str, tuple[str, str, str]] = {
    "total_sessions": ("has", "have", "{} sessions"),
    "session_cancellation_rate": ("cancels", "cancel", "a trip in {} of sessions"),
    "conversion_rate": ("books", "book", "in {} of sessions"),
    "discount_usage_rate": ("sees", "see", "a discount in {} of sessions"),
    "flight_discount_rate": ("sees", "see", "a flight discount in {} of sessions"),
    "hotel_discount_rate": ("sees", "see", "a hotel discount in {} of sessions"),
    "total_trips": ("books", "book", "{} trips"),
    "completed_trips": ("completes", "complete", "{} trips"),
    "upcoming_trips": ("has", "have", "{} trips ahead"),
    "cancelled_trips": ("cancels", "cancel", "{} trips"),
    "cancellation_rate": ("cancels", "cancel", "{} of booked trips"),
    "discounted_booking_rate": ("books", "book", "{} of trips with a discount"),
    "total_flights": ("books", "book", "{} flights"),
    "discounted_flight_rate": ("books", "book", "{} of flights with a discount"),
    "mean_seats": ("books", "book", "{} seats per flight"),
    "total_checked_bags": ("checks", "check", "{} bags"),
    "mean_checked_bags": ("checks", "check", "{} bags per flight"),
    "total_base_fare": ("spends", "spend", "{} on flights"),
    "mean_base_fare": ("pays", "pay", "{} per flight"),
    "total_distance_km": ("flies", "fly", "{} in all"),
    "mean_distance_km": ("flies", "fly", "{} per flight"),
    "long_haul_share": ("goes", "go", "long-haul on {} of flights"),
    "mean_lead_days": ("books", "book", "{} ahead"),
    "hotel_stays": ("books", "book", "{} hotel stays"),
    "distinct_hotels": ("stays", "stay", "at {} different hotels"),
    "total_nights": ("books", "book", "{} hotel nights"),
    "mean_nights": ("books", "book", "{} nights per stay"),
    "mean_rooms": ("books", "book", "{} rooms per stay"),
    "mean_room_price": ("pays", "pay", "{} per room and night"),
    "package_rate": ("books", "book", "flight and hotel together on {} of trips"),
    "total_spend": ("spends", "spend", "{} on flights and hotels"),
    "weekend_trip_share": ("travels", "travel", "over the weekend on {} of trips"),
    "short_solo_trip_share": ("travels", "travel", "alone and briefly on {} of trips"),
    "bargain_hunter_index": ("scores", "score", "{} for bargain hunting, from 0 to 1"),
}
# Yes-or-no facts: the phrase for a customer with it, for one without it, for several.
_FACTS = {
    "married": ("is married", "is not married", "are married"),
    "has_children": ("has children", "has no children", "have children"),
}
_WHOLE = {
    feature.name for feature in CATALOGUE if feature.type == "int64" and feature.unit != "USD"
}


def of_segment(name: str, segment: float, cohort: float) -> str:
    """A sentence on means: `They book 2.8 nights per stay; customers in the cohort book 1.9.`"""
    mean, everybody = number(name, segment), number(name, cohort)
    if name in _FACTS:
        return f"{mean} {_FACTS[name][-1]}; in the cohort {everybody}."
    if name not in _PHRASES:
        return f"{_sentence(LABELS[name])}: {mean}; in the cohort {everybody}."
    _, verb, rest = _PHRASES[name]
    return (
        f"They {verb} {rest.format(mean)}; "
        f"customers in the cohort {verb} {_through_number(rest).format(everybody)}."
    )


def of_customer(name: str, own: float, segment: float, cohort: float) -> str:
    """A sentence on a customer's value next to the means of the segment and the cohort."""
    mean, everybody = number(name, segment), number(name, cohort)
    if name in _FACTS:
        yes, no, several = _FACTS[name]
        said = _sentence(yes if own else no)
        return f"{said}; {mean} of the segment and {everybody} of the cohort {several}."
    value = customers_number(name, own)
    if name not in _PHRASES:
        label = _sentence(LABELS[name])
        return f"{label}: {value}; in the segment {mean}, in the cohort {everybody}."
    does, do, rest = _PHRASES[name]
    return (
        f"{_sentence(does)} {rest.format(value)}; "
        f"customers in the segment {do} {_through_number(rest).format(mean)}, "
        f"in the cohort {everybody}."
    )


def number(name: str, value: float) -> str:
    """A mean of a feature with its unit, as in the report. A dash if it is undefined."""
    text = plain(words.feature(name, value))
    return re.sub(r"[\d.]+", "0", text, count=1) if value == 0 else text


def plain(text: str) -> str:
    """A text of the report for a terminal: a percent sign stands at its number."""
    return text.replace(f"{_NO_BREAK_SPACE}%", "%")


def customers_number(name: str, value: float) -> str:
    """A customer's value of a feature with its unit. Counts are whole, facts are yes or no."""
    if name in _FACTS and not math.isnan(value):
        return "yes" if value else "no"
    text = number(name, value)
    if name in _WHOLE and text != words.NONE:
        _, blank, unit = text.partition(_NO_BREAK_SPACE)
        return f"{value:,.0f}{blank}{unit}"
    return text


def share(value: float, digits: int = 0) -> str:
    """A share as `39%`, as in the sentences."""
    return words.percent(value, digits).replace(f"{_NO_BREAK_SPACE}%", "%")


def _through_number(rest: str) -> str:
    return rest[: rest.index("{}") + 2]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

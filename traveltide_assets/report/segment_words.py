"""What a marketer calls a segment: `Low discounts seen` are customers who rarely see a discount.

Segments of clusters are named after their most unusual features. Others have names that people
gave them, which stay as they are. Lists and files keep the names that are stored.
"""

from __future__ import annotations

import re

from traveltide_assets.report import words
from traveltide_assets.segmentation import propensity, traits
from traveltide_assets.segmentation.naming import LABELS

# What customers do who are high, and who are low, in a feature.
_HABITS = {
    "total_sessions": ("visit often", "rarely visit"),
    "mean_page_clicks": ("click a lot", "click little"),
    "median_page_clicks": ("click a lot", "click little"),
    "mean_session_seconds": ("look around for long", "look around briefly"),
    "days_since_last_session": ("have been away for long", "were here recently"),
    "session_cancellation_rate": ("often come to cancel", "rarely come to cancel"),
    "conversion_rate": ("often book when they visit", "rarely book when they visit"),
    "discount_usage_rate": ("often see a discount", "rarely see a discount"),
    "flight_discount_rate": ("often see a flight discount", "rarely see a flight discount"),
    "hotel_discount_rate": ("often see a hotel discount", "rarely see a hotel discount"),
    "mean_flight_discount": ("see large flight discounts", "see small flight discounts"),
    "mean_hotel_discount": ("see large hotel discounts", "see small hotel discounts"),
    "total_trips": ("book many trips", "book few trips"),
    "completed_trips": ("completed many trips", "completed few trips"),
    "upcoming_trips": ("have trips ahead", "have no trip ahead"),
    "cancelled_trips": ("cancelled trips", "cancelled no trip"),
    "cancellation_rate": ("often cancel", "rarely cancel"),
    "discounted_booking_rate": ("often book with a discount", "rarely book with a discount"),
    "total_flights": ("fly often", "rarely fly"),
    "discounted_flight_rate": ("often fly with a discount", "rarely fly with a discount"),
    "mean_seats": ("book several seats at a time", "book for themselves alone"),
    "total_checked_bags": ("check many bags", "check few bags"),
    "mean_checked_bags": ("fly with much luggage", "fly with little luggage"),
    "total_base_fare": ("spend much on flights", "spend little on flights"),
    "mean_base_fare": ("pay much per flight", "pay little per flight"),
    "total_distance_km": ("have flown far", "have flown little"),
    "mean_distance_km": ("fly far", "fly short distances"),
    "long_haul_share": ("often fly long-haul", "rarely fly long-haul"),
    "mean_lead_days": ("book long ahead", "book shortly ahead"),
    "hotel_stays": ("often stay in hotels", "rarely stay in hotels"),
    "distinct_hotels": ("stay in many different hotels", "stay in few different hotels"),
    "total_nights": ("book many hotel nights", "book few hotel nights"),
    "mean_nights": ("stay long in hotels", "stay briefly in hotels"),
    "mean_rooms": ("book several rooms", "book one room"),
    "mean_room_price": ("pay much for a room", "pay little for a room"),
    "package_rate": ("book flight and hotel together", "book flight and hotel apart"),
    "total_spend": ("spend much", "spend little"),
    "weekend_trip_share": ("often travel at weekends", "rarely travel at weekends"),
    "short_solo_trip_share": ("often travel alone and briefly", "rarely travel alone and briefly"),
    "tenure_months": ("have been customers for long", "are new customers"),
    "bargain_hunter_index": ("hunt for bargains", "do not look for bargains"),
    "age": ("are older", "are younger"),
    "married": ("are mostly married", "are mostly not married"),
    "has_children": ("mostly have children", "mostly have no children"),
}
_BY_LABEL = {LABELS[name].lower(): habits for name, habits in _HABITS.items()}
_LABELS = {label.lower() for label in LABELS.values()}
_WHOLE_NAMES = {
    "Close to average": "Customers close to the average",
    propensity.NO_PREFERENCE: "Customers without a known preference",
    traits.NO_PREFERENCE: "Customers without a known preference",
}
_LIKELY = "Likely: "
_MOST_LIKELY = "Customers most likely to use: "
BRIEFLY = {_MOST_LIKELY: "likely: ", "Customers who ": "", "Customers ": ""}
"""What the beginning of a segment's words becomes where there is little room, as in a chart."""
# Names of segments of traits begin with an age, or with what customers have.
_AGES = re.compile(r"[0-9]+ (?:to [0-9]+|and over)\b")
_OF_TRAITS = ("Under ", "With ", "Without ")
_NUMBERED = re.compile(r"(?P<name>.+) (?P<number>[0-9]+)")


def called(segment: str) -> str:
    """`High checked bags, low trips booked` as `Customers who check many bags, book few trips`."""
    if segment in _WHOLE_NAMES:
        return _WHOLE_NAMES[segment]
    if _AGES.match(segment):
        return f"Customers aged {segment}"
    if segment.startswith(_OF_TRAITS):
        return f"Customers {segment[:1].lower()}{segment[1:]}"
    if segment.startswith(_LIKELY):
        return f"{_MOST_LIKELY}{segment.removeprefix(_LIKELY).lower()}"
    numbered = _NUMBERED.fullmatch(segment)
    name, number = (numbered["name"], f" ({numbered['number']})") if numbered else (segment, "")
    habits = [_habit(part) for part in name.lower().split(", ")]
    said = [habit for habit in habits if habit]
    if len(said) < len(habits):
        return segment
    return f"Customers who {words.listed(said)}{number}"


def _habit(part: str) -> str | None:
    """`high checked bags` as `check many bags`; None if a part is not of a cluster's name."""
    level, _, label = part.partition(" ")
    if level not in ("high", "low") or label not in _LABELS:
        return None
    high, low = _BY_LABEL.get(label, (f"have a high {label}", f"have a low {label}"))
    return high if level == "high" else low

"""Names and numbers as the report writes them: with units, and rounded to what a reader can use."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from traveltide_assets.catalogue.perks import NO_OUTCOME
from traveltide_assets.schema.months import end_of, start_of
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets.transforms.outcomes import OUTCOMES

NONE = "\N{EN DASH}"
_SPACE = "\N{NO-BREAK SPACE}"
FEATURES = {feature.name: feature for feature in CATALOGUE}
OUTCOME_NAMES = {
    **{outcome.name: outcome.description for outcome in OUTCOMES},
    NO_OUTCOME: "no behaviour speaks to it",
}
_OUTCOME_FORMATS = {
    "nights_per_stay": "{:.1f}",
    "bags_per_flight": "{:.2f}",
    "km_per_flight": "{:,.0f} km",
    "spend_per_trip": "${:,.0f}",
}
_UNITS = {"km": "km", "years": "years", "days": "days", "seconds": "s", "months": "months"}
_SMALL_SHARE = 0.1
_SHARES = ("share", "share of fare", "share of price", "yes or no")


def percent(share: float, digits: int = 0) -> str:
    return NONE if math.isnan(share) else f"{100 * share:.{digits}f}{_SPACE}%"


def decimal(value: float, digits: int = 2) -> str:
    return NONE if math.isnan(value) else f"{value:,.{digits}f}"


def feature(name: str, value: float) -> str:
    """A value of a feature with its unit, rounded to what a reader can use."""
    if math.isnan(value):
        return NONE
    unit = FEATURES[name].unit
    if unit in _SHARES:
        return percent(value, digits=1 if abs(value) < _SMALL_SHARE else 0)
    if unit == "USD":
        return f"${value:,.0f}"
    size = f"{value:,.{_decimals(value)}f}"
    return f"{size}{_SPACE}{_UNITS[unit]}" if unit in _UNITS else size


def _decimals(value: float) -> int:
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 2


def outcome(name: str, value: float) -> str:
    """A mean of an outcome; most outcomes are shares."""
    if math.isnan(value):
        return NONE
    return _OUTCOME_FORMATS[name].format(value) if name in _OUTCOME_FORMATS else percent(value, 1)


def times(lift: float, low: float, high: float) -> str:
    return f"a lift of {decimal(lift)} (95{_SPACE}% interval {decimal(low)} to {decimal(high)})"


def interval(low: float, high: float) -> str:
    return NONE if math.isnan(low) else f"{decimal(low)} to {decimal(high)}"


def month_name(month: str) -> str:
    return f"{start_of(month):%B %Y}"


def last_day(month: str) -> str:
    """The last day of a month, as `30 April 2023`."""
    day = end_of(month) - dt.timedelta(days=1)
    return f"{day.day} {day:%B %Y}"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`; a dash if there are none."""
    if not names:
        return NONE
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

"""What customers can be grouped and selected by: each dimension with its groups, declared once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

UNKNOWN = "unknown"
_RANGE = re.compile(r"(?P<low>[0-9]{1,12})(?P<dots>\.\.(?P<high>[0-9]{1,12})?)?")
Range = tuple[int, int | None]
"""From, and up to and including; None is without end."""


@dataclass(frozen=True)
class Dimension:
    """Something that customers differ in.

    `column` is a column of `Decision.people`. `ranges` are the groups of a number, in order, from 0
    on and without gaps; without them, each value is a group. A number belongs to a range by its
    whole part, so 2.5 nights are in `1..2`. `order` are the groups that come first, in this order;
    the others follow by size. `shown` says whether the page *Customers* draws it.
    """

    key: str
    label: str
    column: str
    unit: str = ""
    ranges: tuple[Range, ...] = ()
    order: tuple[str, ...] = ()
    shown: bool = True

    @property
    def numeric(self) -> bool:
        return bool(self.ranges)

    def groups(self, values: pd.Series) -> list[str]:
        """The groups that the values are in, as they are written in a selection."""
        if self.numeric:
            return [*map(written, self.ranges), UNKNOWN]
        sizes = values.value_counts().loc[lambda counted: counted > 0]
        found = sorted(map(str, sizes.index), key=lambda group: (-sizes[group], group))
        return [g for g in self.order if g in found] + [g for g in found if g not in self.order]

    def codes(self, values: pd.Series, groups: Sequence[str]) -> np.ndarray:
        """The position in `groups` of each value."""
        if not self.numeric:
            known = values.astype("category").cat
            places = pd.Index(groups).get_indexer(known.categories)
            return np.append(places, -1)[known.codes].astype("int32")
        whole = np.floor(values.to_numpy("float64", na_value=np.nan))
        starts = [low for low, _ in self.ranges]
        places = np.searchsorted(starts, np.nan_to_num(whole), side="right") - 1
        return np.where(np.isnan(whole), len(self.ranges), np.maximum(places, 0)).astype("int32")

    def says(self, group: str) -> str:
        """A group in words."""
        if not self.numeric or group == UNKNOWN:
            return group
        low, high = read_range(group)
        if high is None:
            return f"{self._number(low)} or more"
        if low == high:
            return self._number(low)
        return f"{self._number(low)}\N{EN DASH}{self._number(high)}" if low else self._below(high)

    def _number(self, value: int) -> str:
        return f"${value:,}" if self.unit == "USD" else f"{value:,}"

    def _below(self, high: int) -> str:
        return f"under {self._number(high + 1)}"


def written(bounds: Range) -> str:
    """A range as a selection writes it: `35..44`, `65..` or `3`."""
    low, high = bounds
    return f"{low}.." if high is None else f"{low}" if low == high else f"{low}..{high}"


def read_range(text: str) -> Range:
    """A range as it is written. `ValueError` if it is none."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no range")
    low = int(found["low"])
    high = (int(found["high"]) if found["high"] else None) if found["dots"] else low
    if high is not None and high < low:
        raise ValueError(f"{text} is no range")
    return low, high


def within(values: np.ndarray, bounds: Range) -> np.ndarray:
    """Whether the whole part of each number is in a range."""
    low, high = bounds
    return (values >= low) & (values < (math.inf if high is None else high + 1))


def _steps(*starts: int) -> tuple[Range, ...]:
    """Ranges from each start to the next one; the last is without end."""
    return tuple(
        (low, high) for low, high in zip(starts, [*(s - 1 for s in starts[1:]), None], strict=True)
    )


FAMILIES = ("single", "married", "single with children", "married with children")
WRITTEN_TO, HELD_OUT, LEFT_OUT = "written to", "held out", "left out"
NOTHING = "offered nothing"
NO_ARM, NO_CHANGE = "none", "unchanged"
DIMENSIONS = (
    Dimension("segment", "Segment", "segment"),
    Dimension("perk", "Perk", "perk"),
    Dimension("age", "Age", "age", "years", _steps(0, 25, 35, 45, 55, 65)),
    Dimension("family", "Family", "family", order=FAMILIES),
    Dimension(
        "spend", "Spend", "total_spend", "USD", _steps(0, 1, 1_000, 2_000, 3_000, 5_000, 10_000)
    ),
    Dimension("trips", "Trips booked", "total_trips", "trips", _steps(0, 1, 2, 3, 4, 5, 7)),
    Dimension("nights", "Nights per stay", "mean_nights", "nights", _steps(0, 2, 3, 4, 5, 7, 10)),
    Dimension("bags", "Checked bags", "total_checked_bags", "bags", _steps(0, 1, 2, 3, 4, 6)),
    Dimension(
        "lead", "Days booked ahead", "mean_lead_days", "days", _steps(0, 4, 7, 10, 14, 30, 90)
    ),
    Dimension("country", "Country", "home_country"),
    Dimension(
        "change",
        "Offer compared with last month",
        "change",
        order=(NO_CHANGE, "new", "moved", "dropped"),
        shown=False,
    ),
    Dimension("arm", "Arm of the experiment", "arm", shown=False),
    Dimension(
        "contact",
        "Contact",
        "contact",
        order=(WRITTEN_TO, HELD_OUT, NOTHING, LEFT_OUT),
        shown=False,
    ),
)
AVERAGES = (
    "age",
    "has_children",
    "married",
    "total_sessions",
    "total_trips",
    "total_spend",
    "mean_nights",
    "total_checked_bags",
    "mean_lead_days",
    "cancellation_rate",
    "discounted_booking_rate",
)
"""Features whose means of a group stand beside those of all customers."""
BY_KEY = {dimension.key: dimension for dimension in DIMENSIONS}


def families(married: np.ndarray, children: np.ndarray) -> pd.Categorical:
    """The family of each customer, one of `FAMILIES`."""
    return pd.Categorical.from_codes(married.astype(bool) + 2 * children.astype(bool), FAMILIES)

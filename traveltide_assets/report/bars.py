"""Bars of the exploration drawn as HTML tables, which screen readers and printers can read too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from traveltide_assets.report import words

_COUNT: Callable[[float], str] = "{:,.0f}".format


@dataclass(frozen=True)
class Bar:
    label: str
    text: str
    width: float


@dataclass(frozen=True)
class BarTable:
    """Bars of one measure by group; the longest bar fills the width."""

    title: str
    group: str
    measure: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class _Shown:
    """One table of bars: a measure of a breakdown in the exploration, and its format."""

    title: str
    topic: str
    breakdown: str
    measure: str
    unit: str
    text: Callable[[float], str]
    with_share: bool = False


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s"


def _tenths(share: float) -> str:
    return words.percent(share, 1)


_SHOWN = (
    _Shown("Age", "customers", "age", "count", "customers", _COUNT, True),
    _Shown("Marriage", "customers", "marriage", "count", "customers", _COUNT, True),
    _Shown("Children", "customers", "children", "count", "customers", _COUNT, True),
    _Shown("Country", "customers", "country", "count", "customers", _COUNT, True),
    _Shown("What is booked", "bookings", "kind", "count", "trips", _COUNT, True),
    _Shown("Do they book?", "sessions", "result", "count", "sessions", _COUNT, True),
    _Shown("Clicks in a session", "sessions", "result", "median_clicks", "median clicks", _COUNT),
    _Shown(
        "Length of a session", "sessions", "result", "median_seconds", "median seconds", _length
    ),
    _Shown(
        "Flight discount shown",
        "discounts",
        "flight",
        "shown_share",
        "of sessions",
        _tenths,
    ),
    _Shown(
        "Hotel discount shown",
        "discounts",
        "hotel",
        "shown_share",
        "of sessions",
        _tenths,
    ),
    _Shown(
        "Size of flight discounts",
        "discounts",
        "flight",
        "mean_amount",
        "mean, of the fare",
        _tenths,
    ),
    _Shown(
        "Size of hotel discounts",
        "discounts",
        "hotel",
        "mean_amount",
        "mean, of the price",
        _tenths,
    ),
    _Shown(
        "Cancelled, by distance",
        "cancellations",
        "distance",
        "cancelled_share",
        "of booked flights",
        _tenths,
    ),
    _Shown(
        "Cancelled, by days booked ahead",
        "cancellations",
        "lead time",
        "cancelled_share",
        "of booked trips",
        _tenths,
    ),
    _Shown("Destinations", "favourites", "destination", "count", "trips", _COUNT, True),
    _Shown("Hotels", "favourites", "hotel", "count", "stays", _COUNT, True),
    _Shown("Airlines", "favourites", "airline", "count", "flights", _COUNT, True),
)
_NAMES = {"usa": "United States", "canada": "Canada", "package": "flight and hotel"}


def build(exploration: pd.DataFrame) -> list[BarTable]:
    """The bars of the exploration table, without the months."""
    cells = exploration.set_index(["topic", "breakdown", "measure"]).sort_index()
    return [_table(cells, shown) for shown in _SHOWN if _key(shown) in cells.index]


def by_month(exploration: pd.DataFrame) -> pd.DataFrame:
    """Sessions, bookings and cancellations (columns) by month (index)."""
    seasons = exploration[exploration["topic"] == "seasons"]
    table = seasons.pivot_table(index="group", columns="measure", values="value", sort=True)
    return table.rename(columns={"count": "sessions"})[["sessions", "bookings", "cancellations"]]


def _key(shown: _Shown) -> tuple[str, str, str]:
    return shown.topic, shown.breakdown, shown.measure


def _table(cells: pd.DataFrame, shown: _Shown) -> BarTable:
    rows = cells.loc[[_key(shown)]].sort_values("position")
    shares = cells.loc[[(shown.topic, shown.breakdown, "share")]].set_index("group")["value"]
    longest = rows["value"].max()
    bars = []
    for group, value in zip(rows["group"], rows["value"], strict=True):
        share = f" ({words.percent(shares[group])})" if shown.with_share else ""
        bars.append(
            Bar(
                label=_label(group, shown.breakdown),
                text=words.NONE if pd.isna(value) else f"{shown.text(value)}{share}",
                width=0.0 if pd.isna(value) or not longest else float(100 * value / longest),
            )
        )
    return BarTable(shown.title, shown.breakdown, shown.unit, tuple(bars))


def _label(group: str, breakdown: str) -> str:
    return group.title() if breakdown == "destination" else _NAMES.get(group, group)

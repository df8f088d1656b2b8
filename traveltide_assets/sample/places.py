"""The cities, airports and airlines of the sample, and distances between places.

`places.csv` has a row per airport: its coordinates, which are public facts, and how often users
live near it or fly to it. As in the real data, a destination has the coordinates of one canonical
point per city (here its first airport), whichever of its airports the flight goes to.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import pyarrow as pa

from traveltide_assets.sample.draws import Floats, Ints

EARTH_RADIUS_KM = 6371.0
HOME_COUNTRIES = ("usa", "canada")


@dataclass(frozen=True)
class Places:
    """The airports by column. `point` is the row with the canonical coordinates of the city."""

    city: pa.Array
    country: pa.Array
    airport: pa.Array
    latitude_text: pa.Array
    longitude_text: pa.Array
    latitude: Floats
    longitude: Floats
    city_code: Ints
    point: Ints
    market: Ints
    home_weight: Floats
    near_weight: Floats
    overseas_weight: Floats

    def distance_km(self, home: Ints, destination: Ints) -> Floats:
        """Great-circle distance from home airports to the points of the destination cities."""
        to = self.point[destination]
        return haversine_km(
            self.latitude[home], self.longitude[home], self.latitude[to], self.longitude[to]
        )


@dataclass(frozen=True)
class Airlines:
    """Names of the airlines and their weight in each market: usa, canada, overseas."""

    name: pa.Array
    weights: tuple[Floats, Floats, Floats]


def haversine_km(lat_a: Floats, lon_a: Floats, lat_b: Floats, lon_b: Floats) -> Floats:
    """Great-circle distance in kilometres between points given in degrees."""
    lat_a, lon_a, lat_b, lon_b = (np.radians(angle) for angle in (lat_a, lon_a, lat_b, lon_b))
    half_chord = (
        np.sin((lat_b - lat_a) / 2) ** 2
        + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    )
    distance: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(half_chord))
    return distance


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = files("traveltide_assets.sample").joinpath(name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())


@cache
def load_places() -> Places:
    """The airports of `places.csv`."""
    rows = list(_rows("places.csv"))

    def text(column: str) -> pa.Array:
        return pa.array([row[column] for row in rows], pa.string())

    def numbers(column: str) -> Floats:
        return np.array([float(row[column]) for row in rows])

    first_of: dict[tuple[str, str], int] = {}
    for position, row in enumerate(rows):
        first_of.setdefault((row["city"], row["country"]), position)
    cities = {city: code for code, city in enumerate(dict.fromkeys(row["city"] for row in rows))}
    markets = [(*HOME_COUNTRIES, row["country"]).index(row["country"]) for row in rows]
    overseas = np.array(markets) == len(HOME_COUNTRIES)
    weight = numbers("destination_weight")
    return Places(
        city=text("city"),
        country=text("country"),
        airport=text("airport"),
        latitude_text=text("latitude"),
        longitude_text=text("longitude"),
        latitude=numbers("latitude"),
        longitude=numbers("longitude"),
        city_code=np.array([cities[row["city"]] for row in rows]),
        point=np.array([first_of[row["city"], row["country"]] for row in rows]),
        market=np.array(markets),
        home_weight=numbers("home_weight"),
        near_weight=np.where(overseas, 0.0, weight),
        overseas_weight=np.where(overseas, weight, 0.0),
    )


@cache
def load_airlines() -> Airlines:
    """The airlines of `airlines.csv`."""
    rows = list(_rows("airlines.csv"))
    usa, canada, overseas = (
        np.array([float(row[market]) for row in rows]) for market in ("usa", "canada", "overseas")
    )
    return Airlines(pa.array([row["airline"] for row in rows]), (usa, canada, overseas))

"""The users: who they are, where they live and when they signed up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from traveltide_assets.sample import populations
from traveltide_assets.sample.draws import Flags, Floats, Ints, Times, by_kind, pick, pick_from
from traveltide_assets.sample.places import load_places
from traveltide_assets.sample.populations import ACTIVE, POPULATIONS, REGULAR
from traveltide_assets.sample.spec import PERKS, SampleSpec


@dataclass(frozen=True)
class People:
    """One chunk of users; all arrays have one element per user, in the order of `user_id`."""

    user_id: Ints
    active: Flags
    favourite: Ints
    """Position in `PERKS`."""
    gender: Ints
    birthdate: Times
    age: Floats
    """Age in years on the last day of the data."""
    married: Flags
    has_children: Flags
    home: Ints
    """Row of the home airport in the places."""
    sign_up: Times
    tenure: Floats
    """Share of all regular users who signed up later than this user."""

    @property
    def age_group(self) -> Ints:
        """Position in the tables by age group of the populations."""
        return np.searchsorted(populations.AGE_GROUPS, self.age)

    def alike(self) -> People:
        """The same users, all behaving like a single person of middle age without children."""
        nobody = np.zeros(len(self.age), dtype=bool)
        age = np.full(len(self.age), populations.MIDDLE_AGE)
        return replace(self, age=age, married=nobody, has_children=nobody)

    def favours(self, perk: str, users: Ints) -> Flags:
        """Whether the given perk is the favourite of the users at these positions."""
        favoured: Flags = self.favourite[users] == PERKS.index(perk)
        return favoured


@cache
def _sign_up_weights(sign_ups: tuple[float, ...]) -> Floats:
    """Share of the sign-ups on each day, evenly spread within the months."""
    days = np.arange(populations.FIRST_SIGN_UP, populations.LAST_SIGN_UP + 1)
    months = days.astype("datetime64[M]").astype(np.int64)
    months -= months[0]
    weights = np.asarray(sign_ups)[months] / np.bincount(months)[months]
    shares: Floats = weights / weights.sum()
    return shares


def make_people(
    spec: SampleSpec, first: int, count: int, rng: np.random.Generator, perk: np.random.Generator
) -> People:
    """The users at positions `first` to `first + count` of the sample.

    `perk` is a separate random stream for the favourite perks.
    """
    position = np.arange(first, first + count)
    regular = _sign_up_weights(REGULAR.sign_ups) * (1 - spec.active_share)
    active = _sign_up_weights(ACTIVE.sign_ups) * spec.active_share
    # Identifiers grow with the sign-up date, so a user's rank among all users gives the date.
    edges = np.cumsum(regular + active)
    rank = (position + rng.random(count)) / spec.users
    day = np.minimum(np.searchsorted(edges, rank * edges[-1], side="right"), len(edges) - 1)
    is_active = rng.random(count) * (regular + active)[day] < active[day]
    tenure = 1.0 - np.cumsum(_sign_up_weights(REGULAR.sign_ups))[day]

    birthdate = _birthdates(is_active, rng)
    age = (populations.LAST_DAY - birthdate).astype(np.float64) / 365.25
    group = np.searchsorted(populations.AGE_GROUPS, age)
    marriages = by_kind([kind.marriages for kind in POPULATIONS], is_active)
    married = rng.random(count) < np.asarray(populations.MARRIED)[group] * marriages
    parents = np.array([populations.CHILDREN_OF_SINGLE, populations.CHILDREN_OF_MARRIED])
    return People(
        user_id=position + 1,
        active=is_active,
        favourite=perk.integers(len(PERKS), size=count),
        gender=pick_from(rng, [kind.genders for kind in POPULATIONS], is_active),
        birthdate=birthdate,
        age=age,
        married=married,
        has_children=rng.random(count) < parents[married.astype(np.int64), group],
        home=pick(rng, load_places().home_weight, count),
        sign_up=populations.FIRST_SIGN_UP + day,
        tenure=tenure,
    )


def _birthdates(active: Flags, rng: np.random.Generator) -> Times:
    """Dates of birth. Nobody is born after 2006: later years are moved to 2006."""
    count = len(active)
    ages = np.interp(rng.random(count), populations.ACTIVE_AGE_SHARES, populations.ACTIVE_AGES)
    born = np.where(
        active,
        populations.LAST_YEAR - ages,
        rng.normal(populations.BIRTH_YEAR_MEAN, populations.BIRTH_YEAR_SD, count),
    )
    in_year = rng.random(count)
    youngest = born >= populations.YOUNGEST_BIRTH_YEAR
    born = np.where(youngest, populations.YOUNGEST_BIRTH_YEAR + in_year, born)
    born = np.maximum(born, populations.OLDEST_BIRTH_YEAR)
    year = np.floor(born)
    new_year = (year.astype(np.int64) - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    return new_year + ((born - year) * 365).astype(np.int64)

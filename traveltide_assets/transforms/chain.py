"""From silver to features: the one chain of steps for every snapshot of the cohort.

The assets run the steps one by one and store each result. The back-test, newcomers and the scoring
service run the last two steps on fewer sessions. Benchmarks and column lineage run all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import ibis
from ibis.common.deferred import Deferred

from traveltide_assets.transforms import cohort
from traveltide_assets.transforms.config import LONG_LEAD_DAYS, Config
from traveltide_assets.transforms.copies import Month
from traveltide_assets.transforms.features.build import Catalogue, compared, measured
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets.transforms.trips import bookings_of, build_trips

Hold = Callable[[ibis.Table], AbstractContextManager[ibis.Table]]
"""A context manager that keeps an intermediate table, because it is read several times."""

Tables = Mapping[str, ibis.Table]


@dataclass(frozen=True)
class Step:
    """One table of gold: its name, the paths of its inputs, and how it is computed.

    `compute` takes the input tables by name, the cohort rule, the month and a `Hold`.
    """

    name: str
    inputs: Mapping[str, str]
    compute: Callable[[Tables, Config, str, Hold], AbstractContextManager[ibis.Table]]

    @property
    def path(self) -> str:
        return f"gold/{self.name}"


def cached(table: ibis.Table) -> AbstractContextManager[ibis.Table]:
    """A `Hold` that computes the table once; for tables of an engine."""
    return table.cache()


def repeated(table: ibis.Table) -> AbstractContextManager[ibis.Table]:
    """A `Hold` that keeps the table an expression, computed each time it is read."""
    return nullcontext(table)


def features_of(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    month: Month,
    within: Deferred | None = None,
    long_lead_days: int = LONG_LEAD_DAYS,
    catalogue: Catalogue = CATALOGUE,
    everybody: bool = False,
) -> ibis.Table:
    """One row per user of these sessions: the catalogue from these alone, as an expression.

    With `everybody`, users without a session have a row too. See `features.build` for `within` and
    `long_lead_days`.
    """
    known = users if everybody else users.semi_join(sessions, "user_id")
    trips = build_trips(bookings_of(sessions), known, flights, hotels, month)
    measures = measured(known, sessions, trips, month, long_lead_days, catalogue)
    return compared(measures, within, catalogue)


@contextmanager
def _users(t: Tables, rule: Config, month: str, hold: Hold) -> Iterator[ibis.Table]:
    yield cohort.cohort_users(t["users"], t["sessions"], rule, month)


@contextmanager
def _sessions(t: Tables, rule: Config, month: str, hold: Hold) -> Iterator[ibis.Table]:
    yield cohort.cohort_sessions(t["sessions"], t["users"], rule, month)


@contextmanager
def _named_by_cohort(t: Tables, rule: Config, month: str, hold: Hold) -> Iterator[ibis.Table]:
    yield cohort.named_by(t["table"], t["sessions"])


@contextmanager
def _trips(t: Tables, rule: Config, month: str, hold: Hold) -> Iterator[ibis.Table]:
    with hold(bookings_of(t["sessions"])) as bookings:
        yield build_trips(bookings, t["users"], t["flights"], t["hotels"], month)


@contextmanager
def _features(t: Tables, rule: Config, month: str, hold: Hold) -> Iterator[ibis.Table]:
    # `compared` reads it twice.
    found = measured(t["users"], t["sessions"], t["trips"], month, rule.long_lead_days)
    with hold(found) as found:
        yield compared(found)


def _final(*names: str) -> dict[str, str]:
    return {name: f"gold/{name}_final" for name in names}


_SESSIONS = "silver/sessions_processed"
STEPS = (
    Step("users_final", {"users": "silver/users_processed", "sessions": _SESSIONS}, _users),
    Step("sessions_final", {"sessions": _SESSIONS, **_final("users")}, _sessions),
    Step(
        "flights_final",
        {"table": "silver/flights_processed", **_final("sessions")},
        _named_by_cohort,
    ),
    Step(
        "hotels_final",
        {"table": "silver/hotels_processed", **_final("sessions")},
        _named_by_cohort,
    ),
    Step("trips_final", _final("sessions", "users", "flights", "hotels"), _trips),
    Step("user_features", _final("users", "sessions", "trips"), _features),
)

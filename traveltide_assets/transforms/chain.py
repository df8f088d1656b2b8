"""From silver to features: the one chain that every snapshot of the cohort goes through.

The assets run its steps one by one and store each; the back-test, newcomers and the scoring service
run its last two on fewer sessions; benchmarks and column lineage run them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import ibis

from traveltide_assets.transforms import cohort
from traveltide_assets.transforms.config import Config
from traveltide_assets.transforms.features.build import compared, measured
from traveltide_assets.transforms.trips import bookings_of, build_trips

Hold = Callable[[ibis.Table], AbstractContextManager[ibis.Table]]
"""Keeps an intermediate table that is read several times, for the length of a block."""

Tables = Mapping[str, ibis.Table]


@dataclass(frozen=True)
class Step:
    """A table of gold: its name there, the paths of its inputs, and how it is computed.

    `compute` takes the inputs by name, the cohort rule, the month and a `Hold`.
    """

    name: str
    inputs: Mapping[str, str]
    compute: Callable[[Tables, Config, str, Hold], AbstractContextManager[ibis.Table]]

    @property
    def path(self) -> str:
        return f"gold/{self.name}"


def cached(table: ibis.Table) -> AbstractContextManager[ibis.Table]:
    """Computes an intermediate table once; for tables that an engine holds."""
    return table.cache()


def repeated(table: ibis.Table) -> AbstractContextManager[ibis.Table]:
    """Leaves an intermediate table an expression, computed wherever it is read."""
    return nullcontext(table)


def features_of(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    month: str,
    within: str | None = None,
) -> ibis.Table:
    """One row per user of these sessions: the feature catalogue from them alone, lazily.

    `within` is as in `features.build.compared`.
    """
    known = users.semi_join(sessions, "user_id")
    trips = build_trips(bookings_of(sessions), known, flights, hotels, month)
    return compared(measured(known, sessions, trips, month), within)


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
    # Read twice, by what compares the customers and by what is compared.
    with hold(measured(t["users"], t["sessions"], t["trips"], month)) as found:
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

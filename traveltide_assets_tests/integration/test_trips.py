"""Sessions, flights and hotels become trips, with the travellers of the scenario."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project


@pytest.fixture(scope="module")
def trips(scenario_project: Project) -> pd.DataFrame:
    return scenario_project.frame("gold/trips_final", scenario.MONTH).set_index("trip_id")


def great_circle(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Kilometres between two points by their vectors: no haversine."""

    def vector(point: tuple[float, float]) -> tuple[float, float, float]:
        lat, lon = map(math.radians, point)
        return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)

    return 6371.0 * math.acos(sum(x * y for x, y in zip(vector(a), vector(b), strict=True)))


def test_there_is_one_row_per_trip_that_the_cohort_booked_or_cancelled(
    trips: pd.DataFrame,
) -> None:
    assert dict(trips["user_id"]) == {
        "package": scenario.PACKAGE,
        "stay": scenario.HOTEL_ONLY,
        "dream": scenario.CANCELLER,
        "older": scenario.LATE_CANCELLER,
        "elsewhere": scenario.ELSEWHERE,
        "far": scenario.UPCOMING,
    }


def test_the_kind_is_what_was_booked_whatever_the_cancellation_claims(
    trips: pd.DataFrame,
) -> None:
    assert dict(trips["kind"]) == {
        "package": "package",
        "stay": "hotel",
        "dream": "package",
        "older": "flight",
        "elsewhere": "flight",
        "far": "flight",
    }


def test_the_status_is_that_of_the_end_of_the_month(trips: pd.DataFrame) -> None:
    assert dict(trips["status"]) == {
        "package": "completed",
        "stay": "completed",
        "dream": "cancelled",
        "older": "cancelled",
        "elsewhere": "completed",
        "far": "upcoming",
    }


def test_a_cancellation_after_the_month_is_not_known_yet(trips: pd.DataFrame) -> None:
    assert pd.isna(trips.loc["far", "cancelled_at"])
    assert trips.loc["dream", "cancelled_at"] == pd.Timestamp("2023-05-18 00:00:00")


def test_a_booking_before_the_data_leaves_what_only_the_booking_knows_empty(
    trips: pd.DataFrame,
) -> None:
    older = trips.loc["older"]
    assert older[["booked_at", "lead_days", "flight_discount_amount"]].isna().all()
    assert not older["flight_discount_used"]
    assert older["base_fare_usd"] == 4_000


def test_the_distance_is_the_great_circle_from_home(trips: pd.DataFrame) -> None:
    expected = {
        "package": great_circle(scenario.NEW_YORK, scenario.LOS_ANGELES),
        "far": great_circle(scenario.NEW_YORK, scenario.TOKYO),
    }
    for trip, km in expected.items():
        assert trips.loc[trip, "distance_km"] == pytest.approx(km, abs=0.001)


@pytest.mark.parametrize("trip", ["elsewhere", "stay"])
def test_a_trip_without_a_flight_from_home_has_no_distance(trips: pd.DataFrame, trip: str) -> None:
    assert pd.isna(trips.loc[trip, "distance_km"])


def test_lead_time_runs_from_booking_to_departure_or_check_in(trips: pd.DataFrame) -> None:
    assert trips.loc["package", "lead_days"] == 10.875
    assert trips.loc["stay", "lead_days"] == 10.0


def test_the_discount_reduces_only_the_part_it_was_shown_for(trips: pd.DataFrame) -> None:
    package, stay = trips.loc["package"], trips.loc["stay"]
    assert (package["flight_spend_usd"], package["hotel_spend_usd"]) == (800, 300)
    assert package["spend_usd"] == 1_100
    assert pd.isna(stay["flight_spend_usd"])
    assert stay["spend_usd"] == 2 * 4 * 120 * 0.75


def test_a_discount_counts_as_used_only_if_its_part_was_booked(trips: pd.DataFrame) -> None:
    stay = trips.loc["stay"]
    assert stay["flight_discount"]
    assert not stay["flight_discount_used"]
    assert stay["hotel_discount_used"]


def test_nights_are_those_of_the_calendar_and_the_brand_is_trimmed(trips: pd.DataFrame) -> None:
    package = trips.loc["package"]
    assert package["nights"] == 3
    assert package["hotel_brand"] == "NH Hotel"
    assert package["destination"] == "los angeles"


def test_a_one_way_trip_ends_with_its_departure(trips: pd.DataFrame) -> None:
    elsewhere = trips.loc["elsewhere"]
    assert elsewhere["starts_at"] == elsewhere["ends_at"] == pd.Timestamp("2023-05-06 08:00:00")

"""Every feature of the catalogue, worked out by hand for the travellers of the scenario."""

from __future__ import annotations

import io
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.transforms.chain import features_of
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets_tests.integration.test_trips import great_circle
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project

NEW_YORK_TO_LOS_ANGELES = great_circle(scenario.NEW_YORK, scenario.LOS_ANGELES)
NEW_YORK_TO_TOKYO = great_circle(scenario.NEW_YORK, scenario.TOKYO)

_NO_TRIP = {
    "total_trips": 0,
    "completed_trips": 0,
    "upcoming_trips": 0,
    "cancelled_trips": 0,
    "cancellation_rate": None,
    "discounted_booking_rate": None,
    "total_flights": 0,
    "discounted_flight_rate": None,
    "savings_per_km": None,
    "mean_seats": None,
    "total_checked_bags": 0,
    "mean_checked_bags": None,
    "total_base_fare": 0,
    "mean_base_fare": None,
    "total_distance_km": 0,
    "mean_distance_km": None,
    "long_haul_share": None,
    "mean_lead_days": None,
    "hotel_stays": 0,
    "distinct_hotels": 0,
    "total_nights": 0,
    "mean_nights": None,
    "mean_rooms": None,
    "mean_room_price": None,
    "package_rate": None,
    "total_spend": 0,
    "weekend_trip_share": None,
    "short_solo_trip_share": None,
    "long_lead_trips": 0,
    "cancelled_long_lead_trips": 0,
    "open_trips": 0,
    "open_trips_long_lead": 0,
    "days_to_next_departure": None,
    "longest_open_lead_days": None,
    "bargain_hunter_index": 0,
    "frequency_score": 1,
    "monetary_score": 1,
    "total_stored_nights_booked": 0,
    "total_checked_bags_booked": 0,
    "total_base_fare_booked": 0,
    "negative_stays_booked": 0,
    "mean_base_fare_booked": None,
    "mean_stay_price_booked": None,
    "package_rate_booked": None,
    "mean_seats_booked": None,
    "mean_checked_bags_booked": None,
    "mean_nights_booked": None,
    "weekday_departures_booked": 0,
    "weekday_departure_rate": 0,
    "kept_trips": 0,
    "discounted_flight_rate_with_cancellations": None,
    "discounted_hotel_rate_with_cancellations": None,
    "mean_lead_days_with_cancellations": None,
    "mean_stored_nights": None,
    "mean_hotel_bill_stored": None,
    "mean_fare_times_seats": None,
}
EXPECTED: dict[int, dict[str, Any]] = {
    scenario.PACKAGE: {
        "total_sessions": 3,
        "cancellation_sessions": 0,
        "mean_page_clicks": 28 / 3,
        "median_page_clicks": 8,
        "mean_session_seconds": (120 + 60 + 30) / 3,
        "days_since_last_session": 12,
        "session_cancellation_rate": 0,
        "conversion_rate": 1 / 3,
        "discount_usage_rate": 2 / 3,
        "flight_discount_rate": 1 / 3,
        "hotel_discount_rate": 1 / 3,
        "mean_flight_discount": 0.2,
        "mean_hotel_discount": 0.1,
        "total_trips": 1,
        "completed_trips": 1,
        "upcoming_trips": 0,
        "cancelled_trips": 0,
        "cancellation_rate": 0,
        "discounted_booking_rate": 1,
        "total_flights": 1,
        "discounted_flight_rate": 1,
        "savings_per_km": 200 / NEW_YORK_TO_LOS_ANGELES,
        "mean_seats": 2,
        "total_checked_bags": 3,
        "mean_checked_bags": 3,
        "total_base_fare": 1_000,
        "mean_base_fare": 1_000,
        "total_distance_km": NEW_YORK_TO_LOS_ANGELES,
        "mean_distance_km": NEW_YORK_TO_LOS_ANGELES,
        "long_haul_share": 0,
        "mean_lead_days": 10.875,
        "hotel_stays": 1,
        "distinct_hotels": 1,
        "total_nights": 3,
        "mean_nights": 3,
        "mean_rooms": 1,
        "mean_room_price": 100,
        "package_rate": 1,
        "total_spend": 800 + 300,
        "weekend_trip_share": 1,
        "short_solo_trip_share": 0,
        "long_lead_trips": 0,
        "cancelled_long_lead_trips": 0,
        "open_trips": 0,
        "open_trips_long_lead": 0,
        "days_to_next_departure": None,
        "longest_open_lead_days": None,
        "age": 39,
        "married": True,
        "has_children": False,
        "home_country": "usa",
        "tenure_months": 12,
        # Nobody saves more per kilometre, so that part of the index is 1.
        "bargain_hunter_index": 1 * 0.2 * 1,
        # Of seven, one was seen later: 5/6 of the way up, times five.
        "recency_score": 5,
        # Three have fewer trips, so does everybody with one trip start at 3/6 of the way.
        "frequency_score": 3,
        # Only one spends more.
        "monetary_score": 5,
        "discounted_row_share_with_cancellations": 2 / 3,
        "total_stored_nights_booked": 2,
        "total_checked_bags_booked": 3,
        "total_base_fare_booked": 1_000,
        "negative_stays_booked": 0,
        "mean_base_fare_booked": 1_000,
        # Two whole days from afternoon to morning, and one.
        "mean_stay_price_booked": 300,
        "package_rate_booked": 1,
        "mean_seats_booked": 2,
        "mean_checked_bags_booked": 3,
        "mean_nights_booked": 3,
        "weekday_departures_booked": 1,
        "weekday_departure_rate": 1 / 3,
        "kept_trips": 1,
        "discounted_flight_rate_with_cancellations": 1,
        "discounted_hotel_rate_with_cancellations": 0,
        # From the end of the session, with two decimals.
        "mean_lead_days_with_cancellations": 10.87,
        "mean_stored_nights": 2,
        "mean_hotel_bill_stored": 200,
        "mean_fare_times_seats": 2_000,
        "gender": "F",
        # 14 years, of which 1972, 1976 and 1980 are leap years, and 151 days of a leap year.
        "birth_day": 14 * 365 + 3 + 151,
    },
    scenario.HOTEL_ONLY: _NO_TRIP
    | {
        "total_sessions": 2,
        "cancellation_sessions": 0,
        "mean_page_clicks": 8,
        "median_page_clicks": 8,
        "mean_session_seconds": 50,
        "days_since_last_session": 13,
        "session_cancellation_rate": 0,
        "conversion_rate": 0.5,
        "discount_usage_rate": 0.5,
        "flight_discount_rate": 0.5,
        "hotel_discount_rate": 0.5,
        "mean_flight_discount": 0.3,
        "mean_hotel_discount": 0.25,
        "total_trips": 1,
        "completed_trips": 1,
        "cancellation_rate": 0,
        "discounted_booking_rate": 1,
        "mean_lead_days": 10,
        "hotel_stays": 1,
        "distinct_hotels": 1,
        "total_nights": 4,
        "mean_nights": 4,
        "mean_rooms": 2,
        "mean_room_price": 120,
        "package_rate": 0,
        "total_spend": 720,
        "weekend_trip_share": 0,
        "short_solo_trip_share": 0,
        "age": 29,
        "married": False,
        "has_children": True,
        "home_country": "canada",
        "tenure_months": 3,
        "discounted_row_share_with_cancellations": 0.5,
        "total_stored_nights_booked": 4,
        # Four whole days, and one.
        "mean_stay_price_booked": 600,
        "mean_nights_booked": 5,
        "package_rate_booked": 0,
        "kept_trips": 1,
        "discounted_hotel_rate_with_cancellations": 1,
        "mean_lead_days_with_cancellations": 10,
        "mean_stored_nights": 4,
        "mean_hotel_bill_stored": 2 * 120 * 4,
        "recency_score": 4,
        "frequency_score": 3,
        "monetary_score": 4,
    },
    scenario.CANCELLER: _NO_TRIP
    | {
        "total_sessions": 3,
        "cancellation_sessions": 1,
        "mean_page_clicks": 13,
        "median_page_clicks": 13,
        "mean_session_seconds": 120,
        "days_since_last_session": 14,
        "session_cancellation_rate": 1 / 3,
        "conversion_rate": 0.5,
        "discount_usage_rate": 0,
        "flight_discount_rate": 0,
        "hotel_discount_rate": 0,
        "mean_flight_discount": None,
        "mean_hotel_discount": None,
        "total_trips": 1,
        "cancelled_trips": 1,
        # Booked in April for September, and cancelled in May: not open any more.
        "long_lead_trips": 1,
        "cancelled_long_lead_trips": 1,
        "cancellation_rate": 1,
        "discounted_booking_rate": 0,
        "recency_score": 3,
        "discounted_row_share_with_cancellations": 1 / 3,
        "total_stored_nights_booked": 19,
        "total_checked_bags_booked": 8,
        "total_base_fare_booked": 9_000,
        "mean_base_fare_booked": 9_000,
        "mean_stay_price_booked": 20 * 500,
        "package_rate_booked": 1,
        "mean_seats_booked": 4,
        "mean_checked_bags_booked": 8,
        "mean_nights_booked": 20,
        "weekday_departures_booked": 1,
        "weekday_departure_rate": 1 / 2,
        # The flags of the cancellation are true. It ended 106 days and 5 hours before departure.
        "discounted_flight_rate_with_cancellations": 1,
        "discounted_hotel_rate_with_cancellations": 1,
        "mean_lead_days_with_cancellations": 106.21,
    },
    scenario.LATE_CANCELLER: _NO_TRIP
    | {
        "total_sessions": 2,
        "cancellation_sessions": 1,
        "mean_page_clicks": 3,
        "mean_session_seconds": 20,
        "session_cancellation_rate": 0.5,
        "conversion_rate": 0,
        "discount_usage_rate": 0,
        "mean_flight_discount": None,
        "recency_score": 2,
        # Only the cancellation is known.
        "discounted_row_share_with_cancellations": 0.5,
        "discounted_flight_rate_with_cancellations": 1,
        "discounted_hotel_rate_with_cancellations": 1,
        "mean_lead_days_with_cancellations": 76.21,
    },
    scenario.BROWSER: _NO_TRIP
    | {
        "total_sessions": 2,
        "mean_page_clicks": 6,
        "mean_session_seconds": 50,
        "days_since_last_session": 16,
        "session_cancellation_rate": 0,
        "conversion_rate": 0,
        "tenure_months": 4,
        "recency_score": 1,
        "discounted_row_share_with_cancellations": 0,
    },
    scenario.ELSEWHERE: {
        "total_flights": 1,
        "discounted_flight_rate": 1,
        "savings_per_km": None,
        "total_base_fare": 300.5,
        "total_distance_km": 0,
        "mean_distance_km": None,
        "long_haul_share": None,
        "mean_lead_days": 5,
        "total_spend": 300.5 * 0.9,
        "weekend_trip_share": 1,
        "short_solo_trip_share": 1,
        "bargain_hunter_index": 0,
        "recency_score": 1,
        "monetary_score": 3,
    },
    scenario.UPCOMING: {
        "total_sessions": 2,
        "cancellation_sessions": 0,
        "days_since_last_session": 1,
        "total_trips": 1,
        "completed_trips": 0,
        "upcoming_trips": 1,
        "cancelled_trips": 0,
        "total_flights": 1,
        "total_base_fare": 2_500.25,
        "mean_distance_km": NEW_YORK_TO_TOKYO,
        "long_haul_share": 1,
        "mean_lead_days": 16,
        "long_lead_trips": 0,
        "open_trips": 1,
        "open_trips_long_lead": 0,
        # From the first instant of June to 7 in the morning of the 10th.
        "days_to_next_departure": 9 + 7 / 24,
        "longest_open_lead_days": 16,
        "weekend_trip_share": 0,
        "short_solo_trip_share": 0,
        "recency_score": 5,
        "monetary_score": 5,
    },
}
CASES = [(who, name) for who, features in EXPECTED.items() for name in features]


def test_the_first_traveller_has_an_expectation_for_every_feature_of_the_catalogue() -> None:
    assert set(EXPECTED[scenario.PACKAGE]) == {feature.name for feature in CATALOGUE}


@pytest.fixture(scope="module")
def features(scenario_project: Project) -> pd.DataFrame:
    return scenario_project.frame("gold/user_features", scenario.MONTH).set_index("user_id")


def test_every_customer_of_the_scenario_has_a_row(features: pd.DataFrame) -> None:
    assert list(features.index) == scenario.CUSTOMERS


@pytest.mark.parametrize(("who", "name"), CASES)
def test_a_feature_is_what_pencil_and_paper_say(
    features: pd.DataFrame, who: int, name: str
) -> None:
    expected, found = EXPECTED[who][name], features.loc[who, name]
    if expected is None:
        assert pd.isna(found)
    elif isinstance(expected, str | bool):
        assert found == expected
    else:
        assert found == pytest.approx(expected, rel=1e-6)


def test_nothing_of_a_cancellation_but_its_happening_reaches_a_feature(
    scenario_project: Project,
) -> None:
    sessions = scenario_project.frame("gold/sessions_final", scenario.MONTH)
    artefacts = [
        "flight_discount",
        "hotel_discount",
        "flight_discount_amount",
        "hotel_discount_amount",
        "flight_booked",
        "hotel_booked",
        "page_clicks",
        "session_seconds",
    ]
    cancelling = sessions[sessions["cancellation"]]
    assert set(cancelling["user_id"]) == {scenario.CANCELLER, scenario.LATE_CANCELLER}
    assert cancelling[artefacts].isna().all(axis=None)


def test_booked_trips_are_completed_upcoming_or_cancelled(sample_project: Project) -> None:
    features = sample_project.frame("gold/user_features", "2023-06")
    parts = features[["completed_trips", "upcoming_trips", "cancelled_trips"]]
    assert (features["total_trips"] == parts.sum(axis=1)).all()
    assert (parts.sum() > 0).all()


def test_only_features_that_say_so_are_ever_undefined(sample_project: Project) -> None:
    features = sample_project.frame("gold/user_features", "2023-07")
    undefined = set(features.columns[features.isna().any()])
    assert undefined <= {feature.name for feature in CATALOGUE if feature.nullable}
    assert {"mean_seats", "mean_nights", "cancellation_rate"} <= undefined


@pytest.fixture(scope="module")
def tables(sample_project: Project) -> dict[str, pa.Table]:
    """The cohort's rows of the sample, some hundred customers of them."""
    users = sample_project.frame("gold/users_final", "2023-07").head(150)
    sessions = sample_project.frame("gold/sessions_final", "2023-07")
    sessions = sessions[sessions["user_id"].isin(users["user_id"])]
    frames = {"users": users, "sessions": sessions}
    for name in ("flights", "hotels"):
        frame = sample_project.frame(f"gold/{name}_final", "2023-07")
        frames[name] = frame[frame["trip_id"].isin(sessions["trip_id"])]
    return {name: pa.Table.from_pandas(f, preserve_index=False) for name, f in frames.items()}


def features_as_bytes(tables: dict[str, pa.Table]) -> bytes:
    backend = ibis.duckdb.connect()
    users, sessions, flights, hotels = (
        backend.create_table(name, tables[name])
        for name in ("users", "sessions", "flights", "hotels")
    )
    features = features_of(users, sessions, flights, hotels, "2023-07")
    found = features.order_by("user_id").to_pyarrow()
    assert len(found) == len(tables["users"])
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, found.schema) as stream:
        stream.write_table(found.combine_chunks())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def in_order(tables: dict[str, pa.Table]) -> bytes:
    return features_as_bytes(tables)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5)
def test_the_order_of_the_rows_changes_no_byte_of_the_features(
    tables: dict[str, pa.Table], in_order: bytes, seed: int
) -> None:
    order = np.random.default_rng(seed)
    shuffled = {name: table.take(order.permutation(len(table))) for name, table in tables.items()}
    assert features_as_bytes(shuffled) == in_order

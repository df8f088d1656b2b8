"""The published figures of the real cohort; skipped where its tables are absent."""

from __future__ import annotations

import datetime as dt

import ibis
import pandas as pd
import pytest

from traveltide_assets.prediction.behaviour_model import PROFILE_ONLY
from traveltide_assets.prediction.early import inputs
from traveltide_assets.prediction.models import MAJORITY, RULES
from traveltide_assets.prediction.newcomer_lifts import ALL
from traveltide_assets.prediction.predictor import Predictor
from traveltide_assets.prediction.promotion import BETTER, NO_DIFFERENCE
from traveltide_assets.transforms.cohort import cohort_sessions, cohort_users
from traveltide_assets.transforms.config import Config as Cohort
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project


@pytest.fixture(scope="module")
def sessions(real_project: Project) -> pd.DataFrame:
    return real_project.frame("gold/sessions_final", LAST)


@pytest.fixture(scope="module")
def trips(real_project: Project) -> pd.DataFrame:
    return real_project.frame("gold/trips_final", LAST)


@pytest.fixture(scope="module")
def features(real_project: Project) -> pd.DataFrame:
    return real_project.frame("gold/user_features", LAST)


@pytest.mark.parametrize(
    ("active_since", "customers", "rows"),
    [(dt.date(2023, 1, 4), 5_998, 49_211), (dt.date(2023, 1, 5), 5_782, 47_436)],
)
def test_the_rule_gives_the_published_counts(
    real_project: Project, active_since: dt.date, customers: int, rows: int
) -> None:
    backend, rule = ibis.duckdb.connect(), Cohort(active_since=active_since)
    users = backend.read_parquet(real_project.file("silver/users_processed"))
    lake = real_project.lake
    sessions = backend.read_parquet(str(lake / "silver/sessions_processed/*/*.parquet"))
    cohort = cohort_users(users, sessions, rule, LAST)
    assert cohort.count().execute() == customers
    assert cohort_sessions(sessions, cohort, rule, LAST).count().execute() == rows


def test_gold_holds_the_cohort_of_the_brief(real_project: Project, sessions: pd.DataFrame) -> None:
    assert len(real_project.frame("gold/users_final", LAST)) == 5_998
    assert len(sessions) == 49_211
    assert len(real_project.frame("gold/flights_final", LAST)) == 13_717
    assert len(real_project.frame("gold/hotels_final", LAST)) == 14_313


def test_no_row_of_the_real_tables_is_refused(real_project: Project) -> None:
    for name in ("users", "flights", "hotels"):
        assert real_project.frame(f"silver/{name}_quarantine").empty


def test_there_are_16099_trips_of_which_603_were_booked_and_cancelled(trips: pd.DataFrame) -> None:
    assert len(trips) == 16_099
    cancelled = trips[trips["status"] == "cancelled"]
    assert cancelled["booked_at"].notna().sum() == 603


def test_seven_cancellations_without_a_booking_in_the_data_count_as_no_trip(
    trips: pd.DataFrame, features: pd.DataFrame
) -> None:
    unseen = trips[trips["booked_at"].isna()]
    assert len(unseen) == 7
    assert (unseen["status"] == "cancelled").all()
    assert features["cancellation_sessions"].sum() == 603 + 7
    assert features["cancelled_trips"].sum() == 603
    assert features["total_trips"].sum() == 16_099 - 7


def test_the_kinds_of_trips_are_those_of_the_tables(trips: pd.DataFrame) -> None:
    kinds = trips["kind"].value_counts()
    assert dict(kinds) == {"package": 11_931, "hotel": 2_382, "flight": 1_786}


def test_flights_start_at_home_and_half_of_the_long_ones_are_cancelled(
    trips: pd.DataFrame,
) -> None:
    flights = trips[trips["kind"] != "hotel"]
    assert flights["distance_km"].notna().all()
    assert round(flights["distance_km"].mean(), 3) == 2231.205
    far = flights[flights["distance_km"] > 6_000]
    assert round((far["status"] == "cancelled").mean(), 3) == 0.503


def test_a_third_has_children(features: pd.DataFrame) -> None:
    assert round(features["has_children"].mean(), 4) == 0.3264


def test_a_booking_takes_22_clicks_and_other_browsing_8(sessions: pd.DataFrame) -> None:
    browsing = sessions[~sessions["cancellation"]]
    books = browsing["flight_booked"].astype(bool) | browsing["hotel_booked"].astype(bool)
    assert browsing.loc[books, "page_clicks"].median() == 22
    assert browsing.loc[~books, "page_clicks"].median() == 8


def test_discount_rates_leave_the_cancellations_out(sessions: pd.DataFrame) -> None:
    browsing = sessions[~sessions["cancellation"]]
    assert round(browsing["flight_discount"].astype(float).mean(), 4) == 0.1704
    assert round(browsing["hotel_discount"].astype(float).mean(), 4) == 0.1277


def test_no_stay_is_without_a_night_after_the_repair(real_project: Project) -> None:
    hotels = real_project.frame("gold/hotels_final", LAST)
    assert (hotels["nights_stored"] <= 0).sum() == 1_313
    assert (hotels["nights"] >= 1).all()
    assert hotels["out_before_in"].sum() == 226


def test_everyone_has_exactly_one_perk(real_project: Project) -> None:
    assigned = real_project.frame("gold/perk_assignments", LAST)
    cohort = real_project.frame("gold/users_final", LAST)
    assert list(assigned["user_id"]) == list(cohort["user_id"])
    assert assigned["user_id"].is_unique
    assert assigned["perk"].notna().all()
    assert assigned["perk"].nunique() >= 4


def test_the_profile_foretells_what_newcomers_do_and_goes_into_service(
    real_project: Project,
) -> None:
    decision = real_project.frame("gold/predictor_promotion", LAST)
    overall = decision[decision["sessions_seen"] == ALL].set_index("rival")
    assert decision["promoted"].all()
    # The rules of the strategy go by the profile too: there is no more to know of a newcomer.
    assert dict(overall["verdict"]) == {MAJORITY: BETTER, RULES: NO_DIFFERENCE}
    lifts = real_project.frame("gold/promotion_lifts", LAST)
    given = lifts[lifts["model"] == PROFILE_ONLY].set_index(["sessions_seen", "perk"])
    assert given.loc[(0, "free_hotel_meal"), "lift_low"] > 1.1
    assert given.loc[(0, "free_hotel_night_with_flight"), "lift_low"] > 1.1


def test_newcomers_get_the_meal_when_young_or_old(real_project: Project) -> None:
    model = Predictor.from_frame(real_project.frame("gold/perk_predictor", LAST))
    assert model is not None
    known = real_project.frame("gold/early_features", LAST)
    known = known[known["sessions_seen"] == 0].reset_index(drop=True)
    meal = model.given(inputs(known, model.inputs)) == model.perks.index("free_hotel_meal")
    assert meal[(known["age"] < 28) | (known["age"] >= 65)].all()
    assert not meal[known["age"].between(33, 52)].any()

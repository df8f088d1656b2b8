"""The exploration table against pandas, and against what is known of the real cohort."""

from __future__ import annotations

import pandas as pd
import pytest

from traveltide_assets.transforms.exploration import BREAKDOWNS, TOP
from traveltide_assets.transforms.tables import EXPLORATION
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

KEY = ["topic", "breakdown", "group", "measure"]


def explored(project: Project) -> pd.DataFrame:
    return project.frame("gold/exploration", LAST)


def values(project: Project, topic: str, breakdown: str, measure: str) -> pd.Series:
    """The value of each group, in the order of the table."""
    table = explored(project)
    chosen = table[
        (table["topic"] == topic)
        & (table["breakdown"] == breakdown)
        & (table["measure"] == measure)
    ]
    return chosen.sort_values("position").set_index("group")["value"]


def browsing(project: Project) -> pd.DataFrame:
    sessions = project.frame("gold/sessions_final", LAST)
    kept = sessions[~sessions["cancellation"]]
    booked = kept["flight_booked"].astype(bool) | kept["hotel_booked"].astype(bool)
    return kept.assign(result=booked.map({True: "booked", False: "did not book"}))


def booked_trips(project: Project) -> pd.DataFrame:
    trips = project.frame("gold/trips_final", LAST)
    return trips[trips["booked_at"].notna()]


def assert_equal(found: pd.Series, expected: pd.Series) -> None:
    pd.testing.assert_series_equal(
        found.sort_index(),
        expected.astype("float64").sort_index(),
        check_names=False,
        check_index_type=False,
    )


def test_one_row_per_topic_breakdown_group_and_measure(sample_project: Project) -> None:
    table = explored(sample_project)
    assert not table.duplicated(KEY).any()
    assert list(table.columns) == list(EXPLORATION.column_names)
    assert set(zip(table["topic"], table["breakdown"], strict=True)) == {
        (entry.topic, entry.name) for entry in BREAKDOWNS
    }


def test_a_count_is_its_rows_and_shares_add_up_where_no_group_is_left_out(
    sample_project: Project,
) -> None:
    table = explored(sample_project)
    counts = table[table["measure"] == "count"]
    assert (counts["value"] == counts["rows"]).all()
    sums = table[table["measure"] == "share"].groupby(["topic", "breakdown"])["value"].sum()
    assert (sums.drop("favourites").sub(1).abs() < 1e-9).all()
    assert (sums <= 1 + 1e-9).all()


def test_customers_by_age_marriage_children_and_country(sample_project: Project) -> None:
    features = sample_project.frame("gold/user_features", LAST)
    ages = pd.cut(
        features["age"],
        [0, 18, 25, 35, 45, 55, 65, 200],
        right=False,
        labels=[
            "under 18",
            "18 to 24",
            "25 to 34",
            "35 to 44",
            "45 to 54",
            "55 to 64",
            "65 or older",
        ],
    )
    by_age = values(sample_project, "customers", "age", "count")
    assert_equal(by_age, ages.astype(str).value_counts())
    assert list(by_age.index) == [label for label in ages.cat.categories if label in by_age]
    named = features["married"].map({True: "married", False: "not married"})
    assert_equal(values(sample_project, "customers", "marriage", "count"), named.value_counts())
    named = features["has_children"].map({True: "with children", False: "without children"})
    assert_equal(values(sample_project, "customers", "children", "count"), named.value_counts())
    countries = features["home_country"].value_counts()
    assert_equal(values(sample_project, "customers", "country", "count"), countries)


def test_sessions_clicks_and_discounts_for_bookers_and_others(sample_project: Project) -> None:
    groups = browsing(sample_project).groupby("result")
    found = {
        name: values(sample_project, "sessions", "result", name)
        for name in ("count", "median_clicks", "median_seconds")
    }
    assert_equal(found["count"], groups.size())
    assert_equal(found["median_clicks"], groups["page_clicks"].median())
    assert_equal(found["median_seconds"], groups["session_seconds"].median())
    for kind in ("flight", "hotel"):
        shown = groups[f"{kind}_discount"].apply(lambda flags: flags.astype(bool).mean())
        assert_equal(values(sample_project, "discounts", kind, "shown_share"), shown)
        amounts = groups[f"{kind}_discount_amount"].mean()
        assert_equal(values(sample_project, "discounts", kind, "mean_amount"), amounts)


def test_cancellations_by_distance_and_by_days_booked_ahead(sample_project: Project) -> None:
    trips = booked_trips(sample_project)
    cancelled = trips["status"] == "cancelled"
    for name, column, edges in (
        ("distance", "distance_km", [1_000, 2_500, 6_000]),
        ("lead time", "lead_days", [5, 7, 10, 30]),
    ):
        bands = pd.cut(trips[column], [-1e9, *edges, 1e9], right=False, labels=False)
        expected = cancelled.groupby(bands).mean()
        found = values(sample_project, "cancellations", name, "cancelled_share")
        assert list(found) == pytest.approx(list(expected))
        assert found.index[0].startswith("under")
        assert found.index[-1].endswith("or more")


def test_the_most_booked_are_listed_in_order(sample_project: Project) -> None:
    trips = booked_trips(sample_project)
    for name, column in (
        ("destination", "destination"),
        ("hotel", "hotel_brand"),
        ("airline", "trip_airline"),
    ):
        found = values(sample_project, "favourites", name, "count")
        counts = trips[column].value_counts()
        assert list(found) == list(counts.head(TOP))
        assert (counts[found.index] == found).all()
    kinds = values(sample_project, "bookings", "kind", "share")
    assert_equal(kinds, trips["kind"].value_counts(normalize=True))


def test_months_count_sessions_bookings_and_cancellations(sample_project: Project) -> None:
    sessions = sample_project.frame("gold/sessions_final", LAST)
    months = sessions["session_start"].dt.strftime("%Y-%m")
    assert_equal(values(sample_project, "seasons", "month", "count"), months.value_counts())
    booked = browsing(sample_project)["result"] == "booked"
    assert_equal(
        values(sample_project, "seasons", "month", "bookings"), booked.groupby(months).sum()
    )
    cancelled = sessions["cancellation"].groupby(months).sum()
    assert_equal(values(sample_project, "seasons", "month", "cancellations"), cancelled)


def test_the_real_cohort(real_project: Project) -> None:
    children = values(real_project, "customers", "children", "share")
    assert children["with children"] == pytest.approx(0.326, abs=5e-4)
    assert values(real_project, "customers", "country", "count").to_dict() == {
        "usa": 4_991,
        "canada": 1_007,
    }
    by_distance = values(real_project, "cancellations", "distance", "cancelled_share")
    assert by_distance["6,000 km or more"] == pytest.approx(0.5, abs=0.01)
    assert by_distance.drop("6,000 km or more").max() < 0.04
    assert values(real_project, "favourites", "destination", "count").index[0] == "new york"
    assert values(real_project, "favourites", "airline", "count").index[0] == "Delta Air Lines"
    # A cancellation's own flags would make nearly everything a package shown at a discount.
    assert values(real_project, "bookings", "kind", "count")["package"] == 11_927
    shown = values(real_project, "discounts", "flight", "shown_share")
    sessions = values(real_project, "discounts", "flight", "count")
    assert (shown * sessions).sum() / sessions.sum() == pytest.approx(0.1704, abs=1e-4)

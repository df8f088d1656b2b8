"""The published works: their clusters on the real cohort, and the page that compares figures."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.metrics import silhouette_score

from tools import published
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.segmentation import published_kmeans, seven_segments
from traveltide_assets.segmentation.kmeans_wide import nearest
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

PERKS = load_perks(Settings().perks_file)
SEVEN = seven_segments.build("seven_segments", Settings(), PERKS)
KMEANS = published_kmeans.build("published_kmeans", Settings(), PERKS)


@pytest.fixture(scope="module")
def features(real_project: Project) -> pd.DataFrame:
    return real_project.frame("gold/user_features", LAST)


def test_the_page_says_what_the_real_cohort_says(
    features: pd.DataFrame, real_project: Project
) -> None:
    trips = real_project.frame("gold/trips_final", LAST)
    assert published.PAGE.read_text(encoding="utf-8") == published.render(features, trips)


def test_the_clusters_of_the_seven_segments_are_as_far_apart_as_published(
    features: pd.DataFrame,
) -> None:
    fitted = SEVEN.fit(History(features))
    points = fitted.space.place(features)
    label, _ = nearest(points, fitted.centroids)
    assert points.shape[1] == 10
    assert silhouette_score(points, label) == pytest.approx(0.148, abs=0.02)


def test_each_of_the_seven_segments_has_real_customers(features: pd.DataFrame) -> None:
    assigned = SEVEN.fit(History(features)).assign(features)
    shares = assigned["segment"].value_counts(normalize=True)
    assert len(shares) == 7
    # The rules were chosen for these.
    assert shares["Family"] == pytest.approx(0.101, abs=0.02)
    assert shares["Senior"] == pytest.approx(0.095, abs=0.02)
    assert shares["Business"] == pytest.approx(0.246, abs=0.02)


def test_whoever_cancels_most_is_the_risk_averse_planner_of_the_published_k_means(
    features: pd.DataFrame,
) -> None:
    assigned = KMEANS.fit(History(features)).assign(features)
    told = features.merge(assigned[["user_id", "segment", "perk"]], on="user_id")
    cancelled = told.groupby("segment")["cancellation_sessions"].agg(["min", "mean"])
    assert cancelled["mean"].idxmax() == "Risk-Averse Planners"
    assert cancelled.loc["Risk-Averse Planners", "min"] >= 1
    assert told.groupby("segment")["perk"].nunique().eq(1).all()
    assert told["segment"].nunique() == told["perk"].nunique() == 4

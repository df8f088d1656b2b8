"""The wide k-means, and what DBSCAN makes of the same customers."""

from __future__ import annotations

import pandas as pd
import pytest

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import load_perks, of_program
from traveltide_assets.segmentation.kmeans import try_all
from traveltide_assets.segmentation.kmeans_wide import (
    WIDE_FEATURES,
    FittedWide,
    WideKMeans,
    judge_dbscan,
)
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

PERKS = load_perks(FOLDER / "perks.toml")
SEED = Settings().seed
STRATEGY = WideKMeans(of_program(PERKS, "classic"), SEED)


@pytest.fixture(scope="module")
def real_features(real_project: Project) -> pd.DataFrame:
    return real_project.frame("gold/user_features", LAST)


@pytest.fixture(scope="module")
def real_fit(real_features: pd.DataFrame) -> FittedWide:
    return STRATEGY.fit(History(real_features))


def test_21_features_come_down_to_fewer_components(real_fit: FittedWide) -> None:
    assert len(WIDE_FEATURES) == 21
    assert real_fit.space.axes.shape[0] == 21
    assert real_fit.space.axes.shape[1] < 15


def test_the_real_customers_hardly_separate(
    real_fit: FittedWide, real_features: pd.DataFrame
) -> None:
    tried, _ = try_all(real_fit.space.place(real_features), STRATEGY.config, SEED)
    assert tried["silhouette"].max() < 0.2
    assert real_fit.assign(real_features)["segment"].nunique() == len(real_fit.segments)


def test_dbscan_puts_nearly_all_real_customers_into_one_cluster(
    real_fit: FittedWide, real_features: pd.DataFrame
) -> None:
    judged = judge_dbscan(real_fit.space.place(real_features), seed=7)
    mostly_clustered = judged[judged["noise_share"] < 0.15]
    assert len(mostly_clustered) >= 8
    assert (mostly_clustered["largest_share"] > 0.8).all()
    rest = 1 - mostly_clustered["noise_share"] - mostly_clustered["largest_share"]
    assert rest.max() < 0.02

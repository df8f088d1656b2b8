"""The wide k-means, and what DBSCAN makes of the same customers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from pydantic import ValidationError

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import load_perks, of_program
from traveltide_assets.segmentation.kmeans import ClusteringError
from traveltide_assets.segmentation.kmeans_wide import (
    WIDE_FEATURES,
    Config,
    Space,
    WideKMeans,
    judge_dbscan,
)
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets_tests.support.customers import customers

PERKS = load_perks(FOLDER / "perks.toml")
SEED = Settings().seed
STRATEGY = WideKMeans(of_program(PERKS, "classic"), SEED)
QUICK = WideKMeans(of_program(PERKS, "classic"), SEED, Config(restarts=1, max_k=3))


def groups(sizes: tuple[int, ...] = (60, 40, 20), seed: int = 3) -> pd.DataFrame:
    """Customers of clearly different groups, the later the more of everything."""
    rng = np.random.default_rng(seed)
    level = np.repeat(np.arange(len(sizes)) * 20.0, sizes)
    frame = pd.DataFrame({"user_id": np.arange(1, len(level) + 1)})
    for feature in CATALOGUE:
        frame[feature.name] = (
            "usa" if feature.type == "string" else level + rng.normal(size=len(level))
        )
    return frame


@given(features=customers(smallest=8))
@settings(max_examples=15)
def test_any_customer_is_in_one_segment_with_a_perk_of_the_program(features: pd.DataFrame) -> None:
    # Who are all alike cannot be clustered, which has a test of its own.
    assume(features[list(WIDE_FEATURES)].nunique().max() > 1)
    assigned = QUICK.fit(History(features)).assign(features)
    assert tuple(assigned.columns) == ASSIGNMENT
    assert assigned["user_id"].tolist() == features["user_id"].tolist()
    assert assigned["perk"].isin([perk.id for perk in of_program(PERKS, "classic")]).all()
    assert assigned["score"].between(0, 1).all()
    decisions = assigned[["segment", "perk", "reason"]].drop_duplicates()
    assert decisions["segment"].is_unique


@given(features=customers(smallest=8))
@settings(max_examples=10)
def test_the_order_of_the_customers_does_not_matter(features: pd.DataFrame) -> None:
    assume(features[list(WIDE_FEATURES)].nunique().max() > 1)
    straight, turned = (
        QUICK.fit(History(frame)).assign(frame).sort_values("user_id", ignore_index=True)
        for frame in (features, features.iloc[::-1])
    )
    pd.testing.assert_frame_equal(straight, turned)


def test_the_silhouette_finds_the_number_of_clear_groups() -> None:
    features = groups()
    fitted = STRATEGY.fit(History(features))
    assigned = fitted.assign(features)
    assert assigned["segment"].value_counts().tolist() == [60, 40, 20]
    assert len(fitted.centroids) == 3
    assert fitted.segments[0] == assigned["segment"].iloc[-1], "the most active come first"
    assert len(set(fitted.perks)) == 3


def test_an_outlier_is_drawn_in() -> None:
    features = groups((300,))
    outlier = features.assign(mean_nights=features["mean_nights"].where(features.index > 0, 1e9))
    place = Space.fit(outlier, Config()).place(outlier)
    assert np.abs(place).max() < 20


def test_an_unknown_value_is_the_mean() -> None:
    features = groups((50,))
    space = Space.fit(features, Config())
    means = pd.DataFrame([dict(zip(space.features, space.mean, strict=True))])
    unknown = features.iloc[:1].assign(**dict.fromkeys(WIDE_FEATURES, np.nan))
    average = unknown.assign(**means.iloc[0])
    np.testing.assert_allclose(space.place(unknown), space.place(average), atol=1e-9)


def test_the_components_keep_the_variance_asked_for_and_no_more_than_needed() -> None:
    features = groups((200,))
    full = Space.fit(features, Config(variance=1))
    kept = Space.fit(features, Config())
    spread = np.sort(full.place(features).var(axis=0))[::-1]
    share = np.cumsum(spread) / spread.sum()
    components = kept.axes.shape[1]
    assert share[components - 1] >= 0.8 > share[components - 2]
    np.testing.assert_allclose(kept.axes.T @ kept.axes, np.eye(components), atol=1e-9)


@pytest.mark.parametrize("size", [1, 5])
def test_customers_who_are_all_alike_cannot_be_clustered(size: int) -> None:
    alike = groups((1,)).loc[[0] * size].assign(user_id=range(size))
    with pytest.raises(ClusteringError, match="only 1 different"):
        STRATEGY.fit(History(alike))


@pytest.mark.parametrize("features", [(), ("shoe_size",), ("home_country",)])
def test_features_that_are_not_numeric_are_refused(features: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="features"):
        Config(features=features)


def test_another_seed_is_another_strategy_of_the_same_kind() -> None:
    again = STRATEGY.reseeded(99)
    assert again.seed == 99
    assert again.config == STRATEGY.config
    assert again.perks == STRATEGY.perks


def test_dbscan_finds_groups_that_are_apart() -> None:
    features = groups()
    judged = judge_dbscan(Space.fit(features, Config()).place(features), seed=7)
    assert judged.loc[judged["clusters"] == 3, "silhouette"].max() > 0.5
    assert judged["noise_share"].add(judged["largest_share"]).le(1 + 1e-9).all()


def test_dbscan_is_judged_on_a_sample_of_the_size_asked_for() -> None:
    points = np.random.default_rng(1).normal(size=(500, 3))
    judged = judge_dbscan(points, seed=7, sample_rows=200)
    assert set(judged["scored_rows"]) == {200}
    pd.testing.assert_frame_equal(judged, judge_dbscan(points, seed=7, sample_rows=200))

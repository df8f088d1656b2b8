"""The cluster model: segments are their profile, not the number the clustering gave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest

from traveltide_assets.segmentation import kmeans
from traveltide_assets.segmentation.cluster_model import Model
from traveltide_assets.segmentation.config import Config as KMeans
from traveltide_assets.segmentation.kmeans import ClusteringError, diagnose, fit
from traveltide_assets.segmentation.scaling import NUMERIC, fills, min_max, standardised
from traveltide_assets_tests.support.clusters import CLASSIC, SEED, decided, segment

TWO = ("total_nights", "total_checked_bags")
CORNERS = [(0, 0), (30, 0), (0, 12), (30, 12)]


def customers(**columns: Any) -> pd.DataFrame:
    """A feature table in which everything not given is 0."""
    frame = pd.DataFrame(columns)
    constant = pd.DataFrame(0.0, index=frame.index, columns=[n for n in NUMERIC if n not in frame])
    return pd.concat([frame, constant], axis=1).assign(user_id=np.arange(len(frame)) + 100)


def blobs(centres: Sequence[tuple[float, float]], size: int = 40, seed: int = 3) -> pd.DataFrame:
    """`size` customers around each of the centres, told by nights and bags."""
    rng = np.random.default_rng(seed)
    points = np.repeat(np.array(centres, dtype=float), size, axis=0)
    points += rng.uniform(-1, 1, points.shape)
    # The scale is the same whatever the draw.
    points = np.vstack([points, [[-5, -5], [40, 40]]])
    return customers(total_nights=points[:, 0], total_checked_bags=points[:, 1])


def config(**changes: Any) -> KMeans:
    return KMeans(
        **{"features": TWO, "k": 4, "max_k": 5, "restarts": 4, "sample_rows": 500} | changes
    )


def test_other_numbers_of_the_clusters_give_the_same_segments_and_perks() -> None:
    features = blobs(CORNERS)
    expected = decided(features, config(), seed=1)
    assert expected["segment"].nunique() == 4
    for seed in range(2, 8):
        found = decided(features, config(), seed=seed)
        assert found[["segment", "perk"]].equals(expected[["segment", "perk"]])


def test_every_customer_is_in_the_segment_of_the_nearest_centroid() -> None:
    features = blobs(CORNERS)
    model = fit(features, config(), SEED, CLASSIC, None)
    found = segment(features, model, CLASSIC)
    distance = [
        np.linalg.norm(model.scale(features) - centroid, axis=1) for centroid in model.centroids
    ]
    assert [model.segments[i] for i in np.argmin(distance, axis=0)] == list(found["segment"])
    assert found["score"].between(0, 1).all()


def test_segments_are_ordered_from_the_most_to_the_least_active() -> None:
    model = fit(blobs(CORNERS), config(), SEED, CLASSIC, None)
    sums = model.centroids.sum(axis=1)
    assert (np.diff(sums) <= 0).all()


def test_names_tell_what_sets_a_segment_apart_and_are_unique() -> None:
    model = fit(blobs([(0, 0), (30, 30)]), config(k=2), SEED, CLASSIC, None)
    assert len(set(model.segments)) == 2
    assert model.segments[0].startswith("High ")
    assert model.segments[1].startswith("Low ")


def test_a_segment_that_stays_keeps_its_name() -> None:
    before = fit(blobs(CORNERS), config(), SEED, CLASSIC, None)
    renamed = Model.from_frame(
        before.to_frame().replace({"segment": dict(zip(before.segments, "ABCD", strict=True))})
    )
    moved = blobs([(x + 1, y + 1) for x, y in CORNERS], seed=8)
    now = fit(moved, config(), 5, CLASSIC, renamed)
    assert sorted(now.segments) == ["A", "B", "C", "D"]
    for name, centroid in zip(now.segments, now.centroids_in_units, strict=True):
        old = renamed.centroids_in_units[renamed.segments.index(name)]
        assert np.abs(centroid - old).max() < 3


def test_a_segment_that_moved_far_gets_a_name_of_its_own() -> None:
    before = fit(blobs(CORNERS), config(), SEED, CLASSIC, None)
    renamed = Model.from_frame(
        before.to_frame().replace({"segment": dict(zip(before.segments, "ABCD", strict=True))})
    )
    corner = renamed.segments[
        int(np.linalg.norm(renamed.centroids_in_units - [30, 12], axis=1).argmin())
    ]
    now = fit(blobs([*CORNERS[:3], (15, 35)]), config(), SEED, CLASSIC, renamed)
    assert corner not in now.segments
    assert len({"A", "B", "C", "D"} & set(now.segments)) == 3
    assert len(set(now.segments)) == 4


def test_a_model_of_other_features_passes_no_names_on() -> None:
    features = blobs(CORNERS)
    other = fit(features, config(features=tuple(reversed(TWO))), SEED, CLASSIC, None)
    renamed = Model.from_frame(
        other.to_frame().replace({"segment": dict(zip(other.segments, "ABCD", strict=True))})
    )
    assert fit(features, config(), SEED, CLASSIC, renamed).segments == (
        fit(features, config(), SEED, CLASSIC, None).segments
    )


def fitted_and_tried(features: pd.DataFrame, settings: KMeans) -> tuple[Model, pd.DataFrame]:
    model = fit(features, settings, SEED, CLASSIC, None)
    return model, diagnose(features, model, settings, SEED)


def test_the_highest_silhouette_chooses_k_if_told_to() -> None:
    for centres in (CORNERS[:3], CORNERS):
        alone = blobs(centres).head(-2)
        model, tried = fitted_and_tried(alone, config(k="silhouette"))
        chosen = tried.loc[tried["chosen"], "k"]
        assert list(chosen) == [tried.loc[tried["silhouette"].idxmax(), "k"]]
        assert len(model.centroids) == chosen.iloc[0] == len(centres)


def test_every_k_up_to_the_largest_is_tried() -> None:
    _, tried = fitted_and_tried(blobs(CORNERS), config(k=3, max_k=5))
    assert list(tried["k"]) == [1, 2, 3, 4, 5]
    assert list(tried["chosen"]) == [False, False, True, False, False]
    assert tried["inertia"].is_monotonic_decreasing
    assert pd.isna(tried.loc[0, "silhouette"])
    assert (
        tried.loc[1:, ["silhouette", "davies_bouldin", "calinski_harabasz"]].notna().all(axis=None)
    )


def test_a_k_above_the_largest_tried_is_fitted_as_well() -> None:
    model, tried = fitted_and_tried(blobs(CORNERS), config(k=7, max_k=2))
    assert len(model.centroids) == 7
    assert tried["k"].max() == 7


def test_more_clusters_than_different_customers_is_a_clear_error() -> None:
    features = customers(total_nights=[1.0, 1.0, 2.0, 2.0, 3.0])
    with pytest.raises(ClusteringError, match=r"kmeans\.k = 4, .* only 3 different customers"):
        fit(features, config(), SEED, CLASSIC, None)


def test_as_many_clusters_as_different_customers_will_do() -> None:
    features = customers(total_nights=[1.0, 1.0, 2.0, 2.0, 3.0])
    model = fit(features, config(k=3), SEED, CLASSIC, None)
    assert sorted(model.centroids_in_units[:, 0]) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["total_knights", "home_country", "user_id"])
def test_a_feature_the_model_cannot_use_is_named_with_the_choice(name: str) -> None:
    with pytest.raises(ClusteringError, match=rf"{name}.*choose from total_sessions"):
        fit(blobs(CORNERS), config(features=("total_nights", name)), SEED, CLASSIC, None)


def test_no_feature_at_all_is_a_clear_error() -> None:
    with pytest.raises(ClusteringError, match=r"kmeans\.features"):
        fit(blobs(CORNERS), config(features=()), SEED, CLASSIC, None)


def test_constant_and_undefined_features_do_not_matter() -> None:
    features = blobs(CORNERS)
    features["mean_rooms"] = np.nan
    features["mean_seats"] = 2.0
    plain = decided(features, config())
    more = decided(features, config(features=(*TWO, "mean_rooms", "mean_seats")))
    assert list(more["perk"]) == list(plain["perk"])
    assert not more.isna().any(axis=None)


def test_an_undefined_value_counts_as_the_mean_of_the_cohort() -> None:
    values = [1.0, 1.0, 2.0, 8.0, np.nan]
    features = customers(mean_nights=values)
    model = fit(features, config(features=("mean_nights",), k=2), SEED, CLASSIC, None)
    assert model.fill == [3.0]
    assert list(model.scale(features)[:, 0]) == [(v - 1) / 7 for v in [1.0, 1.0, 2.0, 8.0, 3.0]]
    found = segment(features, model, CLASSIC)["segment"]
    assert found[4] == found[0]


def test_scales_cope_with_constant_and_undefined_columns() -> None:
    frame = pd.DataFrame(
        {"same": [2.0, 2.0], "none": [np.nan, np.nan], "some": [1.0, 3.0], "gap": [5.0, np.nan]}
    )
    assert list(fills(frame)) == [2.0, 0.0, 2.0, 5.0]
    assert standardised(frame).to_dict("list") == {
        "same": [0.0, 0.0],
        "none": [0.0, 0.0],
        "some": [-1.0, 1.0],
        "gap": [0.0, 0.0],
    }
    scaled = min_max(np.array([[2.0, 5.0]]), np.array([2.0, 0.0]), np.array([2.0, 10.0]))
    assert scaled.tolist() == [[0.0, 0.5]]


def test_with_fewer_clusters_than_perks_each_cluster_has_a_perk_of_its_own() -> None:
    model = fit(blobs(CORNERS), config(k=3), SEED, CLASSIC, None)
    assert len(set(model.perks)) == 3


def test_with_more_clusters_than_perks_every_perk_is_given() -> None:
    two = CLASSIC[:2]
    features = blobs(CORNERS)
    model = fit(features, config(), SEED, two, None)
    assert set(model.perks) == {perk.id for perk in two}
    found = segment(features, model, two)
    assert found.groupby("segment")["perk"].nunique().eq(1).all()


def test_one_cluster_takes_everybody() -> None:
    found = decided(blobs(CORNERS), config(k=1))
    assert found["segment"].nunique() == found["perk"].nunique() == 1
    assert (found["score"] == 1).all()


def test_one_feature_is_enough() -> None:
    found = decided(blobs(CORNERS), config(features=("total_nights",), k=2))
    assert found["segment"].nunique() == 2
    assert (found["pca_y"] == 0).all()


def test_the_engine_assigns_customers_as_the_model_does() -> None:
    features = blobs(CORNERS)
    features.loc[::7, "total_nights"] = np.nan
    model = fit(features, config(), SEED, CLASSIC, None)
    assigned = kmeans.FittedKMeans(model, CLASSIC).assign(features)
    found = segment(features, model, CLASSIC)[list(assigned.columns)]
    pd.testing.assert_frame_equal(found, assigned, check_exact=True)
    assert found["segment"].nunique() == 4


def test_the_model_is_fitted_on_a_bounded_sample_that_the_seed_draws() -> None:
    features = blobs(CORNERS)

    def drawn(order: int, seed: int = SEED, **changes: Any) -> list[int]:
        shuffled = features.sample(frac=1, random_state=order)
        return list(kmeans.sample(ibis.memtable(shuffled), config(**changes), seed)["user_id"])

    assert drawn(1) == sorted(features["user_id"])
    assert len(drawn(1, fit_rows=100)) == 100
    assert drawn(1, fit_rows=100) == drawn(2, fit_rows=100)
    assert drawn(1, fit_rows=100) != drawn(1, fit_rows=100, seed=8)

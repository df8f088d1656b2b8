"""The silhouette is the same float as scikit-learn's, which is slower."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from traveltide_assets.stats.silhouette import distances_to, silhouette


@pytest.mark.parametrize("clusters", [2, 3, 9])
@pytest.mark.parametrize("decimals", [0, 15], ids=["equal points", "different points"])
def test_the_silhouette_is_that_of_scikit_learn(clusters: int, decimals: int) -> None:
    rng = np.random.default_rng(clusters)
    points = rng.normal(size=(700, 6)).round(decimals)
    labels = rng.integers(0, clusters, len(points))
    labels[0] = 99  # A cluster of one point.

    assert silhouette(distances_to(points), labels) == silhouette_score(points, labels)


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [0, 1, 2, 3]], ids=["one", "each its own"])
def test_clusters_that_divide_nothing_have_no_silhouette(labels: list[int]) -> None:
    points = np.arange(8.0).reshape(4, 2)

    assert np.isnan(silhouette(distances_to(points), np.array(labels)))

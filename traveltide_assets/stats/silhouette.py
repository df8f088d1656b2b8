"""The silhouette of clusterings: how much closer points lie to their own cluster than to the next.

scikit-learn adds the distances of one point at a time, and checks them again for each clustering.
That took longer than the clusterings. This computes and adds in the same order, so results are the
same floats.
"""

from __future__ import annotations

import numpy as np

from traveltide_assets.stats.threads import one_thread


def distances_to(points: np.ndarray) -> np.ndarray:
    """The distances to each point, one row per point that they lead to.

    The two directions between points may differ in the last bit.
    """
    squares = np.einsum("ij,ij->i", points, points)
    with one_thread():
        found = points @ points.T
    # In place: a new matrix for each of these takes longer than the sums.
    found *= -2
    found += squares
    found += squares[:, None]
    np.maximum(found, 0, out=found)
    np.fill_diagonal(found, 0)
    return np.sqrt(found, out=found)


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """The mean silhouette of points with such labels; `distances` are those of `distances_to`.

    Between -1 and 1. NaN for a single cluster, and if every point is one.
    """
    found, cluster, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if not 1 < len(found) < len(labels):
        return float("nan")
    sums = np.zeros((len(found), len(labels)))
    for place, each in zip(cluster, distances, strict=True):
        sums[place] += each
    own = cluster, np.arange(len(labels))
    inside = sums[own]
    sums[own] = np.inf
    outside = (sums / sizes[:, None]).min(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside /= (sizes - 1)[cluster]
        apart = (outside - inside) / np.maximum(inside, outside)
    # A cluster of one point has no distances within.
    return float(np.mean(np.nan_to_num(apart)))

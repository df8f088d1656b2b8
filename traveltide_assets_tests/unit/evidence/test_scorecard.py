"""All strategies on one yardstick."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import pairwise_distances

from traveltide_assets.evidence.scorecard import ScoredSample, persistence


def test_persistence_without_common_customers_is_unknown() -> None:
    one = pd.DataFrame({"user_id": [1], "segment": ["a"]})
    assert np.isnan(persistence(one, pd.DataFrame({"user_id": [2], "segment": ["a"]})))
    assert np.isnan(persistence(one, None))


def test_separation_of_one_segment_is_unknown() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    yardstick = ScoredSample(np.arange(20), points, pairwise_distances(points))
    found = yardstick.separation(pd.Series(["all"] * 20))
    assert np.isnan(found["silhouette"])

"""From features to numbers a model can use, and the one decision about undefined values.

A ratio without a denominator (bags per flight of someone who never flew) says nothing, so it is
replaced by the cohort's mean: it then speaks neither for nor against a segment or a perk.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from traveltide_assets.transforms.features.catalogue import CATALOGUE

NUMERIC = tuple(feature.name for feature in CATALOGUE if feature.type != "string")


def numeric(features: pd.DataFrame, names: Iterable[str] = NUMERIC) -> pd.DataFrame:
    """The numeric features, yes and no as 1 and 0, indexed by `user_id`."""
    # `set_index` would copy every column, text included.
    return features[list(names)].astype("float64").set_axis(pd.Index(features["user_id"]), axis=0)


def fills(frame: pd.DataFrame) -> pd.Series:
    """What replaces an undefined value of each column: its mean, or 0 if nobody has a value."""
    return frame.mean().fillna(0.0)


def standardised(frame: pd.DataFrame) -> pd.DataFrame:
    """Deviations from the mean in standard deviations; 0 where undefined or constant."""
    spread = frame.std(ddof=0)
    return ((frame - frame.mean()) / spread.where(spread > 0)).fillna(0.0)


def min_max(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Values on the scale where `low` is 0 and `high` is 1; 0 where both are equal."""
    spread = high - low
    return np.where(spread > 0, (values - low) / np.where(spread > 0, spread, 1.0), 0.0)

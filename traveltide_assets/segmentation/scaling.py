"""Numeric inputs for models, and the one rule for undefined values.

A ratio with a denominator of zero (such as bags per flight of someone who never flew) carries no
information. It is replaced by the cohort's mean, so it counts neither for nor against a segment or
a perk.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from traveltide_assets.transforms.features.catalogue import CATALOGUE, OWN

NUMERIC = tuple(feature.name for feature in OWN if feature.type != "string")
ALL_NUMERIC = tuple(feature.name for feature in CATALOGUE if feature.type != "string")
"""Those of published works too."""


def numeric(features: pd.DataFrame, names: Iterable[str] | None = None) -> pd.DataFrame:
    """Numeric features, indexed by `user_id`; yes and no become 1 and 0.

    Without `names`, all that the frame has: forbidden ones may have been taken off.
    """
    wanted = [name for name in NUMERIC if name in features] if names is None else list(names)
    # `set_index` would copy all columns, including text.
    return features[wanted].astype("float64").set_axis(pd.Index(features["user_id"]), axis=0)


def fills(frame: pd.DataFrame) -> pd.Series:
    """Replacement for undefined values of each column: its mean, or 0 without any value."""
    return frame.mean().fillna(0.0)


def standardised(frame: pd.DataFrame) -> pd.DataFrame:
    """Deviations from the mean in standard deviations; 0 if undefined or constant."""
    spread = frame.std(ddof=0)
    return ((frame - frame.mean()) / spread.where(spread > 0)).fillna(0.0)


def min_max(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Values scaled so that `low` is 0 and `high` is 1; 0 if both are equal."""
    spread = high - low
    return np.where(spread > 0, (values - low) / np.where(spread > 0, spread, 1.0), 0.0)

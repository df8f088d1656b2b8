"""Percentile ranks of values within a cohort, as shares from 0 to 1."""

from __future__ import annotations

import numpy as np


def percentile_rank(values: np.ndarray, cohort: np.ndarray) -> np.ndarray:
    """Share of the cohort below each value, ties counted half: 0 to 1, NaN where undefined.

    `cohort` must be sorted and free of NaN. Ties share the middle of their ranks, so a value that
    most of the cohort has (such as no cancellations) ranks neither high nor low. With an empty
    cohort every value gets 0.5.
    """
    if not len(cohort):
        return np.where(np.isnan(values), np.nan, 0.5)
    below = np.searchsorted(cohort, values, side="left")
    up_to = np.searchsorted(cohort, values, side="right")
    return np.where(np.isnan(values), np.nan, (below + up_to) / (2 * len(cohort)))


def depth(values: np.ndarray, cohort: np.ndarray) -> np.ndarray:
    """Share of the cohort at or below each value: 1 at the maximum or beyond.

    `cohort` must be sorted and free of NaN. With an empty cohort every value gets 1.
    """
    if not len(cohort):
        return np.ones(len(values))
    return np.searchsorted(cohort, values, side="right") / len(cohort)

"""Where values stand among those of a cohort, in shares of it."""

from __future__ import annotations

import numpy as np


def standing(values: np.ndarray, cohort: np.ndarray) -> np.ndarray:
    """Share of the cohort below each value, ties counted half: 0 to 1, NaN where undefined.

    `cohort` is sorted and without NaN. Ties share the middle of their places, so that a value
    that most of the cohort has (no cancellation, say) neither leads nor trails. An empty cohort
    puts everybody in the middle.
    """
    if not len(cohort):
        return np.where(np.isnan(values), np.nan, 0.5)
    below = np.searchsorted(cohort, values, side="left")
    up_to = np.searchsorted(cohort, values, side="right")
    return np.where(np.isnan(values), np.nan, (below + up_to) / (2 * len(cohort)))


def depth(values: np.ndarray, cohort: np.ndarray) -> np.ndarray:
    """Share of the cohort that does not exceed each value: 1 at the top or beyond, ties included.

    `cohort` is sorted and without NaN; 1 for everybody where it is empty.
    """
    if not len(cohort):
        return np.ones(len(values))
    return np.searchsorted(cohort, values, side="right") / len(cohort)

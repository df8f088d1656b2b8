"""Drift of the features: how much the cohort changed between two months."""

from __future__ import annotations

import numpy as np
import pandas as pd

from traveltide_assets.segmentation.scaling import numeric

_BINS = 10
_FLOOR = 1e-4


def population_stability(before: pd.DataFrame, now: pd.DataFrame) -> pd.Series:
    """Population stability index (PSI) of each numeric feature between two months, by feature.

    Bins are the deciles of the earlier month; undefined values form a separate bin.
    """
    earlier, later = numeric(before), numeric(now)
    return pd.Series({name: _psi(earlier[name], later[name]) for name in earlier.columns})


def _psi(earlier: pd.Series, later: pd.Series) -> float:
    edges = np.unique(earlier.quantile(np.linspace(0, 1, _BINS + 1)[1:-1]).dropna())
    expected, actual = _shares(earlier, edges), _shares(later, edges)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def _shares(values: pd.Series, edges: np.ndarray) -> np.ndarray:
    bins = np.where(values.isna(), len(edges) + 1, np.searchsorted(edges, values, side="left"))
    counts = np.bincount(bins, minlength=len(edges) + 2)
    return np.maximum(counts / counts.sum(), _FLOOR)

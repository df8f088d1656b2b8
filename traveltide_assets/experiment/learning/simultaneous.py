"""Intervals that all hold at once, for several means over the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

_DRAWS = 20_000
_SEED = 20230731


def simultaneous_intervals(contributed: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """One row per column: `value` (its mean), `standard_error`, `low` and `high`.

    All intervals hold together with the probability `level`: their width is a quantile of the
    largest of correlated normal deviations (max-t). Columns that depend on each other cost less
    than Bonferroni. A column without any spread has an interval of width 0.
    """
    values = contributed.to_numpy(dtype="float64")
    count = len(values)
    error = values.std(axis=0, ddof=1) / np.sqrt(count)
    reach = critical_value(values, level) * error
    mean = values.mean(axis=0)
    columns = {"value": mean, "standard_error": error, "low": mean - reach, "high": mean + reach}
    return pd.DataFrame(columns, index=contributed.columns)


def critical_value(values: np.ndarray, level: float) -> float:
    """How many standard errors the widest of the deviations stays within. 0 without any spread."""
    spread = values.std(axis=0, ddof=1)
    varying = values[:, spread > 1e-12 * np.abs(values).max(initial=1e-300)]
    if not varying.shape[1]:
        return 0.0
    correlation = np.atleast_2d(np.corrcoef(varying, rowvar=False))
    sizes, directions = np.linalg.eigh(correlation)
    root = directions * np.sqrt(sizes.clip(min=0))
    draws = np.random.default_rng(_SEED).standard_normal((_DRAWS, len(sizes)))
    return float(np.quantile(np.abs(draws @ root.T).max(axis=1), level))

"""Vectorised random draws from tables of weights and quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Times = npt.NDArray[np.datetime64]

Weights = Sequence[float] | Floats


def pick(rng: np.random.Generator, weights: Weights, count: int) -> Ints:
    """`count` positions drawn in proportion to their weights."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    found = np.searchsorted(edges, rng.random(count) * edges[-1], side="right")
    positions: Ints = np.minimum(found, len(edges) - 1)
    return positions


def pick_from(rng: np.random.Generator, tables: Sequence[Weights], which: npt.NDArray[Any]) -> Ints:
    """One position per element of `which`, the index of the table of weights to draw from."""
    width = max(len(table) for table in tables)
    padded = np.array([[*table, *[0.0] * (width - len(table))] for table in tables])
    edges = np.cumsum(padded, axis=1)
    edges /= edges[:, -1:]
    draws = rng.random(len(which))
    found = (draws[:, None] >= edges[np.asarray(which, dtype=np.int64)]).sum(axis=1)
    positions: Ints = np.minimum(found, width - 1)
    return positions


def quantile(shares: Weights, values: Weights, at: Floats) -> Floats:
    """Values at given ranks, interpolated between the known quantiles of positive values.

    Interpolation is linear in the logarithm, which keeps long tails from becoming too heavy.
    """
    return np.exp(np.interp(at, shares, np.log(values)))


def by_kind(values: Sequence[float], active: Flags) -> Floats:
    """The value for each user's kind. `values` holds that of regular, then of active users."""
    regular, of_active = values
    return np.where(active, of_active, regular)


def order_in_group(groups: Ints) -> Ints:
    """Position (0, 1, ...) of each element within its run of equal values; `groups` is sorted."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)

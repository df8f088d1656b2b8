"""What may be said of groups of customers: no group of fewer than ten is shown or given away."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FEWEST = 10
"""No group of fewer customers is shown, counted or listed."""


def disclosable(sizes: np.ndarray) -> np.ndarray:
    """Whether the size of each group may be shown: at least ten customers, or none.

    As long as the groups that are not shown have fewer than ten customers together, the smallest
    shown one is hidden, too: the total would give the others away.
    """
    shown = (sizes == 0) | (sizes >= FEWEST)
    while 0 < sizes[~shown].sum() < FEWEST and (sizes[shown] > 0).any():
        shown[np.where(shown & (sizes > 0), sizes, np.inf).argmin()] = False
    return shown


def told(sizes: Mapping[str, int]) -> dict[str, int | None]:
    """The customers of each group; None where they may not be shown."""
    numbers = np.array(list(sizes.values()), dtype="int64")
    shown = disclosable(numbers)
    return {
        name: int(number) if show else None
        for name, number, show in zip(sizes, numbers, shown, strict=True)
    }


def disclosable_pairs(table: np.ndarray) -> np.ndarray:
    """Whether each cell of a table of customers may be shown beside the totals around it.

    In every row and column with a hidden cell, at least two are hidden, of ten customers or more
    together, as far as there are cells to hide: no total gives a small one away.
    """
    shown = (table == 0) | (table >= FEWEST)
    while True:
        before = shown.copy()
        for lines, sizes in ((shown, table), (shown.T, table.T)):
            for line, numbers in zip(lines, sizes, strict=True):
                _hide(numbers, line)
        if (shown == before).all():
            return shown


def _hide(sizes: np.ndarray, shown: np.ndarray) -> None:
    """Hides the smallest cells of a line, in place, until what is hidden cannot be told."""
    filled = sizes > 0
    while (hidden := filled & ~shown).any():
        enough = hidden.sum() > 1 and sizes[hidden].sum() >= FEWEST
        if enough or not (filled & shown).any():
            return
        shown[np.where(filled & shown, sizes, np.inf).argmin()] = False

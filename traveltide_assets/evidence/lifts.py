"""Lifts over several cuts, with what chance alone would give: bootstrap and permutations.

The windows of different cuts overlap, so a customer's windows are not independent. Customers are:
a bootstrap draw takes a customer with all windows, and a permutation moves all outcomes of a
customer together. Cuts are combined by the ratio of Mantel and Haenszel, which compares customers
within each cut only, so that a month in which everybody books more favours nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from traveltide_assets.stats.side_by_side import every_core

# Rounds end for an outcome when chance has reached each of its lifts so often, in one direction or
# the other, that more permutations could not make it significant.
_REACHED_OFTEN = 20


@dataclass(frozen=True)
class Sums:
    """Amounts and opportunities of a group (`a`, `n`) and of the others (`b`, `m`).

    The last axis is the cuts.
    """

    a: np.ndarray
    n: np.ndarray
    b: np.ndarray
    m: np.ndarray

    def by_cut(self) -> np.ndarray:
        """The lift at each cut, NaN where undefined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            lifts = (self.a / self.n) / (self.b / self.m)
        return np.where(np.isfinite(lifts), lifts, np.nan)

    def pooled(self) -> np.ndarray:
        """The lift over all cuts, NaN where undefined."""
        whole = np.maximum(self.n + self.m, 1)
        top, bottom = (self.a * self.m / whole).sum(-1), (self.b * self.n / whole).sum(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            lifts = top / bottom
        return np.where(np.isfinite(lifts), lifts, np.nan)


@dataclass(frozen=True)
class Done:
    """What customers did after each cut: `amount` and `chances`, a row per cut."""

    amount: np.ndarray
    chances: np.ndarray

    def sums(self, given: np.ndarray) -> Sums:
        """The sums of each group; `given` is groups by cuts by customers."""
        a, n = ((part * given).sum(-1) for part in (self.amount, self.chances))
        return self._with_others(a, n)

    def drawn(self, given: np.ndarray, weights: np.ndarray) -> Sums:
        """The sums of each group (first axis) in each bootstrap draw (row of `weights`)."""
        groups, cuts, _ = given.shape
        parts = np.concatenate(
            [part * side for side in (given, ~given) for part in (self.amount, self.chances)]
        )
        found = weights @ parts.reshape(4 * groups * cuts, -1).astype(np.float32).T
        shaped = found.T.reshape(4, groups, cuts, -1).transpose(0, 1, 3, 2).astype(np.float64)
        return Sums(*shaped)

    def permuted(self, given: np.ndarray, permutations: np.ndarray) -> Sums:
        """The sums of each group (first axis) with the outcomes of customers permuted."""
        kind = _exact(self.amount, self.chances)
        groups = [given[:, cut].T.astype(kind) for cut in range(given.shape[1])]
        # One buffer for all: a new one for each would cost as much time as the sums.
        moved = np.empty(permutations.shape, dtype=kind)

        def summed(part: np.ndarray) -> np.ndarray:
            found = [
                np.take(did, permutations, out=moved, mode="clip") @ group
                for did, group in zip(part.astype(kind), groups, strict=True)
            ]
            return np.stack(found, axis=-1).transpose(1, 0, 2).astype(np.float64)

        return self._with_others(summed(self.amount), summed(self.chances))

    def _with_others(self, a: np.ndarray, n: np.ndarray) -> Sums:
        return Sums(a, n, self.amount.sum(-1) - a, self.chances.sum(-1) - n)


def _exact(*parts: np.ndarray) -> type[np.floating]:
    """Single precision, of half the memory, if sums of these values cannot be rounded in it.

    That holds for whole numbers, such as bags and flights, of less than 2^24 in all.
    """
    whole = all((part == np.rint(part)).all() and np.abs(part).sum() < 2**24 for part in parts)
    return np.float32 if whole else np.float64


@dataclass(frozen=True)
class Chance:
    """What permutations give a group: p-values in both directions, mean and SD of the lift."""

    above: float
    below: float
    mean: float
    sd: float


def by_chance(
    tested: Sequence[tuple[Done, np.ndarray]], rounds: Iterable[np.ndarray]
) -> list[list[Chance]]:
    """What permutations give the groups of each outcome, in as many rounds as each outcome takes.

    `rounds` are permutations of the customers, one per row. `tested` are what customers did, and
    the groups of which it is asked. All outcomes see the same rounds.
    """
    lifts = [done.sums(given).pooled() for done, given in tested]
    found = [np.empty((len(given), 0)) for _, given in tested]
    left = set(range(len(tested)))

    def permuted(place: int, round_: np.ndarray) -> np.ndarray:
        done, given = tested[place]
        return np.hstack([found[place], done.permuted(given, round_).pooled()])

    # NumPy lets other threads work while it draws, moves and sums.
    with ThreadPoolExecutor(every_core()) as threads:
        following = iter(rounds)
        round_ = next(following, None) if left else None
        while round_ is not None:
            then = threads.submit(next, following, None)
            for place, more in zip(left, threads.map(permuted, left, repeat(round_)), strict=True):
                found[place] = more
            left = {place for place in left if not _all_reached_often(lifts[place], found[place])}
            round_ = then.result() if left else None
    return [
        [_summarised(lift, permuted) for lift, permuted in zip(*both, strict=True)]
        for both in zip(lifts, found, strict=True)
    ]


def _all_reached_often(lifts: np.ndarray, permuted: np.ndarray) -> bool:
    reached = (_reached(lift, found) for lift, found in zip(lifts, permuted, strict=True))
    return all(min(both) >= _REACHED_OFTEN for both in reached)


def _summarised(lift: float, permuted: np.ndarray) -> Chance:
    known = permuted[np.isfinite(permuted)]
    if not np.isfinite(lift) or not len(known):
        return Chance(*[float("nan")] * 4)
    above, below = ((1 + count) / (1 + len(permuted)) for count in _reached(lift, permuted))
    return Chance(float(above), float(below), float(known.mean()), float(known.std()))


def _reached(lift: float, permuted: np.ndarray) -> tuple[int, int]:
    """How many permutations reach the lift: from above, and from below.

    A permutation with an undefined lift counts as one that reaches it. One that changes nothing
    sums in another order, and must not fall short because of rounding.
    """
    if not np.isfinite(lift):
        return len(permuted), len(permuted)
    undefined = int(np.isnan(permuted).sum())
    above = int((permuted >= lift * (1 - 1e-9)).sum())
    below = int((permuted <= lift * (1 + 1e-9)).sum())
    return above + undefined, below + undefined

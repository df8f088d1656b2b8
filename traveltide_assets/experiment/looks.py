"""Looking at an experiment before its end without crying wolf: group sequential bounds.

The level is spent over the looks really taken, by the function of Lan and DeMets that follows
O'Brien and Fleming: next to nothing early, nearly all at the planned end. A look's time is the
share of the planned length that has passed. Outcomes add up over time, so the statistic at a look
is a Brownian motion at that time, up to scale. Futility is not binding: whoever goes on in spite of
it raises no more false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm

_FARTHEST = 8.5  # A bound beyond this many standard deviations is never reached.
_NODES = 64
_NODES_PER_STEP = 5.0
_MOST_BLOCKS = 16
_LEVELS = 2 * norm.sf(np.linspace(0.05, 8.0, 28))


def spent(times: Sequence[float] | np.ndarray, alpha: float) -> np.ndarray:
    """The level spent up to each time, half of it on either side: all of `alpha` at 1."""
    shares = np.asarray(times, dtype="float64")
    return 4 * norm.sf(norm.isf(alpha / 4) / np.sqrt(shares))


def bounds(times: Sequence[float], alpha: float) -> np.ndarray:
    """How many standard errors a difference must reach at each look, in either direction.

    `times` rise, above 0 and at most 1. Raises `ValueError` if they do not.
    """
    return np.array(_bounds(tuple(_checked(times).tolist()), alpha))


@lru_cache(maxsize=1024)
def _bounds(looks: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    levels = np.diff(spent(looks, alpha), prepend=0.0)
    found = np.full(len(looks), _FARTHEST)
    walk = _Walk()
    for place, (time, level) in enumerate(zip(looks, levels, strict=True)):
        found[place] = walk.bound(time, level)
        walk = walk.inside(time, found[place] * np.sqrt(time))
    return tuple(found.tolist())


def crossing(
    times: Sequence[float], limits: Sequence[float] | np.ndarray, drift: float = 0.0
) -> np.ndarray:
    """The chance that each look is the first to reach its bound, in either direction.

    `drift` is the expected number of standard errors at the planned end.
    """
    looks = _checked(times)
    chances = np.zeros(len(looks))
    walk = _Walk(drift=drift)
    for place, (time, limit) in enumerate(zip(looks, limits, strict=True)):
        edge = float(limit) * np.sqrt(time)
        chances[place] = walk.beyond(time, edge)
        walk = walk.inside(time, edge)
    return chances


def p_value(difference: float, times: Sequence[float]) -> float:
    """The p-value of a difference, in standard errors, at the last of the looks taken.

    It is the smallest level at which this look would have reached its bound. So it holds at every
    look, however many are taken. With one look, at the planned end, it is the usual one.
    """
    return float(p_values(np.array([difference]), times)[0])


def p_values(differences: np.ndarray, times: Sequence[float]) -> np.ndarray:
    """`p_value` of many differences."""
    looks = tuple(float(time) for time in _checked(times))
    sizes = np.minimum(np.abs(differences), _FARTHEST)
    if len(looks) == 1:
        # Half of the level is spent on either side, so near 0 this would exceed 1.
        found = 4 * norm.sf(np.sqrt(looks[0]) * norm.isf(norm.sf(sizes) / 2))
        return np.minimum(1.0, found)
    return 2 * norm.sf(np.maximum(_quantile(looks)(sizes), 0.0))


@lru_cache(maxsize=64)
def _quantile(looks: tuple[float, ...]) -> PchipInterpolator:
    """The normal quantile of the level whose bound at the last look is a given one."""
    limits = np.array([bounds(looks, level)[-1] for level in _LEVELS])
    quantiles = norm.isf(_LEVELS / 2)
    order = np.argsort(limits, kind="stable")
    rising = np.concatenate([[True], np.diff(limits[order]) > 1e-9])
    known = PchipInterpolator(limits[order][rising], quantiles[order][rising], extrapolate=True)
    return PchipInterpolator(
        np.concatenate([[0.0], known.x]), np.concatenate([[0.0], known(known.x)])
    )


def conditional_power(
    difference: float, times: Sequence[float], alpha: float, drift: float
) -> float:
    """The chance that the difference reaches the bound of the planned end, from what it is now.

    `difference` in standard errors, positive for the wanted direction; `drift` as in `crossing`,
    for the effect planned.
    """
    now = float(_checked(times)[-1])
    if now >= 1:
        return float(difference >= bounds(times, alpha)[-1])
    last = bounds([*times, 1.0], alpha)[-1]
    expected = difference * np.sqrt(now) + drift * (1 - now)
    return float(norm.sf((last - expected) / np.sqrt(1 - now)))


@dataclass(frozen=True)
class Prospect:
    """What looking early costs and gains, for an effect of a given size.

    `power` is the chance to reach a bound, `expected` the mean time of the end, as a share of the
    planned length, `median` the first look by which half of the experiments have reached a bound
    (1 if fewer ever do).
    """

    power: float
    expected: float
    median: float


def prospect(times: Sequence[float], alpha: float, drift: float) -> Prospect:
    """The prospect of an experiment with these looks. `drift` as in `crossing`."""
    looks = _checked(times)
    chances = crossing(times, bounds(times, alpha), drift)
    power = float(chances.sum())
    reached = np.flatnonzero(np.cumsum(chances) >= 0.5)
    return Prospect(
        power,
        float(chances @ looks + (1 - power) * looks[-1]),
        float(looks[reached[0]]) if len(reached) else 1.0,
    )


def _checked(times: Sequence[float]) -> np.ndarray:
    looks = np.asarray(times, dtype="float64")
    if not len(looks) or looks[0] <= 0 or looks[-1] > 1 or (np.diff(looks) <= 0).any():
        raise ValueError(f"times of looks must rise, above 0 and at most 1; they are {times}")
    return looks


@lru_cache(maxsize=_MOST_BLOCKS)
def _gauss(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    unit, weight = np.polynomial.legendre.leggauss(nodes)
    return unit, weight


class _Walk:
    """A Brownian motion with drift that has stayed within all bounds so far: its density."""

    def __init__(
        self,
        time: float = 0.0,
        places: np.ndarray | None = None,
        mass: np.ndarray | None = None,
        drift: float = 0.0,
    ) -> None:
        self._time, self._drift = time, drift
        self._places = np.zeros(1) if places is None else places
        self._mass = np.ones(1) if mass is None else mass

    def beyond(self, time: float, edge: float) -> float:
        """The chance to be outside of -edge to edge at a time, having stayed inside before."""
        step = np.sqrt(time - self._time)
        centre = self._places + self._drift * (time - self._time)
        outside = ndtr((centre - edge) / step) + ndtr((-edge - centre) / step)
        return float(self._mass @ outside)

    def bound(self, time: float, chance: float) -> float:
        """The bound, in standard errors, that is crossed at a time with a given chance."""
        root = np.sqrt(time)
        if self.beyond(time, _FARTHEST * root) >= chance:
            return _FARTHEST
        if self.beyond(time, 0.0) <= chance:
            return 0.0
        return float(
            brentq(lambda z: self.beyond(time, z * root) - chance, 0.0, _FARTHEST, xtol=1e-10)
        )

    def inside(self, time: float, edge: float) -> _Walk:
        """The same at a later time, without what is then outside of -edge to edge."""
        step = np.sqrt(time - self._time)
        blocks = int(np.ceil(1 + _NODES_PER_STEP * 2 * edge / step / _NODES))
        unit, weight = _gauss(_NODES * min(blocks, _MOST_BLOCKS))
        places = edge * unit
        centre = self._places + self._drift * (time - self._time)
        distance = (places[:, None] - centre[None, :]) / step
        density = np.exp(-0.5 * distance**2) / (step * np.sqrt(2 * np.pi))
        return _Walk(time, places, edge * weight * (density @ self._mass), self._drift)

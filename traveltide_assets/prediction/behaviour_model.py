"""What a newcomer will do later: a sparse model of behaviour per opportunity for each perk.

Inputs become terms such as "age at least 60", so that the model can be read as a sentence. The
lasso keeps few of them; how many is chosen on customers that were not fitted. A behaviour that is
not foretold beyond noise keeps no term. Its perk has no signal: everybody is expected to do what
the average newcomer does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import lasso_path

from traveltide_assets.prediction.early import MOST_SESSIONS, PROFILE
from traveltide_assets.stats.threads import one_thread

PROFILE_ONLY = "profile"
WITH_SESSIONS = "profile and first sessions"
NOTHING = "one perk for everybody"
KINDS = (PROFILE_ONLY, WITH_SESSIONS)
EACH_N = range(MOST_SESSIONS + 1)
# A behaviour is foretold if the gain on unseen customers exceeds zero by this many standard errors.
_BEYOND_NOISE = 2.0
_FOLDS = 5
# Relative to the penalty that keeps no term.
_PENALTIES = np.logspace(0, -1.5, 16)
_PROFILE_BANDS, _SESSION_BANDS = 20, 4
_OUTRANKED = 1e6


@dataclass(frozen=True)
class Observed:
    """Customers with the same n: the inputs known then, and what they did later.

    `amount` and `chances` have a row per customer and a column per perk; what they did per
    opportunity is their ratio.
    """

    inputs: np.ndarray
    amount: np.ndarray
    chances: np.ndarray

    def of(self, rows: np.ndarray) -> Observed:
        """The rows selected by a boolean mask."""
        return Observed(self.inputs[rows], self.amount[rows], self.chances[rows])


@dataclass(frozen=True)
class Terms:
    """Conditions "input at least threshold"; `place` is the position of the input."""

    place: np.ndarray
    threshold: np.ndarray

    def __len__(self) -> int:
        return len(self.place)

    def hold(self, inputs: np.ndarray) -> np.ndarray:
        """1 where a term (column) holds for a customer (row), 0 where not, NaN if unknown."""
        values = inputs[:, self.place]
        return np.where(np.isnan(values), np.nan, values >= self.threshold)


@dataclass(frozen=True)
class Behaviour:
    """Expected deviations of behaviour from that of the average customer, for each n from 0.

    `weights` has a standard deviation of the behaviour by n, term and perk. `share` is the share of
    customers for whom a term holds, by n and term. `average` and `spread` are the mean and standard
    deviation of customers' behaviour per opportunity, by n and perk.
    """

    kind: str
    terms: Terms
    weights: np.ndarray
    share: np.ndarray
    average: np.ndarray
    spread: np.ndarray

    def deviations(self, n: int, inputs: np.ndarray) -> np.ndarray:
        """One row per row of inputs, a column per perk, in SD. What is unknown counts as usual."""
        return np.nan_to_num(self.terms.hold(inputs) - self.share[n]) @ self.weights[n]

    @property
    def signal(self) -> np.ndarray:
        """Whether anything foretells the behaviour, by n and perk."""
        return np.asarray((self.weights != 0).any(axis=1))


def best_perk(deviations: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Position of the perk with the highest deviation in each row, of those with a signal.

    Without any signal it is the first one.
    """
    return (deviations - _OUTRANKED * ~signal).argmax(axis=1)


def fit(kind: str, known: Mapping[int, Observed], names: Sequence[str], seed: int) -> Behaviour:
    """A model of a kind, from customers by n. `names` are those of the inputs.

    The model of the profile is fitted with n = 0, when most is still to come, and answers for
    every n. The kind `NOTHING` has no signal at all: it knows the average newcomer only.
    """
    perks = next(iter(known.values())).amount.shape[1]
    terms = _terms(names, np.vstack([each.inputs for each in known.values()]), kind)
    weights, share = np.zeros((len(EACH_N), len(terms), perks)), np.zeros((len(EACH_N), len(terms)))
    average, spread = np.zeros((len(EACH_N), perks)), np.zeros((len(EACH_N), perks))
    for n in sorted(known):
        average[n], spread[n] = _usual(known[n])
        if kind != WITH_SESSIONS and n > 0:
            weights[n], share[n] = weights[0], share[0]
            continue
        held = terms.hold(known[n].inputs)
        whole = np.maximum((~np.isnan(held)).sum(axis=0), 1)
        share[n] = np.nansum(held, axis=0) / whole
        if kind == NOTHING:
            continue
        centred = np.nan_to_num(held - share[n])
        for perk in np.flatnonzero(spread[n]):
            chances = known[n].chances[:, perk]
            some = chances > 0
            rate = known[n].amount[some, perk] / chances[some]
            deviation = (rate - average[n, perk]) / spread[n, perk]
            weights[n, :, perk] = _sparse(centred[some], deviation, chances[some], seed)
    return Behaviour(kind, terms, weights, share, average, spread)


def _usual(known: Observed) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each behaviour (column); 0 where there is no opportunity."""
    whole = np.maximum(known.chances.sum(axis=0), 1)
    average = known.amount.sum(axis=0) / whole
    rate = known.amount / np.maximum(known.chances, 1)
    return average, np.sqrt((known.chances * (rate - average) ** 2).sum(axis=0) / whole)


def _terms(names: Sequence[str], inputs: np.ndarray, kind: str) -> Terms:
    """The terms of a kind of model: quantiles of each input, beyond its smallest value."""
    place: list[int] = []
    threshold: list[float] = []
    for position, name in enumerate(names):
        profile = name.partition("=")[0] in PROFILE
        values = np.sort(inputs[:, position][~np.isnan(inputs[:, position])])
        if (kind != WITH_SESSIONS and not profile) or not len(values) or values[0] == values[-1]:
            continue
        above = values[values > values[0]]
        bands = _PROFILE_BANDS if profile else _SESSION_BANDS
        edges = np.quantile(values, np.arange(1, bands) / bands, method="lower")
        found = np.unique(np.maximum(edges, above[0]))
        place += [position] * len(found)
        threshold += found.tolist()
    if not place:
        # Nothing differs between customers. A graph needs a term, so here is one that never holds.
        place, threshold = [0], [np.inf]
    return Terms(np.array(place, dtype=np.int64), np.array(threshold, dtype=np.float32))


def _sparse(terms: np.ndarray, y: np.ndarray, chances: np.ndarray, seed: int) -> np.ndarray:
    """The weights of the terms; all 0 if they foretell nothing beyond noise."""
    root = np.sqrt(chances / chances.mean())
    x, target = terms * root[:, None], y * root
    nothing = np.zeros(terms.shape[1])
    strongest = float(np.abs(x.T @ target).max(initial=0.0)) / len(y)
    if strongest == 0 or len(y) < 2 * _FOLDS:
        return nothing
    penalties = strongest * _PENALTIES
    fold = np.random.default_rng(seed).permutation(len(y)) % _FOLDS
    gains = np.zeros((len(y), len(penalties)))
    with one_thread():
        for number in range(_FOLDS):
            held = fold == number
            guess = x[held] @ _path(x[~held], target[~held], penalties)
            # How much less the squared error is than that of expecting the average.
            gains[held] = 2 * target[held, None] * guess - guess**2
        best = int(gains.mean(axis=0).argmax())
        error = gains[:, best].std() / np.sqrt(len(y))
        if gains[:, best].mean() <= _BEYOND_NOISE * error:
            return nothing
        return _path(x, target, penalties[: best + 1])[:, -1]


def _path(x: np.ndarray, y: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """The weight of each term (row) at each penalty (column), from the largest penalty on."""
    # Terms of one input overlap, so that small penalties take more than the usual 1,000 rounds.
    # Checks would look at all products of terms again for each penalty, as long as all the rest.
    _, weights, _ = lasso_path(
        np.asfortranarray(x),
        y,
        alphas=penalties,
        precompute=True,
        tol=1e-3,
        max_iter=20_000,
        check_input=False,
    )
    return np.asarray(weights)

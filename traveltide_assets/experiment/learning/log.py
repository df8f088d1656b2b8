"""A log of decisions: who got which action with which probability, and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from traveltide_assets.schema.errors import TravelTideError

_FEWEST_FOLDS = 2


class LogError(TravelTideError, ValueError):
    """The log, or what is asked about it, is not valid. The message says what and where."""


@dataclass(frozen=True)
class Log:
    """One row per decision.

    `features` are known before the decision: numbers, booleans or texts. `action` is a place in
    `actions`, `propensity` the probability with which that action was drawn, `reward` what came
    back, in any unit where more is better. `possible` (rows by actions) says which actions could
    have been drawn. Rows with the same `customer` are not independent: they are in one fold, and
    count together in every interval. Build it with `Log.of`, which validates.
    """

    features: pd.DataFrame
    action: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray
    actions: tuple[str, ...]
    possible: np.ndarray
    customer: np.ndarray

    @classmethod
    def of(
        cls,
        features: pd.DataFrame | np.ndarray,
        action: Sequence[object] | np.ndarray | pd.Series,
        propensity: float | Sequence[float] | np.ndarray | pd.Series,
        reward: Sequence[float] | np.ndarray | pd.Series,
        actions: Sequence[object] | None = None,
        possible: np.ndarray | None = None,
        customers: Sequence[object] | np.ndarray | pd.Series | None = None,
    ) -> Log:
        """A log of columns of equal length; `propensity` may be one number for all rows.

        `actions` are the names of all actions, the one to compare with (nothing sent) first.
        Without it they are the names that occur, sorted. Names are compared as texts. `possible` is
        for rows that had no chance of some action; the first must be possible in every row.
        `customers` says whose row each is; without it, each is another's. Raises `LogError` for a
        missing action, rewards that are missing, infinite or no numbers, features that are
        infinite, none or without any value, a propensity outside (0, 1], an action that is unknown
        or was not possible, or columns that differ in length.
        """
        table = features_of(features)
        if table.isna().all(axis=None):
            raise LogError("no feature has a value")
        if missing := int(pd.isna(np.asarray(action, dtype=object)).sum()):
            raise LogError(f"{missing:,} actions are missing")
        taken = np.asarray(action).astype(str)
        names = tuple(str(name) for name in (sorted(set(taken)) if actions is None else actions))
        rewards, chances = _numbers("reward", reward), _numbers("propensity", propensity)
        if chances.ndim == 0:
            chances = np.full(len(table), float(chances))
        whose = np.arange(len(table)) if customers is None else np.asarray(customers)
        columns = {"action": taken, "propensity": chances, "reward": rewards, "customers": whose}
        for name, column in columns.items():
            if column.shape != (len(table),):
                raise LogError(
                    f"{name} has the shape {column.shape}; it needs one value for each of the "
                    f"{len(table):,} rows of features"
                )
        places = {name: place for place, name in enumerate(names)}
        if len(places) != len(names) or len(names) < 2:
            raise LogError(f"actions must be two or more different names; they are {names}")
        if unknown := sorted(set(taken) - set(places)):
            raise LogError(f"unknown actions in the log: {', '.join(unknown[:5])}; known: {names}")
        if not np.isfinite(rewards).all():
            raise LogError(f"{(~np.isfinite(rewards)).sum():,} rewards are missing or infinite")
        if not ((chances > 0) & (chances <= 1)).all():
            raise LogError("propensity must be above 0 and at most 1 in every row")
        codes = np.array([places[name] for name in taken], dtype="int64")
        may = _possible(possible, codes, len(names))
        customer = pd.factorize(whose)[0]
        return cls(table, codes, chances, rewards, names, may, customer)

    def __len__(self) -> int:
        return len(self.reward)

    def rows(self, chosen: np.ndarray) -> Log:
        """The log of some rows: a mask, or their places."""
        return replace(
            self,
            features=self.features.iloc[
                np.flatnonzero(chosen) if chosen.dtype == bool else chosen
            ].reset_index(drop=True),
            action=self.action[chosen],
            propensity=self.propensity[chosen],
            reward=self.reward[chosen],
            possible=self.possible[chosen],
            customer=self.customer[chosen],
        )

    def folds(self, folds: int, seed: int) -> np.ndarray:
        """The fold of each row, see `folds_of`; all rows of a customer are in the same one."""
        _, customer = np.unique(self.customer, return_inverse=True)
        return folds_of(int(customer.max()) + 1, folds, seed)[customer]

    def by_customer(self, contributed: np.ndarray) -> np.ndarray:
        """One row per customer with the same mean as `contributed`, whose rows are the log's.

        Its rows are independent, so that the standard error of the mean is that of this.
        """
        names, customer = np.unique(self.customer, return_inverse=True)
        if len(names) == len(self):
            return contributed
        mean = contributed.mean(axis=0)
        sums = np.zeros((len(names), *contributed.shape[1:]))
        # Of deviations: that some have more rows than others is no spread.
        np.add.at(sums, customer, contributed - mean)
        return mean + sums * len(names) / len(self)

    def net_of(self, costs: Sequence[float] | np.ndarray | None) -> Log:
        """The log with what each action costs, in units of the reward, taken off its rewards."""
        if costs is None:
            return self
        prices = np.asarray(costs, dtype="float64")
        if prices.shape != (len(self.actions),) or not np.isfinite(prices).all():
            raise LogError(f"costs need one number for each of {self.actions}; they are {costs}")
        return replace(self, reward=self.reward - prices[self.action])

    def weights(self, policy: np.ndarray) -> np.ndarray:
        """Probability of the logged action under a policy ÷ its propensity, per row."""
        chances = self.probabilities(policy)
        return chances[np.arange(len(self)), self.action] / self.propensity

    def probabilities(self, policy: np.ndarray) -> np.ndarray:
        """A policy as rows by actions. It is given like that, or as one action's place per row."""
        given = np.asarray(policy)
        count = len(self.actions)
        if given.shape == (len(self),):
            if not np.isin(given, np.arange(count)).all():
                raise LogError(f"a policy names places of actions, 0 to {count - 1}")
            return np.eye(count)[given.astype("int64")]
        if given.shape != (len(self), count):
            raise LogError(f"a policy of the shape {given.shape} does not fit this log")
        sums = given.sum(axis=1)
        if (given < 0).any() or not np.allclose(sums, 1, atol=1e-9):
            raise LogError("the probabilities of a policy must be at least 0 and add up to 1")
        return given.astype("float64")

    def always(self, action: int) -> np.ndarray:
        """The policy that takes the same action for everybody who had a chance of it."""
        return self.within_reach(np.full(len(self), action, dtype="int64"))

    def within_reach(self, policy: np.ndarray) -> np.ndarray:
        """One action's place per row, the first where the row had no chance of the one given."""
        return np.where(self.possible[np.arange(len(self)), policy], policy, 0)

    def best(self, effects: np.ndarray) -> np.ndarray:
        """The place of the possible action with the highest effect per row; the first of equals."""
        return np.where(self.possible, effects, -np.inf).argmax(axis=1)


def _numbers(name: str, column: object) -> np.ndarray:
    try:
        return np.asarray(column, dtype="float64")
    except (TypeError, ValueError) as error:
        raise LogError(f"{name} must be numbers: {error}") from error


def _possible(given: np.ndarray | None, taken: np.ndarray, actions: int) -> np.ndarray:
    shape = (len(taken), actions)
    possible = np.ones(shape, dtype=bool) if given is None else np.asarray(given)
    if possible.shape != shape or possible.dtype != bool:
        raise LogError(
            f"`possible` is {possible.dtype} of the shape {possible.shape}; it needs a boolean for "
            f"each of {shape[0]:,} rows and {actions} actions"
        )
    if not possible[:, 0].all():
        raise LogError("the first action must be possible in every row")
    if not possible[np.arange(len(taken)), taken].all():
        raise LogError("some rows of the log have an action that was not possible")
    return possible


def features_of(features: pd.DataFrame | np.ndarray) -> pd.DataFrame:
    """Features as models take them: columns named by texts, numbers and booleans as floats."""
    table = pd.DataFrame(features).reset_index(drop=True)
    table.columns = [str(name) for name in table.columns]
    if table.shape[1] == 0:
        raise LogError("there are no features")
    numbers = [name for name in table if pd.api.types.is_numeric_dtype(table[name])]
    table = table.astype(dict.fromkeys(numbers, "float64"))
    if infinite := [name for name in numbers if np.isinf(table[name]).any()]:
        raise LogError(f"features are infinite in some rows: {', '.join(infinite)}")
    return table


def folds_of(rows: int, folds: int, seed: int) -> np.ndarray:
    """The fold of each row, 0 to `folds` - 1, at random and of equal size up to one row."""
    if not _FEWEST_FOLDS <= folds <= rows:
        raise LogError(f"{folds} folds of {rows:,} rows; take {_FEWEST_FOLDS} or more of each")
    return np.random.default_rng(seed).permutation(np.arange(rows) % folds)

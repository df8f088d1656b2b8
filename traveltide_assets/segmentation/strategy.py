"""What every segmentation strategy is: fitted on a history, it gives customers segment and perk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pandas as pd

ASSIGNMENT = ("user_id", "segment", "perk", "score", "reason")


@dataclass(frozen=True)
class History:
    """What a strategy may learn from: nothing in it lies after the month it decides for.

    `features` has one row per customer as of that month. `earlier` and `outcomes` are there for
    strategies that learn from what followed: the features of the same customers as of a cut, and
    what they did between the cut and the month.
    """

    features: pd.DataFrame
    earlier: pd.DataFrame | None = None
    outcomes: pd.DataFrame | None = None


class Fitted(Protocol):
    """A strategy with its parameters settled."""

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: the columns of `ASSIGNMENT`."""


class Strategy(Protocol):
    """A way to segment customers: `name` is its key in the lake, `description` how it works."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def inputs(self) -> frozenset[str]:
        """The features it looks at; no other makes a difference."""

    @property
    def learns_from_outcomes(self) -> bool:
        """Whether `fit` looks at what came after: such a strategy is judged on other customers."""

    def reseeded(self, seed: int) -> Strategy:
        """The same strategy with its chances drawn anew; itself where nothing is random."""

    def fit(self, history: History) -> Fitted: ...

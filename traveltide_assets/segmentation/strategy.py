"""What every segmentation strategy is: fitted on a history, it gives customers segment and perk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from traveltide_assets.catalogue.perks import Program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.tables import SEGMENTS

ASSIGNMENT = tuple(column.name for column in SEGMENTS)


class CannotFit(ValueError):
    """A strategy has too little, or too uniform, a history to be fitted on; the message says why."""


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
    """A way to segment customers.

    Its module has a function `build(name, settings, perks)`, and `registry.py` names the module.
    """

    @property
    def name(self) -> str:
        """Its key in the settings and the lake."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def description(self) -> str:
        """How it works, in a sentence or two."""

    @property
    def program(self) -> Program:
        """The set of perks that it hands out."""

    @property
    def extra_columns(self) -> tuple[Column, ...]:
        """What its table of segments holds beside the columns of every strategy."""

    @property
    def inputs(self) -> frozenset[str]:
        """The features it looks at; no other makes a difference."""

    @property
    def learns_from_outcomes(self) -> bool:
        """Whether `fit` looks at outcomes: such a strategy is back-tested on other customers."""

    def reseeded(self, seed: int) -> Strategy:
        """The same strategy with another seed; itself where nothing is random."""

    def fit(self, history: History) -> Fitted:
        """The strategy fitted on a history; `CannotFit` where that does not suffice."""

"""The interface of segmentation strategies.

A strategy is fitted on a history and then gives each customer a segment and a perk.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from traveltide_assets.catalogue.perks import Program
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.tables import SEGMENTS

ASSIGNMENT = tuple(column.name for column in SEGMENTS)


class CannotFit(ValueError):
    """The history is too short or too uniform to fit a strategy; the message says why."""


@dataclass(frozen=True)
class History:
    """The data that a strategy may learn from; nothing in it is later than the month decided.

    `features` has one row per customer as of that month. `earlier` and `outcomes` are for
    strategies that learn from outcomes: the features of the same customers as of a cut, and their
    outcomes between the cut and the end of the month.

    `mailed` are customers who were sent a perk. They do more of what it rewards, whether or not
    they prefer it, so a strategy that learns what customers do leaves them out when it learns.
    """

    features: pd.DataFrame
    earlier: pd.DataFrame | None = None
    outcomes: pd.DataFrame | None = None
    mailed: Collection[int] = ()


class Fitted(Protocol):
    """A fitted strategy."""

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: the columns of `ASSIGNMENT`."""


class Strategy(Protocol):
    """A way to segment customers.

    Its module has a function `build(name, settings, perks)`, and `registry.py` names the module.
    """

    @property
    def name(self) -> str:
        """Name of the strategy in the settings and in the lake."""

    @property
    def title(self) -> str:
        """Title for people."""

    @property
    def description(self) -> str:
        """How it works, in a sentence or two."""

    @property
    def program(self) -> Program:
        """The program: the set of perks that it assigns."""

    @property
    def extra_columns(self) -> tuple[Column, ...]:
        """Columns of its segments table in addition to `ASSIGNMENT`."""

    @property
    def inputs(self) -> frozenset[str]:
        """The features that it uses; all others are ignored."""

    @property
    def learns_from_outcomes(self) -> bool:
        """Whether `fit` uses outcomes. If so, the back-test is cross-fitted on other customers."""

    def reseeded(self, seed: int) -> Strategy:
        """The same strategy with another seed; itself if it has no random part."""

    def fit(self, history: History) -> Fitted:
        """The strategy fitted on a history; `CannotFit` if the history does not suffice."""

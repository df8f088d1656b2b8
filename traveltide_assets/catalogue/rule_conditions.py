"""The conditions of a rule file: comparisons of features, and groups of customers who meet them.

Thresholds are absolute values, or quantiles of the cohort that the strategy is fitted on. An
undefined feature satisfies no comparison.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from traveltide_assets.transforms.features.catalogue import CATALOGUE, Feature

_ORDERINGS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
FEATURES = {feature.name: feature for feature in CATALOGUE if feature.type != "string"}


class Entry(BaseModel):
    """A table of a rule file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(Entry):
    """A comparison of a feature with a threshold: `value`, or the cohort's `quantile`.

    `feature` may also be the name of a definition of the file, which is yes or no.
    """

    feature: str
    comparison: Literal[">=", ">", "<=", "<", "is true", "is false", "is missing"]
    value: float | None = None
    quantile: float | None = Field(None, ge=0, le=1)

    @field_validator("feature")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        known = (*FEATURES, *(info.context or ()))
        if name not in known:
            raise ValueError(f"unknown feature {name!r}; choose from {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _fits_its_feature(self) -> Condition:
        thresholds = (self.value is not None) + (self.quantile is not None)
        if self._orders and thresholds != 1:
            raise ValueError(f"{self.comparison!r} needs either a value or a quantile, not both")
        if not self._orders and thresholds:
            raise ValueError(f"{self.comparison!r} takes no threshold")
        boolean = self._feature is None or self._feature.type == "boolean"
        if self.comparison != "is missing" and boolean == self._orders:
            kind = "yes or no" if boolean else "a number"
            raise ValueError(f"{self.feature} is {kind}, so {self.comparison!r} does not apply")
        return self

    @property
    def words(self) -> str:
        """The condition in words for a marketer."""
        label = self.feature if self._feature is None else self._feature.label
        if self.value is not None:
            return f"{label} {self.comparison} {_plain(self.value)}"
        return {
            "is true": label,
            "is false": f"{label}: no",
            "is missing": f"{label}: unknown",
        }.get(self.comparison, f"{label} {self.comparison} quantile {self.quantile}")

    @property
    def _feature(self) -> Feature | None:
        """The feature of the catalogue; None if the condition names a definition."""
        return FEATURES.get(self.feature)

    @property
    def _orders(self) -> bool:
        return self.comparison in _ORDERINGS

    def settled(self, values: np.ndarray) -> Condition:
        """The condition with its quantile computed on the cohort's values (NaN if undefined)."""
        if self.quantile is None:
            return self
        defined = values[~np.isnan(values)]
        # Without any value the threshold is NaN, which no customer can meet.
        threshold = float(np.quantile(defined, self.quantile)) if len(defined) else np.nan
        return self.model_copy(update={"value": threshold, "quantile": None})

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Whether each value (NaN if undefined) meets the condition; its threshold is a value."""
        if self.comparison == "is missing":
            return np.isnan(values)
        if not self._orders:
            return values == (self.comparison == "is true")
        return _ORDERINGS[self.comparison](values, self.value)

    def inward(self, values: np.ndarray) -> np.ndarray:
        """The values, negated if needed, so that a higher one is further inside the condition."""
        return -values if self.comparison in ("<", "<=") else values


class Group(Entry):
    """The customers who meet all of the conditions, or any of them with `any`."""

    name: str = Field(min_length=1)
    any: bool = False
    conditions: tuple[Condition, ...] = ()

    def holds(self, met: np.ndarray) -> np.ndarray:
        """Whether each customer (row) belongs here, given which conditions (columns) they meet."""
        decide = np.any if self.any else np.all
        return np.asarray(decide(met, axis=1))

    def met(self, features: pd.DataFrame) -> np.ndarray:
        """Which conditions (columns) each customer (row) meets; thresholds are values."""
        met = np.ones((len(features), len(self.conditions)), dtype=bool)
        for i, condition in enumerate(self.conditions):
            met[:, i] = condition.holds(values_of(features, condition.feature))
        return met

    def settled(self, features: pd.DataFrame) -> Self:
        """The group with its quantiles computed on the cohort (one row per customer)."""
        settled = [each.settled(values_of(features, each.feature)) for each in self.conditions]
        return self.model_copy(update={"conditions": tuple(settled)})


class Definition(Group):
    """A property that customers have or not. Later definitions and segments name it."""

    conditions: tuple[Condition, ...] = Field(min_length=1)


class Segment(Group):
    """A group of customers, with its perk."""

    perk: str
    description: str = Field(min_length=1)


def values_of(features: pd.DataFrame, name: str) -> np.ndarray:
    """The values of a feature, one per customer; NaN if undefined."""
    return features[name].astype("float64").to_numpy(na_value=np.nan)


def _plain(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")

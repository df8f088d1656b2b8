"""Segments by rules: ordered groups with thresholds that a catalogue file declares.

A customer belongs to the first segment with conditions that hold. The last segment has no
conditions and takes everybody left, so each customer is in exactly one segment. Thresholds are
absolute values, or quantiles of the cohort that the strategy is fitted on. An undefined feature
satisfies no comparison.
"""

from __future__ import annotations

import operator
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import Perk, PerksMissing, Program, of_program
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.stats.percentiles import depth
from traveltide_assets.transforms.features.catalogue import CATALOGUE

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

_ORDERINGS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
_FEATURES = {feature.name: feature for feature in CATALOGUE if feature.type != "string"}
_REMAINDER = "fits no other segment"


class RuleError(TravelTideError):
    """A rule catalogue is not valid; the message names the file and the entry."""


class RulePerksMissing(RuleError, PerksMissing):
    """The rules assign perks that the perk catalogue lacks; the message names one."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Entry):
    """A comparison of a feature with a threshold: `value`, or the cohort's `quantile`."""

    feature: str
    comparison: Literal[">=", ">", "<=", "<", "is true", "is false", "is missing"]
    value: float | None = None
    quantile: float | None = Field(None, ge=0, le=1)

    @field_validator("feature")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in _FEATURES:
            raise ValueError(f"unknown feature {name!r}; choose from {', '.join(_FEATURES)}")
        return name

    @model_validator(mode="after")
    def _fits_its_feature(self) -> Condition:
        thresholds = (self.value is not None) + (self.quantile is not None)
        if self._orders and thresholds != 1:
            raise ValueError(f"{self.comparison!r} needs either a value or a quantile, not both")
        if not self._orders and thresholds:
            raise ValueError(f"{self.comparison!r} takes no threshold")
        boolean = _FEATURES[self.feature].type == "boolean"
        if self.comparison != "is missing" and boolean == self._orders:
            kind = "yes or no" if boolean else "a number"
            raise ValueError(f"{self.feature} is {kind}, so {self.comparison!r} does not apply")
        return self

    @property
    def words(self) -> str:
        """The condition in words for a marketer."""
        label = _FEATURES[self.feature].label
        if self.value is not None:
            return f"{label} {self.comparison} {_plain(self.value)}"
        return {
            "is true": label,
            "is false": f"{label}: no",
            "is missing": f"{label}: unknown",
        }.get(self.comparison, f"{label} {self.comparison} quantile {self.quantile}")

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


class Segment(_Entry):
    """A group of customers: those who meet all of its conditions, or any of them with `any`."""

    name: str = Field(min_length=1)
    perk: str
    description: str = Field(min_length=1)
    any: bool = False
    conditions: tuple[Condition, ...] = ()

    def holds(self, met: np.ndarray) -> np.ndarray:
        """Whether each customer (row) belongs here, given which conditions (columns) they meet."""
        decide = np.any if self.any else np.all
        return np.asarray(decide(met, axis=1))


class RuleStrategy(_Entry):
    """The rules of a catalogue file: a `Strategy` that learns only quantiles of the cohort."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = Field(min_length=1)
    description: str = Field(min_length=1)
    program: Program
    segments: tuple[Segment, ...] = Field(alias="segment", min_length=1)

    @model_validator(mode="after")
    def _leaves_nobody_out(self) -> RuleStrategy:
        *ordered, last = self.segments
        if last.conditions:
            raise ValueError(f"the last segment, {last.name!r}, must have no conditions")
        if empty := [segment.name for segment in ordered if not segment.conditions]:
            raise ValueError(
                f"only the last segment may have no conditions, not {', '.join(empty)}"
            )
        counts = Counter(segment.name for segment in self.segments)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"segment names must be unique; these occur twice: {', '.join(twice)}")
        return self

    def fit(self, history: History) -> FittedRules:
        """The rules with quantiles replaced by the cohort's values (one row per customer)."""
        values = {name: _values(history.features, name) for name in self.inputs}
        return FittedRules(
            tuple(
                segment.model_copy(
                    update={
                        "conditions": tuple(
                            condition.settled(values[condition.feature])
                            for condition in segment.conditions
                        )
                    }
                )
                for segment in self.segments
            ),
            {name: np.sort(column[~np.isnan(column)]) for name, column in values.items()},
        )

    @property
    def learns_from_outcomes(self) -> bool:
        return False

    @property
    def extra_columns(self) -> tuple[Column, ...]:
        return ()

    def reseeded(self, seed: int) -> RuleStrategy:
        """The strategy itself, which has no random part."""
        return self

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(entry.feature for segment in self.segments for entry in segment.conditions)


@dataclass(frozen=True)
class FittedRules:
    """The segments with absolute thresholds, and the cohort's sorted values of their features."""

    segments: tuple[Segment, ...]
    cohort: dict[str, np.ndarray]

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: the columns of `ASSIGNMENT`.

        `score`, from 0 to 1, is how far inside the segment the customer is. For each condition it
        is the share of the customers meeting it who exceed the threshold by no more than this
        customer. The weakest condition of a segment counts; with `any`, the strongest. In a segment
        without conditions the score is 1. `reason` lists the conditions met.
        """
        result = pd.DataFrame(index=range(len(features)), columns=list(ASSIGNMENT), dtype=object)
        result["user_id"] = features["user_id"].to_numpy()
        score, free = np.ones(len(features)), np.ones(len(features), dtype=bool)
        for segment in self.segments:
            met = self._met(segment, features)
            members = free & segment.holds(met)
            free &= ~members
            score[members] = self._score(segment, features[members], met[members])
            result.loc[members, "segment"] = segment.name
            result.loc[members, "perk"] = segment.perk
            result.loc[members, "reason"] = _reasons(segment, met[members])
        return result.assign(score=score)[list(ASSIGNMENT)]

    def _met(self, segment: Segment, features: pd.DataFrame) -> np.ndarray:
        met = np.ones((len(features), len(segment.conditions)), dtype=bool)
        for i, condition in enumerate(segment.conditions):
            met[:, i] = condition.holds(_values(features, condition.feature))
        return met

    def _score(self, segment: Segment, members: pd.DataFrame, met: np.ndarray) -> np.ndarray:
        if not segment.conditions:
            return np.ones(len(members))
        depths = np.column_stack([self._depth(entry, members) for entry in segment.conditions])
        depths = np.where(met, depths, 0.0)
        return depths.max(axis=1) if segment.any else depths.min(axis=1)

    def _depth(self, condition: Condition, members: pd.DataFrame) -> np.ndarray:
        cohort = self.cohort[condition.feature]
        meeting = np.sort(condition.inward(cohort[condition.holds(cohort)]))
        return depth(condition.inward(_values(members, condition.feature)), meeting)


def build(name: str, settings: Settings, perks: tuple[Perk, ...]) -> RuleStrategy:
    """The strategy with the rules of the catalogue file `<name>.toml`; `RuleError` if not valid."""
    return load_rules(FOLDER / f"{name}.toml", perks)


def load_rules(path: Path, perks: tuple[Perk, ...]) -> RuleStrategy:
    """The strategy of a catalogue file.

    `RuleError` if the file is not valid, or a segment has a perk outside the file's program.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RuleError(f"rule catalogue {path}: {error}") from error
    try:
        strategy = RuleStrategy.model_validate(content)
        offered = [perk.id for perk in of_program(perks, strategy.program)]
    except ValidationError as error:
        raise RuleError(f"rule catalogue {path}: {_problems(error, content)}") from error
    except PerksMissing as error:
        raise RulePerksMissing(f"rule catalogue {path}: {error}") from error
    for segment in strategy.segments:
        if segment.perk not in offered:
            raise RulePerksMissing(
                f"rule catalogue {path}: segment {segment.name!r} has the unknown perk "
                f"{segment.perk!r}; the program {strategy.program!r} has {', '.join(offered)}"
            )
    return strategy


def _problems(error: ValidationError, content: dict[str, object]) -> str:
    return "; ".join(
        f"{_place(problem['loc'], content)}{problem['msg']}" for problem in error.errors()
    )


def _place(location: tuple[int | str, ...], content: dict[str, object]) -> str:
    """Position in the file, counted from 1: `segment 2 ('Families'), conditions 1, feature: `."""
    steps = [str(step) for step in location if not isinstance(step, int)]
    numbers = iter(step + 1 for step in location if isinstance(step, int))
    words = [
        f"{step} {next(numbers, '')}".strip() if step in ("segment", "conditions") else step
        for step in steps
    ]
    if len(location) > 1 and isinstance(location[1], int):
        entry = content["segment"][location[1]]  # type: ignore[index]
        words[0] += f" ({entry.get('name')!r})" if isinstance(entry, dict) else ""
    return f"{', '.join(words)}: " if words else ""


def _values(features: pd.DataFrame, name: str) -> np.ndarray:
    return features[name].astype("float64").to_numpy(na_value=np.nan)


def _reasons(segment: Segment, met: np.ndarray) -> list[str]:
    words = [condition.words for condition in segment.conditions]
    if not words:
        return [_REMAINDER] * len(met)
    return [", ".join(compress(words, row)) for row in met]


def _plain(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")

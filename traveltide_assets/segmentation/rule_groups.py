"""Segments by rules: ordered groups with thresholds that a catalogue file declares.

A customer belongs to the first segment with conditions that hold. The last segment has no
conditions and takes everybody left, so each customer is in exactly one segment. Thresholds are
absolute values, or quantiles of the cohort that the strategy is fitted on. An undefined feature
satisfies no comparison. A file may define properties of customers, which its conditions then name
like features that are yes or no, and the day on which ages are counted.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import Perk, PerksMissing, Program, of_program
from traveltide_assets.catalogue.rule_conditions import (
    FEATURES,
    Condition,
    Definition,
    Entry,
    Segment,
    values_of,
)
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.table import Column
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.stats.percentiles import depth

if TYPE_CHECKING:
    from traveltide_assets.settings import Settings

_REMAINDER = "fits no other segment"
_AGE, _BIRTH_DAY = "age", "birth_day"
_EPOCH = dt.date(1970, 1, 1)
_DAYS_OF_A_YEAR = 365
_LISTS = ("definition", "segment", "conditions")


class RuleError(TravelTideError):
    """A rule catalogue is not valid; the message names the file and the entry."""


class RulePerksMissing(RuleError, PerksMissing):
    """The rules assign perks that the perk catalogue lacks; the message names one."""


class RuleStrategy(Entry):
    """The rules of a catalogue file: a `Strategy` that learns only quantiles of the cohort.

    With `ages_as_of`, an age is counted on that day in whole years of 365 days, not at the end of
    the month.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = Field(min_length=1)
    description: str = Field(min_length=1)
    program: Program
    ages_as_of: dt.date | None = None
    definitions: tuple[Definition, ...] = Field((), alias="definition")
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
        if twice := _twice(segment.name for segment in self.segments):
            raise ValueError(f"segment names must be unique; these occur twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _defines_before_use(self) -> RuleStrategy:
        names = [definition.name for definition in self.definitions]
        if twice := _twice([*names, *(FEATURES.keys() & set(names))]):
            raise ValueError(
                "names of definitions must be unique, also among features; these are not: "
                f"{', '.join(twice)}"
            )
        for place, definition in enumerate(self.definitions):
            for condition in definition.conditions:
                if condition.feature in names[place:]:
                    raise ValueError(
                        f"the definition {definition.name!r} names {condition.feature!r}, "
                        "which is not defined before it"
                    )
        return self

    def fit(self, history: History) -> FittedRules:
        """The rules with quantiles replaced by the cohort's values (one row per customer)."""
        known = self._dated(history.features)
        definitions = []
        for definition in self.definitions:
            definitions.append(definition.settled(known))
            known = _defined(known, definitions[-1:])
        settled = self.model_copy(
            update={
                "definitions": tuple(definitions),
                "segments": tuple(segment.settled(known) for segment in self.segments),
            }
        )
        named = {entry.feature for segment in self.segments for entry in segment.conditions}
        values = {name: values_of(known, name) for name in sorted(named)}
        return FittedRules(
            settled, {name: np.sort(column[~np.isnan(column)]) for name, column in values.items()}
        )

    def known(self, features: pd.DataFrame) -> pd.DataFrame:
        """The features with ages on the day of the file, and a column for each definition."""
        return _defined(self._dated(features), self.definitions)

    def _dated(self, features: pd.DataFrame) -> pd.DataFrame:
        if self.ages_as_of is None:
            return features
        days = (self.ages_as_of - _EPOCH).days - values_of(features, _BIRTH_DAY)
        return features.assign(**{_AGE: np.floor(days / _DAYS_OF_A_YEAR)})

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
        """The features named by conditions; ages on a day are read off the day of birth too."""
        groups = (*self.definitions, *self.segments)
        named = {condition.feature for group in groups for condition in group.conditions}
        named &= FEATURES.keys()
        dated = self.ages_as_of is not None and _AGE in named
        return frozenset(named | {_BIRTH_DAY} if dated else named)


@dataclass(frozen=True)
class FittedRules:
    """The rules with absolute thresholds, and the cohort's sorted values of their features."""

    rules: RuleStrategy
    cohort: dict[str, np.ndarray]

    def assign(self, features: pd.DataFrame) -> pd.DataFrame:
        """One row per row of `features`, in their order: the columns of `ASSIGNMENT`.

        `score`, from 0 to 1, is how far inside the segment the customer is. For each condition it
        is the share of the customers meeting it who exceed the threshold by no more than this
        customer. The weakest condition of a segment counts; with `any`, the strongest. In a segment
        without conditions the score is 1. `reason` lists the conditions met.
        """
        known = self.rules.known(features)
        name, perk, reason = (np.empty(len(features), dtype=object) for _ in range(3))
        score, free = np.ones(len(features)), np.ones(len(features), dtype=bool)
        for segment in self.rules.segments:
            met = segment.met(known)
            members = free & segment.holds(met)
            free &= ~members
            score[members] = self._score(segment, known[members], met[members])
            name[members], perk[members] = segment.name, segment.perk
            reason[members] = _reasons(segment, met[members])
        name, perk, reason = (pd.Series(words, dtype=object) for words in (name, perk, reason))
        columns = (features["user_id"].to_numpy(), name, perk, score, reason)
        return pd.DataFrame(dict(zip(ASSIGNMENT, columns, strict=True)))

    def _score(self, segment: Segment, members: pd.DataFrame, met: np.ndarray) -> np.ndarray:
        if not segment.conditions:
            return np.ones(len(members))
        depths = np.column_stack([self._depth(entry, members) for entry in segment.conditions])
        depths = np.where(met, depths, 0.0)
        return depths.max(axis=1) if segment.any else depths.min(axis=1)

    def _depth(self, condition: Condition, members: pd.DataFrame) -> np.ndarray:
        cohort = self.cohort[condition.feature]
        meeting = np.sort(condition.inward(cohort[condition.holds(cohort)]))
        return depth(condition.inward(values_of(members, condition.feature)), meeting)


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
        strategy = RuleStrategy.model_validate(content, context=_names(content))
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


def _names(content: dict[str, Any]) -> list[str]:
    """The names of the definitions of a file that may not be valid."""
    entries = content.get("definition", [])
    entries = entries if isinstance(entries, list) else []
    return [str(entry.get("name")) for entry in entries if isinstance(entry, dict)]


def _problems(error: ValidationError, content: dict[str, object]) -> str:
    return "; ".join(
        f"{_place(problem['loc'], content)}{problem['msg']}" for problem in error.errors()
    )


def _place(location: tuple[int | str, ...], content: dict[str, object]) -> str:
    """Position in the file, counted from 1: `segment 2 ('Families'), conditions 1, feature: `."""
    steps = [str(step) for step in location if not isinstance(step, int)]
    numbers = iter(step + 1 for step in location if isinstance(step, int))
    words = [f"{step} {next(numbers, '')}".strip() if step in _LISTS else step for step in steps]
    if len(location) > 1 and isinstance(location[1], int):
        entry = content[str(location[0])][location[1]]  # type: ignore[index]
        words[0] += f" ({entry.get('name')!r})" if isinstance(entry, dict) else ""
    return f"{', '.join(words)}: " if words else ""


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _defined(features: pd.DataFrame, definitions: Iterable[Definition]) -> pd.DataFrame:
    """The features with a column for each definition: whether the customer has the property."""
    for definition in definitions:
        features = features.assign(**{definition.name: definition.holds(definition.met(features))})
    return features


def _reasons(segment: Segment, met: np.ndarray) -> list[str]:
    words = [condition.words for condition in segment.conditions]
    if not words:
        return [_REMAINDER] * len(met)
    return [", ".join(compress(words, row)) for row in met]

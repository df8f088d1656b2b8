"""Selections of customers: conditions such as `age=35..44`, in a page's address or a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np

from traveltide_assets.report.dimensions import (
    BY_KEY,
    DIMENSIONS,
    UNKNOWN,
    read_range,
    within,
)
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.serving.desk.decision import Decision

_MOST = 200
_SHOWN_GROUPS = 12


class NotASelection(TravelTideError):
    """A condition names nothing that customers can be selected by. The message says what does."""


@dataclass(frozen=True)
class Selection:
    """Customers who meet every condition. A condition on several groups is met by any of them."""

    conditions: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Selection:
        """The selection of pairs of a dimension's key and a group; other keys are refused."""
        wanted: dict[str, list[str]] = {}
        for key, group in pairs:
            if key not in BY_KEY:
                raise NotASelection(
                    f"customers cannot be selected by {key!r}; choose from {', '.join(BY_KEY)}"
                )
            if BY_KEY[key].numeric and group != UNKNOWN:
                _readable(key, group)
            wanted.setdefault(key, []).append(group)
        if sum(map(len, wanted.values())) > _MOST:
            raise NotASelection(f"a selection names at most {_MOST} groups")
        ordered = (
            (dimension.key, tuple(sorted(set(wanted[dimension.key]))))
            for dimension in DIMENSIONS
            if dimension.key in wanted
        )
        return cls(tuple(ordered))

    @classmethod
    def parse(cls, conditions: Iterable[str]) -> Selection:
        """The selection of conditions as they are typed: `key=group`."""
        pairs = [condition.partition("=") for condition in conditions]
        if wrong := [key for key, sign, _ in pairs if not sign]:
            raise NotASelection(f"{wrong[0]!r} is no condition: write it as age=35..44")
        return cls.of((key.strip(), group.strip()) for key, _, group in pairs)

    def groups(self, key: str) -> tuple[str, ...]:
        """The groups selected in a dimension; empty if it is not restricted."""
        return dict(self.conditions).get(key, ())

    def toggled(self, key: str, group: str) -> Selection:
        """The selection with a group added, or without it if it is selected."""
        pairs = [(name, each) for name, groups in self.conditions for each in groups]
        if (key, group) in pairs:
            return Selection.of(pair for pair in pairs if pair != (key, group))
        return Selection.of([*pairs, (key, group)])

    def without(self, key: str) -> Selection:
        """The selection without its condition on a dimension."""
        return Selection(tuple(each for each in self.conditions if each[0] != key))

    def query(self, **others: str) -> str:
        """The selection, and other parameters, as the query of an address."""
        pairs = [(name, group) for name, groups in self.conditions for group in groups]
        return urlencode([*pairs, *others.items()])

    def mask(self, decision: Decision) -> np.ndarray:
        """Whether each customer of a decision meets every condition."""
        chosen = np.ones(len(decision.people), dtype=bool)
        for key, groups in self.conditions:
            chosen &= _met(decision, key, groups)
        return chosen

    def words(self, decision: Decision) -> list[str]:
        """Each condition in words."""
        return [
            f"{BY_KEY[key].label}: {' or '.join(decision.says(key, group) for group in groups)}"
            for key, groups in self.conditions
        ]


def _met(decision: Decision, key: str, groups: Sequence[str]) -> np.ndarray:
    known, codes = decision.groups(key), decision.codes(key)
    if all(group in known for group in groups):
        return np.isin(codes, [known.index(group) for group in groups])
    if not BY_KEY[key].numeric:
        strange = next(group for group in groups if group not in known)
        raise NotASelection(
            f"no customer of {decision.month} is in the {key} {strange!r}; "
            f"choose from {', '.join(known[:_SHOWN_GROUPS])}{', …' * (len(known) > _SHOWN_GROUPS)}"
        )
    values = decision.people[BY_KEY[key].column].to_numpy("float64", na_value=np.nan)
    met = np.isnan(values) if UNKNOWN in groups else np.zeros(len(values), dtype=bool)
    for group in groups:
        if group != UNKNOWN:
            met |= within(values, read_range(group))
    return met


def _readable(key: str, group: str) -> None:
    try:
        read_range(group)
    except ValueError:
        raise NotASelection(
            f"{key}={group} is not written as {key}=35..44, {key}=65.., {key}=3 or {key}={UNKNOWN}"
        ) from None

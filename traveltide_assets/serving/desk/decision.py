"""A release as the pages see it: customers with what they can be grouped by, and its other files.

Whatever was read stays in memory until other releases are asked for, so that a page only counts.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from traveltide_assets.campaign import release_files
from traveltide_assets.catalogue.perks import NO_OFFER, StoredPerk, from_frame
from traveltide_assets.lake.release import Release, Releases
from traveltide_assets.report import dimensions, verdicts
from traveltide_assets.report.dimensions import AVERAGES, BY_KEY, DIMENSIONS
from traveltide_assets.report.segment_words import called
from traveltide_assets.report.summaries import segment_profiles
from traveltide_assets.report.verdicts import Verdict
from traveltide_assets.segmentation.scaling import numeric

# A month and the one before it. Of a million customers, each takes some hundred MB.
_KEPT = 2
_COUNTRY = "home_country"
_EXPLAINED = ("age", "married", "has_children", _COUNTRY)
_CONTACTS = (
    dimensions.LEFT_OUT,
    dimensions.HELD_OUT,
    dimensions.NOTHING,
    dimensions.WRITTEN_TO,
)


@dataclass(frozen=True, eq=False)
class Decision:
    """A release, read as far as the pages asked for it. It equals itself only, as a key of caches.

    `people` and `features` have the customers in the same order.
    """

    release: Release

    @property
    def month(self) -> str:
        return self.release.month

    @property
    def strategy(self) -> str:
        return str(self.release.manifest.decision["strategy"])

    def has(self, name: str) -> bool:
        """Whether the release holds a file: earlier releases lack some."""
        return any(file.name == name for file in self.release.manifest.files)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The facts of its campaign."""
        return json.loads(self.release.read(release_files.FACTS))

    @cached_property
    def perks(self) -> dict[str, StoredPerk]:
        """The perks of its catalogue, by id."""
        return {perk.id: perk for perk in from_frame(self.release.frame(release_files.CATALOGUE))}

    @cached_property
    def features(self) -> pd.DataFrame:
        """One row per customer: the numeric features, by `user_id`, as `assignments` has them.

        Of a million customers they take half a GB: pages read `profiles` instead.
        """
        return numeric(self.release.frame(release_files.FEATURES)).reindex(self.assignments.index)

    @cached_property
    def profiles(self) -> pd.DataFrame:
        """`segment_profiles`; a release of an earlier version has none, and is counted here."""
        if self.has(release_files.PROFILES):
            return self.release.frame(release_files.PROFILES)
        return segment_profiles(self.features, self.assignments["segment"].astype(object))

    @cached_property
    def averages(self) -> pd.Series:
        """The mean of each feature over all customers."""
        return self.profiles.drop_duplicates("feature").set_index("feature")["mean_of_all"]

    @cached_property
    def averages_by_segment(self) -> pd.DataFrame:
        """The mean of each feature (column) in each segment (row)."""
        return self.profiles.pivot_table(
            index="segment", columns="feature", values="mean", dropna=False
        )

    @cached_property
    def assignments(self) -> pd.DataFrame:
        """One row per customer: segment and perk as categories, by `user_id`."""
        columns = ["segment", "perk"]
        given = self.release.frame(release_files.ASSIGNMENTS, ["user_id", *columns], columns)
        return given.set_index("user_id")

    @cached_property
    def campaign(self) -> pd.DataFrame:
        """One row per customer who is invited or held out, by `user_id`."""
        texts = ["perk", "headline", "segment"]
        return self.release.frame(release_files.CAMPAIGN, categories=texts).set_index("user_id")

    @cached_property
    def offers(self) -> pd.DataFrame | None:
        """One row per customer of the campaign: `offers`, by `user_id`; None if it has none."""
        if not self.has(release_files.OFFERS):
            return None
        columns = ["user_id", "arm", "offer", "probability", "because", "expected_cost_usd"]
        texts = ["arm", "offer", "because"]
        return self.release.frame(release_files.OFFERS, columns, texts).set_index("user_id")

    @cached_property
    def changes(self) -> pd.DataFrame:
        """One row per customer whose offer differs from last month's, by `user_id`."""
        texts = ["change", "perk_before", "perk", "reason"]
        return self.release.frame(release_files.CHANGES, categories=texts).set_index("user_id")

    @cached_property
    def verdicts(self) -> dict[str, Verdict] | None:
        """The verdict on each perk that the strategy gave; None if the release has no evidence."""
        if not self.has(release_files.EVIDENCE):
            return None
        return verdicts.of_strategy(self.release.frame(release_files.EVIDENCE), self.strategy)

    @cached_property
    def people(self) -> pd.DataFrame:
        """One row per customer, by `user_id`: what dimensions group by and pages average."""
        stored = {d.column for d in DIMENSIONS if d.numeric} | {*_EXPLAINED, *AVERAGES}
        traits = self.release.frame(
            release_files.FEATURES, ["user_id", *sorted(stored)], [_COUNTRY]
        ).set_index("user_id")
        people = self.assignments.join(traits)
        arms = self.release.frame(release_files.ARMS, ["user_id", "arm"], ["arm"])
        mine = self.campaign[["holdout", "perk"]].reindex(people.index)
        held, left_out = mine["holdout"].eq(True), mine["holdout"].isna()
        contact = np.select([left_out, held, mine["perk"] == NO_OFFER], [0, 1, 2], 3)
        married, children = (people[name].to_numpy() for name in ("married", "has_children"))
        return people.assign(
            family=dimensions.families(married, children),
            arm=_or_else(arms.set_index("user_id")["arm"], people.index, dimensions.NO_ARM),
            change=_or_else(self.changes["change"], people.index, dimensions.NO_CHANGE),
            contact=pd.Categorical.from_codes(contact, _CONTACTS),
        )

    def groups(self, key: str) -> list[str]:
        """The groups of a dimension, as a selection writes them."""
        return self._grouped[key][0]

    def codes(self, key: str) -> np.ndarray:
        """The position in `groups` of each customer, in the order of `people`."""
        return self._grouped[key][1]

    def says(self, key: str, group: str) -> str:
        """A group in words: a perk by its title, a segment by what its customers do."""
        if key == "perk":
            return self.title(group)
        if key == "segment":
            return called(group)
        return BY_KEY[key].says(group)

    def title(self, perk: str) -> str:
        """What a perk is called."""
        return self.perks[perk].title if perk in self.perks else perk

    @cached_property
    def _grouped(self) -> dict[str, tuple[list[str], np.ndarray]]:
        found = {}
        for dimension in DIMENSIONS:
            values = self.people[dimension.column]
            groups = dimension.groups(values)
            found[dimension.key] = groups, dimension.codes(values, groups)
        return found


class Decisions:
    """The decisions that were asked for last, by release."""

    def __init__(self, releases: Releases) -> None:
        self.releases = releases
        self._kept: OrderedDict[str, Decision] = OrderedDict()
        self._sizes: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def current(self, month: str | None = None) -> Decision:
        """That of a month's current release, by default of the latest month that has one.

        `NotReleased` if there is none, `Damaged` if it is not as it was released.
        """
        return self.of(self.releases.current(month))

    def released(self, month: str) -> Decision | None:
        """The same; None if nothing is released for the month."""
        record = self.releases.record(month)
        return None if record.current is None else self.current(month)

    def since(self, decision: Decision) -> str | None:
        """When a release was last made current, in UTC as its record has it; None if never."""
        entry = self.releases.record(decision.month).entry(decision.release.id)
        return entry.released if entry else None

    def months(self) -> list[str]:
        """The months with a current release, in order."""
        months = self.releases.months()
        return [month for month in months if self.releases.record(month).current is not None]

    def perk_sizes(self, month: str) -> dict[str, int]:
        """The customers of each perk of a month's current release, by title."""
        release = self.releases.current(month)
        if release.id not in self._sizes:
            titles = {p.id: p.title for p in from_frame(release.frame(release_files.CATALOGUE))}
            given = release.frame(release_files.ASSIGNMENTS, ["perk"], ["perk"])["perk"]
            counted = given.value_counts()
            self._sizes[release.id] = {titles.get(p, p): int(n) for p, n in counted.items()}
        return self._sizes[release.id]

    def of(self, release: Release) -> Decision:
        """The decision of a release."""
        with self._lock:
            if release.id not in self._kept:
                self._kept[release.id] = Decision(release)
            self._kept.move_to_end(release.id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[release.id]


def _or_else(values: pd.Series, users: pd.Index, otherwise: str) -> pd.Series:
    """The value of each user, as categories; `otherwise` for those who have none."""
    found = values.reindex(users).astype("category")
    return found.cat.set_categories([*found.cat.categories, otherwise]).fillna(otherwise)

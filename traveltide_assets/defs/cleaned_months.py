"""Which months of sessions have to be cleaned, of those that a run ingests.

Silver of a month depends on its own raw rows, on those of earlier months, which may have used its
ids, and on the users that are known. So it stays until one of these changes, or the rules do. More
users change only what was refused for want of them, and later months.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import takewhile

from traveltide_assets.defs.checks.soundness import layers
from traveltide_assets.defs.cleaning_notes import Notes, Versions, Work
from traveltide_assets.lake.lake import Lake
from traveltide_assets.transforms.cleaning.cleaned import Cleaned, Counts
from traveltide_assets.transforms.cleaning.rules import UNKNOWN_USER

_NAME = "sessions"


class CleanedMonths:
    """What is known of the cleaned months of sessions; `months` are those of the run."""

    def __init__(self, lake: Lake, months: Sequence[str], rules: object) -> None:
        self._lake = lake
        self._months = months
        self._notes = Notes(lake, _NAME, rules)
        self._sound = self._still_sound()

    def clean(self, clean: Callable[[Sequence[str]], Cleaned]) -> Work:
        """Clean the months of the run that need it."""
        made = [month for month in self._months if month not in self._sound]
        kept = {month: self._sound[month] for month in self._months if month in self._sound}
        return Work(clean(made), made, kept)

    def save(self, work: Work) -> None:
        """Note that the months of the run are cleaned, and stored as they are now."""
        self._notes.save(self._versions(), {**self._sound, **work.counts}, self._users())

    def _still_sound(self) -> dict[str, Counts]:
        sound, users = self._notes.sound(self._versions()), self._users()
        if users == self._notes.inputs:
            return sound
        if not self._notes.inputs.items() <= users.items():
            return {}
        # Once their user is known, rows may be valid, and use an id before a later month does.
        untouched = takewhile(
            lambda month: month in sound and UNKNOWN_USER not in sound[month].rejections,
            self._lake.months(layers(_NAME)[0]),
        )
        return {month: sound[month] for month in untouched}

    def _users(self) -> dict[str, str]:
        """The version of each file of users."""
        return self._lake.versions(layers("users")[1])

    def _versions(self) -> Versions:
        """By month: one version for its raw rows and all earlier ones, and those of silver."""
        raw, processed, quarantine = map(self._lake.versions, layers(_NAME))
        before, versions = hashlib.sha256(), {}
        for month, version in raw.items():
            before.update(f"{month} {version}\n".encode())
            versions[month] = [before.hexdigest(), processed.get(month), quarantine.get(month)]
        return versions

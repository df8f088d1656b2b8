"""Which months of sessions have to be cleaned, of those that a run ingests.

Silver of a month depends on its own raw rows, on those of earlier months, which may have used its
ids, and on the users that are known. So it stays until one of these changes, or the rules do. More
users change only what was refused for want of them, and later months.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from traveltide_assets.defs.checks.soundness import layers
from traveltide_assets.defs.cleaning_notes import Notes, Work
from traveltide_assets.lake.lake import Lake
from traveltide_assets.transforms.cleaning.cleaned import Cleaned, Counts
from traveltide_assets.transforms.cleaning.rules import UNKNOWN_USER

_NAME = "sessions"
_RAW, _USERS = layers(_NAME)[0], layers("users")[1]


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
        self._notes.save({**self._sound, **work.counts}, self._inputs())

    def _still_sound(self) -> dict[str, Counts]:
        """The months before the first one that may have another result by now."""
        sound, now = self._notes.sound(), self._inputs()
        raw, users = (self._notes.inputs.get(path, {}) for path in now)
        raw_now, users_now = now.values()
        if not users.items() <= users_now.items():
            return {}
        changed = {month for month, _ in raw.items() ^ raw_now.items()}
        if users != users_now:
            # Once their user is known, rows may be valid, and use an id before a later month does.
            changed |= {
                month
                for month in raw_now
                if month not in sound or UNKNOWN_USER in sound[month].rejections
            }
        return {m: each for m, each in sound.items() if not changed or m < min(changed)}

    def _inputs(self) -> dict[str, dict[str, str]]:
        """The versions of all months of raw sessions, and of each file of users."""
        return {path: self._lake.versions(path) for path in (_RAW, _USERS)}

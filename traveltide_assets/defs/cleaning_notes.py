"""What is known of the cleaned parts of a table, in a small file of the lake."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from traveltide_assets.defs.checks.soundness import layers
from traveltide_assets.lake.lake import Lake
from traveltide_assets.transforms.cleaning.cleaned import Cleaned, Counts

Inputs = Mapping[str, Mapping[str, str]]
"""What else the parts were cleaned with: the version of each part of a table, by table."""


@dataclass(frozen=True)
class Work:
    """What was cleaned: the result, the names of its parts, and the counts of all other parts."""

    cleaned: Cleaned
    made: Sequence[str]
    kept: Mapping[str, Counts]

    @property
    def counts(self) -> dict[str, Counts]:
        """The counts of every part. One without rows has none to count."""
        none = {part: Counts({}, {}) for part in self.made}
        return {**none, **self.cleaned.counts, **self.kept}


class Notes:
    """The notes as they were before a run. `rules` says by which rules rows are cleaned, in words.

    Notes by other rules, and damaged ones, are none.
    """

    def __init__(self, lake: Lake, name: str, rules: object) -> None:
        self._lake = lake
        self._paths = layers(name)
        self._rules = repr(rules)
        self._place = f"_cleaned/{name}.json"

    @property
    def inputs(self) -> Inputs:
        """The other inputs that the parts were cleaned with."""
        return self._read[0]

    def sound(self) -> dict[str, Counts]:
        """The parts whose stored rows, raw and clean, are still as noted, with their counts."""
        sound, now = {}, self._versions()
        for part, noted in self._read[1].items():
            match noted:
                case {"versions": versions, "repairs": dict(repairs), "rejections": dict(refused)}:
                    if versions == now.get(part):
                        sound[part] = Counts(repairs, refused)
        return sound

    def save(self, counts: Mapping[str, Counts], inputs: Inputs | None = None) -> None:
        """Note that the parts with counts are cleaned, and stored as they are now."""
        now = self._versions()
        parts = {part: {"versions": now[part], **asdict(each)} for part, each in counts.items()}
        noted = {"rules": self._rules, "inputs": inputs or {}, "parts": parts}
        content = json.dumps(noted, sort_keys=True).encode()
        known, version = self._found or (None, None)
        if known != content:
            self._lake.storage.swap(self._place, content, version)

    def _versions(self) -> dict[str, list[str | None]]:
        """By raw part: the versions of what is stored of it."""
        raw, processed, quarantine = map(self._lake.versions, self._paths)
        return {part: [v, processed.get(part), quarantine.get(part)] for part, v in raw.items()}

    @cached_property
    def _read(self) -> tuple[Inputs, Mapping[str, Any]]:
        """The inputs, and what is noted of each part."""
        try:
            match json.loads(self._found[0]) if self._found else None:
                case {"rules": self._rules, "inputs": dict(inputs), "parts": dict(parts)}:
                    if all(isinstance(versions, dict) for versions in inputs.values()):
                        return inputs, parts
        except ValueError:
            pass
        return {}, {}

    @cached_property
    def _found(self) -> tuple[bytes, str] | None:
        """The content, and its version."""
        return self._lake.storage.look(self._place)

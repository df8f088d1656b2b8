"""What is known of the cleaned parts of a table, in a small file of the lake."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from traveltide_assets.lake.lake import Lake
from traveltide_assets.transforms.cleaning.cleaned import Cleaned, Counts

Versions = Mapping[str, Sequence[str | None]]
"""Of each part: the versions of its raw rows, and of what is stored of it in silver."""


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
        self._storage = lake.storage
        self._rules = repr(rules)
        self._place = f"_cleaned/{name}.json"

    @property
    def inputs(self) -> dict[str, Any]:
        """The other inputs, each with its version, that the parts were cleaned with."""
        return self._read["inputs"]

    def sound(self, now: Versions) -> dict[str, Counts]:
        """The parts whose versions are still as noted, with their counts."""
        sound = {}
        for part, noted in self._read["parts"].items():
            match noted:
                case {"versions": versions, "repairs": dict(repairs), "rejections": dict(refused)}:
                    if versions == now.get(part):
                        sound[part] = Counts(repairs, refused)
        return sound

    def save(
        self, now: Versions, counts: Mapping[str, Counts], inputs: Mapping[str, str] | None = None
    ) -> None:
        """Note that the parts with counts are cleaned, and stored as they are now."""
        parts = {part: {"versions": now[part], **asdict(each)} for part, each in counts.items()}
        noted = {"rules": self._rules, "inputs": inputs or {}, "parts": parts}
        content = json.dumps(noted, sort_keys=True).encode()
        known, version = self._found or (None, None)
        if known != content:
            self._storage.swap(self._place, content, version)

    @cached_property
    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            match json.loads(self._found[0]) if self._found else None:
                case {"rules": self._rules, "inputs": dict(inputs), "parts": dict(parts)}:
                    return {"inputs": inputs, "parts": parts}
        except ValueError:
            pass
        return {"inputs": {}, "parts": {}}

    @cached_property
    def _found(self) -> tuple[bytes, str] | None:
        """The content, and its version."""
        return self._storage.look(self._place)

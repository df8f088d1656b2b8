"""Which files of the source have to be cleaned: a landed file costs its own rows, not all rows.

Silver of a file depends on the rows of that file, unless it shares a key with another one. So it
stays until its raw rows change, or the rules do, or another file brings one of its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import ibis

from traveltide_assets.defs.checks.soundness import layers
from traveltide_assets.defs.cleaning_notes import Notes, Work
from traveltide_assets.lake.lake import OF_FILE, Lake
from traveltide_assets.schema.errors import NotStored
from traveltide_assets.schema.sources import key_of
from traveltide_assets.transforms.cleaning.cleaned import Cleaned


class CleanedFiles:
    """What is known of the cleaned files of a table.

    `raw` are the rows of all files. `rules` says by which rules they are cleaned, in any words:
    others mean that all are cleaned again.
    """

    def __init__(self, lake: Lake, name: str, raw: ibis.Table, rules: object) -> None:
        self._lake = lake
        self._paths = layers(name)
        self._key_of_rows = key_of(name)
        self._raw = raw
        # The refused rows of a file have the columns that any file has, in the same order.
        self._notes = Notes(lake, name, [rules, raw.columns])

    def clean(self, clean: Callable[[ibis.Table], Cleaned]) -> Work:
        """Clean the rows of the files that need it. Files that share a key are cleaned together."""
        files, kept = self._lake.parts(self._paths[0]), self._notes.sound()
        if not files:
            raise NotStored(
                f"{self._lake.uri(self._paths[0])} is of a version without parts: materialize "
                "that asset again first"
            )
        while True:
            made = [file for file in files if file not in kept]
            cleaned = clean(
                self._raw.filter(self._raw.source_file.isin(made)) if kept else self._raw
            )
            touched = self._with_a_key_of(cleaned.processed, list(kept)) if made else []
            if not touched:
                return Work(cleaned, made, kept)
            cleaned.release()
            kept = {file: counts for file, counts in kept.items() if file not in touched}

    def save(self, work: Work) -> None:
        """Note that the files are cleaned, and stored as they are now.

        Those that share a key are not noted: a row of one may be needed when the other one goes.
        """
        shared = work.cleaned.overlapping
        alone = {file: each for file, each in work.counts.items() if file not in shared}
        self._notes.save(alone)

    def _with_a_key_of(self, rows: ibis.Table, files: Sequence[str]) -> Iterable[str]:
        """Those of the files whose valid rows have a key of these rows."""
        if not files:
            return []
        stored = self._lake.table(self._paths[1], files)
        shared = stored.semi_join(rows, self._key_of_rows).select(OF_FILE).distinct()
        return shared.to_pyarrow()[OF_FILE].to_pylist()

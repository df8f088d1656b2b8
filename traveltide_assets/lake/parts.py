"""Writes a table of which only some files of the source are made again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import ibis

from traveltide_assets.lake.lake import OF_FILE, Lake, Written
from traveltide_assets.schema.table import Table


@dataclass(frozen=True)
class Parts:
    """The parts of a table by file: `rows` of the files `made`, and what is stored of those `kept`.

    `rows` has the name of each row's file as `source_file`.
    """

    rows: ibis.Table
    made: Sequence[str]
    kept: Collection[str] = ()

    def write(self, lake: Lake, table: Table) -> dict[str | None, Written]:
        """Replace the made parts, and remove those of files that are gone."""
        files = self._write(lake, table)
        files |= {file: lake.stored(table, file) for file in self.kept}
        lake.keep_only(table, [*self.made, *self.kept])
        return dict(sorted(files.items(), key=lambda part: str(part[0])))

    def _write(self, lake: Lake, table: Table) -> dict[str | None, Written]:
        if len(self.made) == 1:  # Nothing has to be divided, and all cores can write.
            return {self.made[0]: lake.write(table, self.rows, self.made[0])}
        rows = self.rows.mutate(**{OF_FILE: self.rows.source_file})
        return lake.write_parts(table, rows, self.made) if self.made else {}

"""Writes a table of which only some parts are made again: months, or files of the source."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import ibis

from traveltide_assets.lake.lake import OF_FILE, Lake, Written
from traveltide_assets.schema.table import Table


@dataclass(frozen=True)
class Parts:
    """The parts of a table: `rows` of those `made`, and what is stored of those `kept`.

    `rows` says of each row which part it is of, as `month`, or as `source_file` of a table by file.
    """

    rows: ibis.Table
    made: Sequence[str]
    kept: Collection[str] = ()

    def write(self, lake: Lake, table: Table) -> dict[str | None, Written]:
        """Replace the made parts, and remove those of files that are gone."""
        parts = self._write(lake, table)
        parts |= {part: lake.stored(table, part) for part in self.kept}
        if table.by_file:
            lake.keep_only(table, [*self.made, *self.kept])
        return dict(sorted(parts.items(), key=lambda part: str(part[0])))

    def _write(self, lake: Lake, table: Table) -> dict[str | None, Written]:
        if len(self.made) == 1:  # Nothing has to be divided, and all cores can write.
            return {self.made[0]: lake.write(table, self.rows, self.made[0])}
        if not self.made:
            return {}
        rows = self.rows
        if table.by_file:
            rows = rows.mutate(**{OF_FILE: rows.source_file})
        return lake.write_parts(table, rows, self.made)

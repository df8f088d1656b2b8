"""The result of cleaning a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import ibis
from ibis.expr.types.relations import CachedTable


@dataclass(frozen=True)
class Counts:
    """The numbers of repaired and of rejected rows, by rule."""

    repairs: Mapping[str, int]
    rejections: Mapping[str, int]

    @classmethod
    def together(cls, counts: Iterable[Counts]) -> Self:
        """The sums, in the order of the rules' names."""
        repairs: Counter[str] = Counter()
        rejections: Counter[str] = Counter()
        for each in counts:
            repairs.update(each.repairs)
            rejections.update(each.rejections)
        return cls(dict(repairs), dict(sorted(rejections.items())))


@dataclass
class Cleaned:
    """The result of cleaning a table: its valid rows, its rejected rows, and counts by part.

    `processed` has one row per valid row, `quarantine` one per rejected row; both have the name of
    its file, `source_file`, and the column `month` if the raw table has one. `counts` says of each
    month, or else of each file, how many rows were repaired and rejected; `overlapping` are the
    files of which a row replaces one of another file. Both tables read the tables in `cached`, so
    use them inside a `with` block.
    """

    processed: ibis.Table
    quarantine: ibis.Table
    cached: Sequence[CachedTable]
    counts: Mapping[str, Counts]
    overlapping: Collection[str] = ()

    @property
    def repairs(self) -> Mapping[str, int]:
        """The number of repaired rows by rule."""
        return Counts.together(self.counts.values()).repairs

    @property
    def rejections(self) -> Mapping[str, int]:
        """The number of rejected rows by rule."""
        return Counts.together(self.counts.values()).rejections

    def release(self) -> None:
        """Forget the tables that `processed` and `quarantine` read."""
        for table in self.cached:
            table.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

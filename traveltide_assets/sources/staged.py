"""Staged rows: a table of the source in a folder of Parquet files, as bronze stores it.

A table without months is one file; sessions are one per month, and one of rows without a month.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ibis
import pyarrow.parquet as pq

from traveltide_assets.engines.base import LocalEngine
from traveltide_assets.engines.checksum import digest_of
from traveltide_assets.lake.conformed import conformed
from traveltide_assets.lake.storage.folder import unused
from traveltide_assets.sources.tables import raw_table

_ABOUT = "about.json"
_WHOLE, _UNDATED = "rows", "undated"
_ABANDONED_SECONDS = 3600


def every_month(_: str | None) -> bool:
    """Wants all of what is staged."""
    return True


@dataclass(frozen=True)
class Staged:
    """The folder of a file, or of the rows of several files."""

    folder: Path

    def exists(self) -> bool:
        """Whether the folder is there and says what it holds."""
        try:
            return bool(self._about)
        except (OSError, ValueError):
            return False

    @property
    def rows(self) -> dict[str | None, int]:
        """The number of rows by month; under None those without a month, or of the whole table."""
        rows = self._about["rows"]
        return {None if part in (_WHOLE, _UNDATED) else part: n for part, n in rows.items()}

    @property
    def files(self) -> dict[str | None, Path]:
        """The files, by what they hold, as `rows`."""
        places = [self.folder / f"{part}.parquet" for part in self._about["rows"]]
        return dict(zip(self.rows, places, strict=True))

    def is_intact(self, wanted: Callable[[str | None], bool] = every_month) -> bool:
        """Whether the files of the wanted months are as they were written."""
        sha256 = self._about["sha256"]
        return all(
            file.exists() and digest_of(file) == sha256[file.stem]
            for month, file in self.files.items()
            if wanted(month)
        )

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @cached_property
    def _about(self) -> dict[str, dict[str, Any]]:
        match about := json.loads((self.folder / _ABOUT).read_text(encoding="utf-8")):
            case {"rows": dict(rows), "sha256": dict(sha256)} if (
                rows and rows.keys() == sha256.keys()
            ):
                return about
        raise ValueError(f"{self.folder / _ABOUT} does not say what is staged")

    def write(self, engine: LocalEngine, name: str, rows: ibis.Table) -> None:
        """Write the rows of the table `name`, in their own order.

        They have their place; sessions also have `month`, null if their start is unreadable.
        """
        table = raw_table(name)
        if not table.partitioned:
            self.write_one(engine, name, rows)
            return
        months = rows.select("month").drop_null().distinct().order_by("month").to_pyarrow()
        parts = {month: rows.filter(rows.month == month) for month in months["month"].to_pylist()}
        parts[_UNDATED] = rows.filter(rows.month.isnull())
        self._write(engine, {part: conformed(found, table) for part, found in parts.items()})

    def write_again(self, engine: LocalEngine, other: Staged, order: int) -> None:
        """Write the rows of another folder, whose file has another place among those of a table."""
        place = ibis.literal(order, "int64")
        parts = {file.stem: engine.read_parquet([file]) for file in other.files.values()}
        again = {part: rows.mutate(source_order=place) for part, rows in parts.items()}
        self._write(engine, again)

    def write_one(self, engine: LocalEngine, name: str, rows: ibis.Table) -> None:
        """Write rows of the table `name`, of one month if it has months, as one file."""
        self._write(engine, {_WHOLE: conformed(rows, raw_table(name))})

    def _write(self, engine: LocalEngine, parts: Mapping[str, ibis.Table]) -> None:
        if not self.exists():
            self.remove()  # What is left of a damaged one.
        with whole_folder(self.folder) as folder:
            files = {part: folder / f"{part}.parquet" for part in parts}
            sha256 = {part: engine.write_parquet(parts[part], file) for part, file in files.items()}
            rows = {part: pq.read_metadata(file).num_rows for part, file in files.items()}
            about = json.dumps({"rows": rows, "sha256": sha256})
            (folder / _ABOUT).write_text(about, encoding="utf-8")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write to. It becomes the target in one step at the end.

    Where another process was faster, its folder stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in unused(target.parent.glob(".*.tmp"), _ABANDONED_SECONDS):
        shutil.rmtree(abandoned, ignore_errors=True)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    partial.mkdir()
    try:
        yield partial
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)

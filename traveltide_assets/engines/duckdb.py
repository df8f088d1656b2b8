"""The DuckDB engine: one connection on this machine."""

from __future__ import annotations

import atexit
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import duckdb
import ibis
from ibis.backends.duckdb import Backend

from traveltide_assets.engines import parquet
from traveltide_assets.engines.base import (
    LocalEngine,
    OutOfMemory,
    Partition,
    UnreadableFile,
    compile_step_by_step,
)
from traveltide_assets.engines.checksum import digest_of
from traveltide_assets.engines.held import hold
from traveltide_assets.schema import places

_SYSTEM_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
# No column of a source has a name with a space.
_FILE, _KEPT = "own file", "own kept"


class DuckDB:
    """One DuckDB connection that reads and writes Parquet and spills to `scratch`."""

    spread = None

    def __init__(self, scratch: Path, memory: str | None = None) -> None:
        self._scratch = scratch
        self._memory = memory

    @cached_property
    def backend(self) -> Backend:
        # Parallel processes would delete each other's spilled files.
        with places.explained(self._scratch, places.HOME):
            scratch = hold(self._scratch)
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        compile_step_by_step()
        limit = {"memory_limit": self._memory} if self._memory else {}
        return ibis.duckdb.connect(
            ":memory:",
            temp_directory=str(scratch),
            preserve_insertion_order=True,
            # Files are read only once or twice, and the system caches them. DuckDB's own cache cost
            # 7 % of the time, and memory until something else needed it.
            enable_external_file_cache=False,
            **limit,
        )

    @property
    def single(self) -> DuckDB:
        return self

    def opens(self, uri: str) -> bool:
        return False

    def read_parquet(
        self,
        files: Sequence[Path] | Sequence[str],
        partition: Partition | None = None,
    ) -> ibis.Table:
        # Ibis makes paths absolute, and so names the files that way.
        paths = [os.path.abspath(file) for file in files]
        with self._explained():
            rows = self.backend.read_parquet(
                [_literal(path) for path in paths],
                union_by_name=True,
                # Any folder of the path called `column=value` would replace that column.
                hive_partitioning=False,
                **({} if partition is None else {"filename": _FILE}),
            )
        if partition is not None:
            name, values = partition
            # A filter on the column skips whole files, as the engine can tell from their names.
            value = ibis.cases(*((rows[_FILE] == p, v) for p, v in zip(paths, values, strict=True)))
            rows = rows.mutate(**{name: value}).drop(_FILE)
        return rows

    def read_csv(self, path: Path, columns: Sequence[str]) -> ibis.Table:
        """Detection is off, because it may take lines for a preamble and skip them."""
        # The engine compares names without regard to case, and these are those of the source.
        names = {f"c{place}": name for place, name in enumerate(columns)}
        with self._explained():
            rows = self.backend.read_csv(
                _literal(str(path)),
                auto_detect=False,
                header=True,
                delim=",",
                quote='"',
                escape='"',
                hive_partitioning=False,
                columns=dict.fromkeys(names, "VARCHAR"),
            )
        return rows.rename({name: place for place, name in names.items()})

    @contextmanager
    def numbered(self, table: ibis.Table, name: str) -> Iterator[ibis.Table]:
        # Numbered while a file is parsed, all cores but one would wait.
        with self._explained():
            computed = table.cache()
        with computed:
            yield computed.mutate(**{name: computed.rowid() + 1})

    def write_parquet(self, table: ibis.Table, path: Path, order: Sequence[str] = ()) -> str:
        """Equal content gives equal bytes."""
        rows = _nullable(table)
        return self._write(rows.order_by(list(order)) if order else rows, path)

    def write_partitions(
        self, table: ibis.Table, by: str, paths: Mapping[str, Path], order: Sequence[str]
    ) -> dict[str, str]:
        # Composing the whole query for every value would take longer than to keep its result.
        with table.union(_nulls(table)).cache() as computed:
            return {
                value: self._write(
                    computed.filter(computed[by] == value).drop(by).order_by(list(order)), path
                )
                for value, path in paths.items()
            }

    def _write(self, table: ibis.Table, path: Path) -> str:
        with self._explained(path):
            self.backend.to_parquet(table, path, **parquet.OPTIONS)
        return digest_of(path)

    @contextmanager
    def _explained(self, written: Path | None = None) -> Iterator[None]:
        """Turn errors of DuckDB into ours, and those about the written file into `OSError`."""
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            if "max_temp_directory_size" in str(error) or "temp_directory" in _cause(error):
                raise places.PlaceError(places.full(self._scratch, places.HOME)) from None
            reason = _cause(error).removeprefix("Out of Memory Error: ")
            now = f" (now {self._memory})" if self._memory else ""
            raise OutOfMemory(f"{reason}; raise TRAVELTIDE_MEMORY{now}") from None
        except duckdb.Error as error:
            if number := _system_error(error):
                if str(self._scratch) in str(error):
                    raise places.PlaceError(places.full(self._scratch, places.HOME)) from None
                if written is not None and str(written) in str(error):
                    raise OSError(number, os.strerror(number), str(written)) from None
            # While a table is written, an expression may be wrong: that is an error of ours.
            if written is None or _is_of_input(error):
                raise UnreadableFile(_cause(error)) from error
            raise

    def each(
        self, function: Callable[[LocalEngine, _Item], _Result], items: Sequence[_Item]
    ) -> list[_Result]:
        return [function(self, item) for item in items]


def _nullable(table: ibis.Table) -> ibis.Table:
    """The same rows, of which the engine has to assume that every value may be null, as `_nulls`.

    A union with a row of nulls would be written on one core.
    """
    # Always true, but the engine cannot know that.
    rows = table.mutate(**{_KEPT: ibis.random() < 2})
    return rows.select(
        **{n: ibis.ifelse(rows[_KEPT], rows[n], ibis.null(t)) for n, t in table.schema().items()}
    )


def _nulls(table: ibis.Table) -> ibis.Table:
    """One row of nulls, so that the engine has to assume that every column may be null.

    A column that the engine proves free of nulls is stored with another type. The file of a month
    would then depend on the other months in the same computation.
    """
    nulls = {name: ibis.null(kind) for name, kind in table.schema().items()}
    return ibis.range(1).unnest().as_table().select(**nulls)


def _literal(path: str) -> str:
    """A path as a pattern that matches nothing else."""
    return re.sub(r"[*?[]", r"[\g<0>]", path)


def _is_of_input(error: duckdb.Error) -> bool:
    """Whether a file that was read is at fault, rather than the memory, the disk or the query."""
    # Errors in the structure of a Parquet file have no class of their own.
    kinds = (duckdb.InvalidInputException, duckdb.IOException, duckdb.SerializationException)
    found = isinstance(error, kinds) or type(error) is duckdb.Error or "in decode" in str(error)
    return (
        found and "write" not in str(error) and not isinstance(error, duckdb.OutOfMemoryException)
    )


def _system_error(error: duckdb.Error) -> int | None:
    """The number of the system's error in a message of DuckDB, which may hold it as JSON."""
    return next((n for n in _SYSTEM_ERRORS if os.strerror(n) in str(error)), None)


def _cause(error: duckdb.Error) -> str:
    """The error and its position, without rows, without advice about options and without SQL."""
    text = str(error)
    if "CSV" in text:
        line = re.search(r"on Line: (\d+)", text)
        return "the CSV cannot be parsed" + (f" at line {line[1]}" if line else "")
    if "unicode" in text.lower() or "string encoding" in text or "Failure in decode" in text:
        return "a text is not UTF-8"
    return text.partition("\n")[0].strip()

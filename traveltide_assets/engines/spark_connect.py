"""The Spark engine without a JVM of its own: a server of Spark Connect computes.

The server may be a Spark 4, Databricks, or Sail, which runs inside this process and needs no Java.
A server elsewhere sees lake and home under the same path and has this package in its Python. It is
sent expressions only: landed files are parsed, and S3 is reached, by this process.
"""

from __future__ import annotations

import atexit
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import ibis
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.connect.functions import lit, row_number
from pyspark.sql.connect.session import SparkSession
from pyspark.sql.connect.window import Window

from traveltide_assets.engines.base import OutOfMemory, Partition
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.engines.held import hold
from traveltide_assets.engines.spark_backend import SparkBackend
from traveltide_assets.engines.spark_engine import (
    SESSION_CONF,
    SparkEngine,
    schema_of,
    union,
    url_of,
)
from traveltide_assets.engines.spark_writer import NUMBER, Writing

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class SparkConnect(SparkEngine):
    """A session of the server at `sc://host:port`."""

    spread = None

    def __init__(self, remote: str, scratch: Path, memory: str | None = None) -> None:
        super().__init__(scratch, memory)
        self._remote = remote

    @cached_property
    def session(self) -> SparkSession:
        # Not by way of `pyspark.sql`, which allows either Spark or Spark Connect in a process.
        session = SparkSession.builder.remote(self._address()).create()
        for name, value in SESSION_CONF.items():
            session.conf.set(name, value)
        return session

    def _address(self) -> str:
        return self._remote

    def _url(self, path: Path) -> str:
        return url_of(path)

    def _connected(self) -> SparkBackend:
        folder = hold(self._scratch)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return _Staging().connect(self.session, folder, self._url)

    def opens(self, uri: str) -> bool:
        return False

    def read_parquet(
        self, files: Sequence[Path] | Sequence[str], partition: Partition | None = None
    ) -> ibis.Table:
        paths = [Path(file) for file in files]
        reader = self.session.read.schema(schema_of(paths))
        if partition is None:
            return self._table(reader.parquet(*map(self._url, paths)))
        # Sail does not take the values from the names of folders.
        name, values = partition
        parts = zip(paths, values, strict=True)
        rows = [
            reader.parquet(self._url(path)).withColumn(name, lit(value)) for path, value in parts
        ]
        return self._table(union(rows))

    def _sorted(self, rows: DataFrame, by: str, order: Sequence[str]) -> DataFrame:
        # Sail drops a sort that no operator asks for. One that numbers rows does.
        return rows.withColumn(NUMBER, row_number().over(Window.partitionBy(by).orderBy(*order)))

    def _written(self, rows: DataFrame, writing: Writing) -> dict[str, str]:
        with _explained():
            return super()._written(rows, writing)

    def each(
        self, function: Callable[[DuckDB, _Item], _Result], items: Sequence[_Item]
    ) -> list[_Result]:
        return [function(self.single, item) for item in items]


class _Staging(SparkBackend):
    """Keeps cached tables as Parquet: a server of Spark Connect need not keep any itself."""

    def do_connect(self, session: SparkSession, folder: Path, url: Callable[[Path], str]) -> None:
        self._folder, self._url = folder, url
        super().do_connect(session)

    def _create_cached_table(self, name: str, expr: ibis.Table) -> ibis.Table:
        place = self._url(self._folder / name)
        rows = self.rows(expr)
        (self._folder / name).mkdir()  # Sail makes none for a table without rows.
        with _explained():
            rows.write.mode("append").parquet(place)
        self._session.read.schema(rows.schema).parquet(place).createTempView(name)
        return self.table(name)

    def to_pyarrow(self, expr: Any, /, **how: Any) -> Any:
        with _explained():
            return super().to_pyarrow(expr, **how)

    def _drop_cached_table(self, name: str) -> None:
        self._session.catalog.dropTempView(name)
        shutil.rmtree(self._folder / name, ignore_errors=True)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an error about the memory of Sail into ours."""
    try:
        yield
    except PySparkException as error:
        if found := re.search(r"Failed to allocate [^\n\\]*", str(error)):
            raise OutOfMemory(f"{found[0]}; raise TRAVELTIDE_MEMORY") from None
        raise

"""What Spark and Spark Connect have in common: options, and the files of the lake."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from traveltide_assets.engines.base import UnreadableFile, compile_step_by_step
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.engines.spark_backend import SparkBackend
from traveltide_assets.engines.spark_writer import Writing

SESSION_CONF = {
    # Times have no zone here or in the lake. Where Spark assumes a zone, it is UTC everywhere.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    # An overflow or an unreadable value is an error, as in DuckDB, and not null.
    "spark.sql.ansi.enabled": "true",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # With this many columns, the generated code of a whole stage exceeds the limits of the JVM.
    # Compiling it only to find that out took longer than anything else.
    "spark.sql.codegen.wholeStage": "false",
    # These rules replace column names by their expressions again and again, and planning the
    # cleaning of sessions took minutes. The lake is read by file, so nothing is lost without them.
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.optimizer.excludedRules": ",".join(
        f"org.apache.spark.sql.catalyst.optimizer.{rule}"
        for rule in ("PushDownPredicates", "PushFoldableIntoBranches")
    ),
}
"""Options that a session may set for itself, on any server."""

_PART = "own part"  # No column of the lake has a name with a space.


class SparkEngine(ABC):
    """Writes the files of the lake where Spark computes.

    `memory` limits DuckDB while it parses a landed file.
    """

    def __init__(self, scratch: Path, memory: str | None = None) -> None:
        self._scratch = scratch
        self._memory = memory
        self.single = DuckDB(scratch, memory)

    @cached_property
    def backend(self) -> SparkBackend:
        compile_step_by_step()
        _ = ibis.pyspark  # Registers the options that its compiler reads.
        return self._connected()

    @abstractmethod
    def _connected(self) -> SparkBackend:
        """Ibis on the session."""

    def write_parquet(self, table: ibis.Table, path: Path, order: Sequence[str] = ()) -> str:
        if not order:
            raise ValueError("rows on a cluster have no order: pass `order`")
        one = table.mutate(**{_PART: ibis.literal("")})
        return self.write_partitions(one, _PART, {"": path}, order)[""]

    def write_partitions(
        self, table: ibis.Table, by: str, paths: Mapping[str, Path], order: Sequence[str]
    ) -> dict[str, str]:
        places = {value: str(path.resolve()) for value, path in paths.items()}
        writing = Writing(table.drop(by).schema().to_pyarrow(), by, places)
        # Hashing may give a partition several values, and then it writes several files.
        rows = self.backend.rows(table).repartition(len(paths), by)
        return self._written(self._sorted(rows, by, order), writing)

    def _sorted(self, rows: DataFrame, by: str, order: Sequence[str]) -> DataFrame:
        """The rows of each partition by `by` and `order`."""
        return rows.sortWithinPartitions(by, *order)

    def _table(self, rows: DataFrame) -> ibis.Table:
        name = f"read_{uuid.uuid4().hex}"
        rows.createTempView(name)
        return self.backend.table(name)

    def _written(self, rows: DataFrame, writing: Writing) -> dict[str, str]:
        """Executors write the files; the driver writes only the files without rows."""
        done = rows.mapInArrow(writing, "part string, digest string").collect()
        digests = {line.part: line.digest for line in done}
        for part in writing.paths.keys() - digests.keys():
            digests[part] = writing.write(part)
        return digests


def schema_of(paths: Sequence[Path], *more: str) -> StructType:
    """All columns of Parquet files, from their footers, and `more` columns of text.

    A column that a file lacks is null in it.
    """
    try:
        schemas = [pq.read_schema(path).remove_metadata() for path in paths]
        schema = pa.unify_schemas(schemas)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(str(error)) from error
    for name in more:
        schema = schema.append(pa.field(name, pa.string()))
    return from_arrow_schema(schema, prefer_timestamp_ntz=True)


def url_of(file: Path | str) -> str:
    """The URL of a file of this machine, or of an object in S3."""
    if isinstance(file, Path):
        return f"file://{file.resolve()}"
    return f"s3a://{file.removeprefix('s3://')}"


def union(tables: Sequence[DataFrame]) -> DataFrame:
    """All rows. The halves are united first, as a server bounds how deep a plan is."""
    if len(tables) == 1:
        return tables[0]
    half = len(tables) // 2
    return union(tables[:half]).unionByName(union(tables[half:]), allowMissingColumns=True)

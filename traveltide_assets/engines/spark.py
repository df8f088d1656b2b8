"""The Spark engine: it runs the same expressions as DuckDB, on many machines.

Lake and home must be on storage that every machine of the cluster sees under the same path, and
every machine needs this package. Executors read and write the files of the lake; the driver renames
the written files. DuckDB parses each landed file (one executor per file), so text is identical on
both engines.
"""

from __future__ import annotations

import os
import shutil
import string
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.formats.pyarrow import PyArrowData
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from traveltide_assets.engines.base import Partition, UnreadableFile, compile_step_by_step
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.engines.spark_writer import Writing
from traveltide_assets.schema.errors import TravelTideError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_CONF = {
    # Times have no zone here or in the lake. Where Spark assumes a zone, it is UTC everywhere.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    # An overflow or an unreadable value is an error, as in DuckDB, and not null.
    "spark.sql.ansi.enabled": "true",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
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
# The default of 200 is for a cluster. On one machine most tasks would have hardly a row, and cost
# more than their rows do.
_SHUFFLE_PARTITIONS = "spark.sql.shuffle.partitions"
_PARTITIONS_PER_CORE = 4
# Text that DuckDB accepts as a number or a time. Spark accepts less or more, so text is rewritten
# from the matched groups; other text becomes empty.
_UNDERSCORE = r"(?<=[0-9])_(?=[0-9])"
_NUMBER = r"^ *\+?(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?) *$|^[\s\S]*$"
_DATE = r"^([0-9]{4}([-/ ])[0-9]{1,2}\2[0-9]{1,2})$"
_MINUTE = r"^([^:]*:[0-9]{1,2}) *$"
_TIME = (
    r"^([0-9]{4})([-/ ])([0-9]{1,2})\2([0-9]{1,2})"
    r"[ T] *([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(\.[0-9]*)? *$|^[\s\S]*$"
)
_MIDNIGHT = r" 24:(0{1,2}:0{1,2}(?:\.0*)?)$"  # Midnight at the end of a day.


class Spark:
    """A Spark session on a cluster, or on this machine if the master is `local[…]`.

    `memory` limits DuckDB while it parses a landed file.
    """

    def __init__(self, master: str, scratch: Path, memory: str | None = None) -> None:
        self._master = master
        self._scratch = scratch
        self._memory = memory
        self.single = DuckDB(scratch, memory)

    @cached_property
    def session(self) -> SparkSession:
        if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
            raise RuntimeError(
                "Spark needs a Java runtime, but none was found: install one "
                "(on Debian, openjdk-17-jre-headless) or set JAVA_HOME"
            )
        # By default, executors run the Python at the same path as the driver.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master(self._master).appName("traveltide")
        places = {
            "spark.local.dir": str(self._scratch.resolve()),
            "spark.sql.warehouse.dir": str(self._scratch.resolve() / "warehouse"),
        }
        session = builder.config(map={**_CONF, **places, **_s3_conf()}).getOrCreate()
        context = session.sparkContext
        context.setLogLevel("ERROR")
        if context.master.startswith("local") and _SHUFFLE_PARTITIONS not in _given(context):
            partitions = _PARTITIONS_PER_CORE * context.defaultParallelism
            session.conf.set(_SHUFFLE_PARTITIONS, str(partitions))
        return session

    @cached_property
    def backend(self) -> _Backend:
        compile_step_by_step()
        _ = ibis.pyspark  # Registers the options that its compiler reads.
        return _Backend().connect(self.session)

    def opens(self, uri: str) -> bool:
        return uri.startswith("s3://") and self._has_s3a

    @cached_property
    def _has_s3a(self) -> bool:
        """Whether Hadoop finds its file system for S3, which is not part of Spark."""
        hadoop = self.session._jsc.hadoopConfiguration()
        jvm: Any = self.session._jvm
        try:
            jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass("s3a", hadoop)
        except Py4JJavaError:
            return False
        return True

    def read_parquet(
        self,
        files: Sequence[Path] | Sequence[str],
        partition: Partition | None = None,
    ) -> ibis.Table:
        urls = [_url(file) for file in files]
        paths = [file for file in files if isinstance(file, Path)]
        reader = self.session.read
        if partition is not None:
            reader = reader.option("basePath", urls[0].rpartition(f"/{partition[0]}=")[0])
        if paths:
            schema = _schema(paths)
            if partition is not None:
                schema = schema.append(pa.field(partition[0], pa.string()))
            reader = reader.schema(from_arrow_schema(schema, prefer_timestamp_ntz=True))
        else:
            reader = reader.option("mergeSchema", True)  # Executors read the footers.
        rows = reader.parquet(*urls)
        return self._table(rows)

    def write_parquet(self, table: ibis.Table, path: Path, order: Sequence[str] = ()) -> str:
        if not order:
            raise ValueError("rows on a cluster have no order: pass `order`")
        rows = self.backend.rows(table).repartition(1).sortWithinPartitions(*order)
        writing = Writing(_stored_schema(table), None, {"": str(path.resolve())})
        return self._written(rows, writing)[""]

    def write_partitions(
        self, table: ibis.Table, by: str, paths: Mapping[str, Path], order: Sequence[str]
    ) -> dict[str, str]:
        rows = self.backend.rows(table).repartition(len(paths), by).sortWithinPartitions(by, *order)
        places = {value: str(path.resolve()) for value, path in paths.items()}
        return self._written(rows, Writing(_stored_schema(table.drop(by)), by, places))

    def each(
        self, function: Callable[[DuckDB, _Item], _Result], items: Sequence[_Item]
    ) -> list[_Result]:
        return self.spread(partial(_on_executor, function, self._memory), items)

    def spread(
        self, function: Callable[[_Item], _Result], items: Sequence[_Item], /
    ) -> list[_Result]:
        if not items:
            return []
        tasks = self.session.sparkContext.parallelize(list(items), len(items))
        done: list[_Result] = []
        for result in tasks.map(partial(_attempt, function)).collect():
            if isinstance(result, TravelTideError):
                raise result
            done.append(result)
        return done

    def _table(self, rows: DataFrame) -> ibis.Table:
        name = f"read_{uuid.uuid4().hex}"
        rows.createTempView(name)
        return self.backend.table(name)

    def _written(self, rows: DataFrame, writing: Writing) -> dict[str, str]:
        """Executors write the files; the driver writes only the files without rows."""
        done = rows.mapInArrow(writing, "part string, digest string").collect()
        digests = {line.part: line.digest for line in done}
        for part in writing.paths.keys() - digests.keys():
            with writing.file(part) as file:
                digests[part] = file.close()
        return digests


class _Backend(Backend):  # type: ignore[misc]
    """Ibis on Spark, with the semantics of DuckDB where Spark differs."""

    def rows(self, table: ibis.Table) -> DataFrame:
        self._run_pre_execute_hooks(table)
        return self._session.sql(self.compile(table))

    def to_pyarrow(self, expr: Any, /, **_: Any) -> Any:
        # Ibis converts through pandas, which shifts times without a zone and turns nulls into NaN.
        table = expr.as_table()
        found = self.rows(table).toArrow()
        return expr.__pyarrow_result__(PyArrowData.convert_table(found, table.schema()))


class _Compiler(PySparkCompiler):  # type: ignore[misc]
    def visit_Strip(self, op: ops.Strip, *, arg: Any) -> Any:  # noqa: N802
        # Ibis writes \v and \f, which Spark reads as the letters v and f.
        blanks = [self.f.anon.char(ord(blank)) for blank in string.whitespace]
        return self.f.trim(arg, self.f.concat(*blanks))

    def visit_Round(self, op: ops.Round, *, arg: Any, digits: Any) -> Any:  # noqa: N802
        # Spark rounds the printed decimal digits, DuckDB rounds the binary number.
        if digits is None:
            return self.cast(self.f.anon.round(arg), op.dtype)
        power = self.f.anon.power(self.cast(10, dt.float64), digits)
        return self.f.anon.round(sge.paren(arg) * power) / power

    def visit_Median(self, op: ops.Median, *, arg: Any, where: Any) -> Any:  # noqa: N802
        # sqlglot would turn it into the approximate percentile.
        counted = arg if where is None else self.if_(where, arg, sge.Null())
        return self.f.anon.percentile(counted, sge.convert(0.5))

    def visit_TimestampDelta(self, op: Any, *, part: Any, left: Any, right: Any) -> Any:  # noqa: N802
        # DuckDB counts the boundaries between two times, Spark counts whole units.
        cut = [self.f.anon.date_trunc(part, time) for time in (left, right)]
        return super().visit_TimestampDelta(op, part=part, left=cut[0], right=cut[1])

    def visit_TryCast(self, op: ops.TryCast, *, arg: Any, to: Any) -> Any:  # noqa: N802
        if not op.arg.dtype.is_string():
            return super().visit_TryCast(op, arg=arg, to=to)
        if to.is_floating():
            arg = self._replaced(arg, _UNDERSCORE, "")
            arg = self._replaced(arg, _NUMBER, "$1")
        elif to.is_timestamp():
            arg = self._replaced(arg, _DATE, "$1 0:0:0")
            arg = self._replaced(arg, _MINUTE, "$1:0")
            arg = self._replaced(arg, _TIME, "$1-$3-$4 $5:$6:$7$8")
            begun = self._replaced(arg, _MIDNIGHT, " 0:$1")
            time = super().visit_TryCast(op, arg=begun, to=to)
            ended = self.f.anon.regexp_like(arg, sge.convert(_MIDNIGHT))
            day = sge.Interval(this=sge.convert(1), unit=sge.Var(this="DAY"))
            return self.if_(ended, time + day, time)
        return super().visit_TryCast(op, arg=arg, to=to)

    def _replaced(self, text: Any, pattern: str, by: str) -> Any:
        return self.f.anon.regexp_replace(text, sge.convert(pattern), sge.convert(by))


_Backend.compiler = _Compiler()


def _on_executor(
    function: Callable[[DuckDB, _Item], _Result], memory: str | None, item: _Item
) -> _Result:
    return function(DuckDB(Path(tempfile.gettempdir()) / "traveltide", memory), item)


def _attempt(function: Callable[[_Item], _Result], item: _Item) -> _Result | TravelTideError:
    """Return errors for users as results: raised, Spark would retry and bury the message."""
    try:
        return function(item)
    except TravelTideError as error:
        return error


def _given(context: SparkContext) -> set[str]:
    """The names of the options that were set, here or in `spark-defaults.conf`."""
    return {name for name, _ in context.getConf().getAll()}


def _s3_conf() -> dict[str, str]:
    """S3 endpoint and region of this process, for boto3 on the executors and for s3a.

    Each machine finds its own credentials, so that no configuration contains them.
    """
    conf = {}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        conf["spark.executorEnv.AWS_ENDPOINT_URL"] = endpoint
        conf["spark.hadoop.fs.s3a.endpoint"] = endpoint
        # Servers other than Amazon's rarely have a host name for each bucket.
        conf["spark.hadoop.fs.s3a.path.style.access"] = "true"
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        conf["spark.executorEnv.AWS_REGION"] = region
        conf["spark.hadoop.fs.s3a.endpoint.region"] = region
    return conf


def _schema(paths: Sequence[Path]) -> pa.Schema:
    """All columns of Parquet files, from their footers; a column that a file lacks is null."""
    try:
        schemas = [pq.read_schema(path).remove_metadata() for path in paths]
        return pa.unify_schemas(schemas)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(str(error)) from error


def _stored_schema(table: ibis.Table) -> pa.Schema:
    return table.schema().to_pyarrow()


def _url(file: Path | str) -> str:
    if isinstance(file, Path):
        return f"file://{file.resolve()}"
    return f"s3a://{file.removeprefix('s3://')}"

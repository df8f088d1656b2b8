"""The Spark engine: it runs the same expressions as DuckDB, on many machines.

Lake and home must be on storage that every machine of the cluster sees under the same path, and
every machine needs this package. Executors read and write the files of the lake; the driver renames
the written files. DuckDB parses each landed file (one executor per file), so text is identical on
both engines.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import ibis
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.sql import SparkSession
from pyspark.sql.functions import lit

from traveltide_assets.engines.base import Partition
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.engines.spark_backend import SparkBackend
from traveltide_assets.engines.spark_engine import (
    SESSION_CONF,
    SparkEngine,
    schema_of,
    union,
    url_of,
)
from traveltide_assets.schema.errors import TravelTideError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# The default of 200 is for a cluster. On one machine most tasks would have hardly a row, and cost
# more than their rows do.
_SHUFFLE_PARTITIONS = "spark.sql.shuffle.partitions"
_PARTITIONS_PER_CORE = 4
# There a session lives for minutes, and Java's second compiler would take more of them than it
# saves. So it gets only code that runs ten times as often as by default.
_JAVA = (
    "-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 "
    "-XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000"
)


class Spark(SparkEngine):
    """A Spark session on a cluster, or on this machine if the master is `local[…]`."""

    def __init__(self, master: str, scratch: Path, memory: str | None = None) -> None:
        super().__init__(scratch, memory)
        self._master = master

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
        options = {
            "spark.ui.showConsoleProgress": "false",
            "spark.local.dir": str(self._scratch.resolve()),
            "spark.sql.warehouse.dir": str(self._scratch.resolve() / "warehouse"),
        }
        if self._master.startswith("local"):
            # `spark.driver.extraJavaOptions`, which a user may set, come after these.
            options["spark.driver.defaultJavaOptions"] = _JAVA
        session = builder.config(map={**SESSION_CONF, **options, **_s3_conf()}).getOrCreate()
        context = session.sparkContext
        context.setLogLevel("ERROR")
        if str(context.master).startswith("local") and _SHUFFLE_PARTITIONS not in _given(context):
            partitions = _PARTITIONS_PER_CORE * context.defaultParallelism
            session.conf.set(_SHUFFLE_PARTITIONS, str(partitions))
        return session

    def _connected(self) -> SparkBackend:
        return SparkBackend().connect(self.session)

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
        urls = [url_of(file) for file in files]
        paths = [file for file in files if isinstance(file, Path)]
        reader = self.session.read
        if partition is not None and f"/{partition[0]}=" not in urls[0]:
            # No folder tells Spark the values.
            name, values = partition
            if paths:
                reader = reader.schema(schema_of(paths))
            parts = zip(urls, values, strict=True)
            rows = [reader.parquet(url).withColumn(name, lit(value)) for url, value in parts]
            return self._table(union(rows))
        if partition is not None:
            reader = reader.option("basePath", urls[0].rpartition(f"/{partition[0]}=")[0])
        if paths:
            reader = reader.schema(schema_of(paths, *(partition[:1] if partition else ())))
        else:
            reader = reader.option("mergeSchema", True)  # Executors read the footers.
        return self._table(reader.parquet(*urls))

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

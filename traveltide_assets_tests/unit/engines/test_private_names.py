"""What the Spark engine overrides or reads of Ibis and PySpark though neither promises it."""

from __future__ import annotations

import inspect

import ibis
import pytest
from ibis.backends.sql.compilers.pyspark import PySparkCompiler


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("visit_Strip", ["arg"]),
        ("visit_Round", ["arg", "digits"]),
        ("visit_Median", ["arg", "where"]),
        ("visit_TimestampDelta", ["part", "left", "right"]),
        ("visit_TryCast", ["arg", "to"]),
        ("visit_NonNullLiteral", ["value", "dtype"]),
    ],
)
def test_the_compiler_of_ibis_has_what_ours_overrides(method: str, arguments: list[str]) -> None:
    found = inspect.signature(getattr(PySparkCompiler, method)).parameters
    assert list(found)[2:] == arguments


def test_steps_of_an_expression_can_be_compiled_one_by_one() -> None:
    table = ibis.table({"x": "int64"}, name="t")
    steps = table.mutate(y=table.x + 1).mutate(z=lambda t: t.y * 2).filter(lambda t: t.z > 1)
    before = ibis.options.sql.fuse_selects
    try:
        ibis.options.sql.fuse_selects = False
        apart = str(ibis.to_sql(steps, dialect="duckdb")).count("SELECT")
        ibis.options.sql.fuse_selects = True
        fused = str(ibis.to_sql(steps, dialect="duckdb")).count("SELECT")
    finally:
        ibis.options.sql.fuse_selects = before
    assert apart > fused


def test_the_backend_of_ibis_runs_its_hooks_and_keeps_its_session_where_we_look() -> None:
    backend = pytest.importorskip("ibis.backends.pyspark", exc_type=ImportError).Backend
    assert "expr" in inspect.signature(backend._run_pre_execute_hooks).parameters
    assert "self._session = session" in inspect.getsource(backend.do_connect)


def test_the_backend_of_ibis_keeps_and_drops_cached_tables_where_we_do() -> None:
    backend = pytest.importorskip("ibis.backends.pyspark", exc_type=ImportError).Backend
    assert list(inspect.signature(backend._create_cached_table).parameters)[1:] == ["name", "expr"]
    assert list(inspect.signature(backend._drop_cached_table).parameters)[1:] == ["name"]


def test_a_session_of_spark_hands_out_its_java_side() -> None:
    session = pytest.importorskip("pyspark.sql").SparkSession
    source = inspect.getsource(session)
    assert "self._jsc = " in source
    assert "self._jvm = " in source

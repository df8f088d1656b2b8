"""Ibis on Spark, with the semantics of DuckDB where Spark differs.

Expressions here run on Spark and on Sail. Sail's regular expressions know no look-around and no
back-references, so there are none.
"""

from __future__ import annotations

import math
import string
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.formats.pyarrow import PyArrowData
from pyspark.sql import DataFrame

# Text that DuckDB accepts as a number or a time. Spark accepts less or more, so text is rewritten
# from the matched groups; other text becomes empty, or no time.
_UNDERSCORE = r"([0-9])_([0-9])"
_NUMBER = r"^ *\+?(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?) *$|^[\s\S]*$"
_DATE = r"^([0-9]{4}(?:-[0-9]{1,2}-|/[0-9]{1,2}/| [0-9]{1,2} )[0-9]{1,2})$"
_MINUTE = r"^([^:]*:[0-9]{1,2}) *$"
# One pair of groups for month and day with each separator; two pairs are empty.
_DAY = "|".join(f"{blank}([0-9]{{1,2}}){blank}([0-9]{{1,2}})" for blank in "-/ ")
_TIME = (
    rf"^([0-9]{{4}})(?:{_DAY})"
    r"[ T] *([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(\.[0-9]*)? *$|^[\s\S]*$"
)
_MIDNIGHT = r" 24:(0{1,2}:0{1,2}(?:\.0*)?)$"  # Midnight at the end of a day.


class SparkBackend(Backend):  # type: ignore[misc]
    """A connection to a session of Spark or of Spark Connect."""

    def rows(self, table: ibis.Table) -> DataFrame:
        self._run_pre_execute_hooks(table)
        return self._session.sql(self.compile(table))

    def to_pyarrow(self, expr: Any, /, **_: Any) -> Any:
        # Ibis converts through pandas, which shifts times without a zone and turns nulls into NaN.
        table = expr.as_table()
        found = self.rows(table).toArrow()
        return expr.__pyarrow_result__(PyArrowData.convert_table(found, table.schema()))


class _Compiler(PySparkCompiler):  # type: ignore[misc]
    def visit_NonNullLiteral(self, op: ops.Literal, *, value: Any, dtype: Any) -> Any:  # noqa: N802
        # Bare digits are a decimal. Sail divides it by its power of ten, which rounds once more.
        if dtype.is_floating() and math.isfinite(value):
            return self.cast(sge.convert(repr(float(value))), dtype)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

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
            for _ in range(2):  # A digit between two underscores belongs to one match only.
                arg = self._replaced(arg, _UNDERSCORE, "$1$2")
            arg = self._replaced(arg, _NUMBER, "$1")
        elif to.is_timestamp():
            arg = self._replaced(arg, _DATE, "$1 0:0:0")
            arg = self._replaced(arg, _MINUTE, "$1:0")
            arg = self._replaced(arg, _TIME, "$1-$2$4$6-$3$5$7 $8:$9:$10$11")
            begun = self._replaced(arg, _MIDNIGHT, " 0:$1")
            time = super().visit_TryCast(op, arg=begun, to=to)
            ended = self.f.anon.regexp_like(arg, sge.convert(_MIDNIGHT))
            day = sge.Interval(this=sge.convert(1), unit=sge.Var(this="DAY"))
            return self.if_(ended, time + day, time)
        return super().visit_TryCast(op, arg=arg, to=to)

    def _replaced(self, text: Any, pattern: str, by: str) -> Any:
        return self.f.anon.regexp_replace(text, sge.convert(pattern), sge.convert(by))


SparkBackend.compiler = _Compiler()

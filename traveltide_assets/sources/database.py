"""A PostgreSQL database as the source: one consistent snapshot per run.

The first step of a run that reads the source copies the tables the run needs into staged Parquet,
all in one transaction. Every other step of the run, and its checks, read that copy. The server
converts every value to text, as `column::text` writes it. Rows have no order in a database, so they
are numbered in the order of their content: snapshots as whole tables, sessions month by month.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import ibis
import pyarrow.parquet as pq
from filelock import FileLock
from sqlglot import exp
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from traveltide_assets.connections.config import Config
from traveltide_assets.connections.locations import PostgresLocation
from traveltide_assets.connections.postgres import (
    ConnectionLost,
    PostgresError,
    Session,
    connect,
    setting,
)
from traveltide_assets.engines.base import Engine
from traveltide_assets.lake.conformed import conformed
from traveltide_assets.lake.storage.folder import unused
from traveltide_assets.schema.config import Partitions
from traveltide_assets.schema.months import next_month
from traveltide_assets.schema.sources import IDS, OPTIONAL, RAW, key_of
from traveltide_assets.schema.table import Column
from traveltide_assets.sources.base import Run, SourceError
from traveltide_assets.sources.columns import contract_columns, without_rows
from traveltide_assets.sources.staged import whole_folder
from traveltide_assets.sources.tables import raw_table
from traveltide_assets.transforms.cleaning.parse import with_month

_SNAPSHOT = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
_MONTH_FORMAT = exp.Literal.string("YYYY-MM")
_UNDATED = "undated"
_RAW = "raw"
_COUNTS = "counts.json"
_ZONED = {"timestamptz", "timetz"}
_TEXTS = {"text", "varchar", "bpchar", "name", "citext"}
_NUMBERS = {"int2", "int4", "int8", "numeric", "float4", "float8", "oid"}
# Types whose text is read as a type of the contract, besides text itself.
_READ = {
    "int64": _NUMBERS,
    "float64": _NUMBERS,
    "boolean": {"bool", "bit", "varbit", *_NUMBERS},
    "date": {"date", "timestamp"},
    "timestamp(6)": {"date", "timestamp"},
}
# How to write a column of another type in a view.
_CASTS = {
    "string": "{}::text",
    "int64": "{}::bigint",
    "float64": "{}::numeric",
    "boolean": "{}::boolean",
    "date": "{}::date",
    "timestamp(6)": "{}::timestamp",
}
_UNUSED_SECONDS = 6 * 3600
_IDENTITY = """
    SELECT system_identifier, current_database()::text,
           (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('users'))
    FROM pg_control_system()
"""
# Takes a quarter less work than zstd with dictionaries, for files that only live for one run.
_QUICK = {"compression": "lz4", "use_dictionary": False}
_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
Columns = Mapping[str, Mapping[str, str]]


class Database:
    """The raw tables on the search path of a database, as one run sees them."""

    def __init__(
        self,
        location: PostgresLocation,
        engine: Engine,
        staging: Path,
        run: Run,
        config: Config,
        bounds: Partitions,
    ) -> None:
        self._location = location
        self._engine = engine
        self._folder = staging / "postgres" / run.id
        self._run = run
        self._bounds = bounds
        self._config = config

    def table(self, name: str) -> ibis.Table:
        rows = self._engine.read_parquet(self._staged(name, self._parts(name)))
        return with_month(rows) if name == "sessions" else rows

    def parts(self, name: str, months: Sequence[str]) -> dict[str, Path]:
        wanted = months or [name]
        return dict(zip(wanted, self._staged(name, wanted), strict=True))

    def sessions_outside(self, months: Sequence[str]) -> ibis.Table:
        return with_month(self._engine.read_parquet(self._staged("sessions", [_UNDATED])))

    def _staged(self, name: str, parts: Sequence[str]) -> list[Path]:
        """The staged files of these parts of a table. They are extracted if they are not yet."""
        self._stage()
        return [self._folder / name / f"{part}.parquet" for part in parts]

    def counts(self, name: str, months: Sequence[str]) -> dict[str | None, int]:
        counted = self._counted[name]
        if not months:
            return {None: sum(counted.values())}
        return {month: counted.get(month, 0) for month in months}

    def sessions_by_month(self) -> dict[str, int]:
        return {month: rows for month, rows in self._counted["sessions"].items() if month}

    def origins(self, name: str) -> list[str]:
        return [f"{name} of {self._location}"]

    @cached_property
    def _counted(self) -> dict[str, dict[str, int]]:
        """Rows of each table, for sessions by month. Counts now if nothing was extracted yet."""
        if (self._folder / _COUNTS).exists():
            return json.loads((self._folder / _COUNTS).read_text(encoding="utf-8"))
        return self._patiently(_count)

    def _stage(self) -> None:
        """Extract the tables, unless another step of this run has done so in any process."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        # The operating system releases the lock of a process that was killed.
        with FileLock(self._folder.with_suffix(".lock")):
            if not self._folder.exists():
                _remove_unused(self._folder.parent)
                with whole_folder(self._folder) as partial:
                    (partial / _RAW).mkdir()
                    self._patiently(lambda *snapshot: self._extract(partial, *snapshot))
                    self._number(partial)
            self._folder.touch()

    def _patiently(self, action: Callable[[Session, Columns], _Result]) -> _Result:
        """Run an action on a snapshot; if the connection breaks, run it again on a new one.

        Raises `ConnectionLost` after the last attempt, not `SourceError`: the database may come
        back, so the step may be retried.
        """
        attempts = self._config.attempts

        def warn(state: RetryCallState) -> None:
            lost = state.outcome.exception() if state.outcome else None
            _log.warning("%s; attempt %d of %d failed", lost, state.attempt_number, attempts)

        patiently = Retrying(
            retry=retry_if_exception_type(ConnectionLost),
            stop=stop_after_attempt(attempts),
            wait=wait_exponential(),
            before_sleep=warn,
            reraise=True,
        )
        try:
            return patiently(self._with_snapshot, action)
        except ConnectionLost as error:
            raise ConnectionLost(f"{error} ({attempts} attempts)") from None
        except PostgresError as error:
            raise SourceError(str(error)) from None

    def _with_snapshot(self, action: Callable[[Session, Columns], _Result]) -> _Result:
        with connect(self._location, self._config) as session:
            # Where a policy hides rows, queries then fail. Otherwise they would return the rest.
            session.set("row_security", "off")
            with session.transaction(_SNAPSHOT):
                return action(session, _described(session))

    def _extract(self, folder: Path, session: Session, columns: Columns) -> None:
        for part, query in self._queries(session, columns).items():
            _log.info("reading %s of %s", part, self._location)
            with (
                session.stream(query) as (schema, batches),
                pq.ParquetWriter(folder / _RAW / f"{part}.parquet", schema, **_QUICK) as writer,
            ):
                for batch in batches:
                    writer.write_batch(batch)
        counts = json.dumps(_count(session, columns))
        (folder / _COUNTS).write_text(counts, encoding="utf-8")

    def _number(self, folder: Path) -> None:
        """Write the staged files from the raw ones, after the connection was closed.

        Works month by month, because numbering sorts the rows, which takes memory.
        """
        for name in RAW:
            (folder / name).mkdir()
            for part in self._parts(name):
                raw = part if part in (name, _UNDATED) else name
                file = folder / _RAW / f"{raw}.parquet"
                if name in OPTIONAL and not file.exists():
                    users = self._engine.single.read_parquet([folder / _RAW / "users.parquet"])
                    self._write(name, without_rows(name, users), folder / name / f"{part}.parquet")
                    continue
                table = self._engine.single.read_parquet([file])
                if name == "sessions" and part != _UNDATED:
                    table = table.filter(table.session_start.startswith(part))
                place = name if part == name else f"{name}/{part}"
                origin = {
                    "source_file": ibis.literal(place),
                    "source_order": ibis.literal(1, "int64"),
                }
                table = _numbered(table, name).mutate(**origin)
                self._write(name, table, folder / name / f"{part}.parquet")
        shutil.rmtree(folder / _RAW)

    def _write(self, name: str, rows: ibis.Table, file: Path) -> None:
        table = raw_table(name)
        self._engine.single.write_parquet(conformed(rows, table), file, table.key)

    def _parts(self, name: str) -> list[str]:
        """The staged files of a table: for sessions, one per month of the run and one undated."""
        if name != "sessions":
            return [name]
        first, last = self._run.months or ("", "")
        return [*(m for m in self._bounds.months() if first <= m <= last), _UNDATED]

    def _queries(self, session: Session, columns: Columns) -> dict[str, exp.Select]:
        """One query per raw file: the snapshots, the sessions of the run's months, the undated."""
        bounds, months = self._bounds, self._run.months
        session.set("traveltide.lower", f"{bounds.first}-01")
        session.set("traveltide.upper", f"{next_month(bounds.months()[-1])}-01")
        # A run without months extracts no dated sessions.
        session.set("traveltide.first", f"{months[0] if months else bounds.first}-01")
        session.set("traveltide.after", f"{next_month(months[1]) if months else bounds.first}-01")
        start = exp.column(columns["sessions"]["session_start"], quoted=True)
        of_run = exp.and_(start >= _time("first"), start < _time("after"))
        outside = exp.or_(start < _time("lower"), start >= _time("upper"))
        of_no_month = exp.or_(start.is_(exp.null()), outside)
        queries = {name: _select(name, theirs) for name, theirs in columns.items()}
        return {
            **queries,
            "sessions": queries["sessions"].where(of_run),
            _UNDATED: queries["sessions"].where(of_no_month),
        }


def identity_of(location: PostgresLocation, config: Config) -> str | None:
    """The identity of a database and of the schema of its users; None where it is not shown.

    It stays the same whatever address leads to the server, and on its replicas. A restored dump is
    another database.
    """
    with connect(location, config) as session:
        try:
            ((server, database, schema),) = session.rows(_IDENTITY)
        except ConnectionLost:
            raise
        except PostgresError:  # Some providers keep the identity of their servers to themselves.
            return None
    return f"{server}/{database}/{schema}"


def _described(session: Session) -> Columns:
    """The columns of every table that is there by their name in the lake.

    Raises one `SourceError` that lists every problem.
    """
    found, problems = {}, []
    for name in RAW:
        types = session.columns(name)
        if not types and name in OPTIONAL:
            continue
        if not types:
            problems.append(f"{session.location}: no table {name} on the search path")
            continue
        try:
            found[name] = contract_columns(name, session.location, list(types))
        except SourceError as error:
            problems.append(str(error))
            continue
        problems += [f"{session.location}: {p}" for p in _type_problems(name, found[name], types)]
    if problems:
        raise SourceError("\n".join(problems))
    return found


def _type_problems(name: str, columns: Mapping[str, str], types: Mapping[str, str]) -> list[str]:
    """Problems with column types that would have every row refused, or guess at its time."""
    problems = []
    for column in RAW[name]:
        theirs = columns[column.name]
        if why := _type_problem(column, types[theirs]):
            zoned = types[theirs] in _ZONED
            cast = "{} AT TIME ZONE 'UTC'" if zoned else _CASTS[column.type]
            cast = cast.format(exp.to_identifier(theirs, quoted=True).sql("postgres"))
            problems.append(f"{name}.{theirs} {why}: provide a view with {cast} AS {theirs}")
    return problems


def _type_problem(column: Column, found: str) -> str:
    """What is wrong with the type of a column. Empty if nothing is."""
    if column.type in ("timestamp(6)", "date") and found in _ZONED:
        return "has a time zone, but the contract has none"
    if column.name == "session_start" and found != "timestamp":
        return f"is {found}, but must be a timestamp for its month to be known"
    if column.name in IDS and found in ("float4", "float8"):
        return f"is {found}, which rounds ids"
    if column.type == "string":
        refused = found in ("bytea", "money") or found.startswith("_")
    else:
        refused = found not in _READ[column.type] | _TEXTS
    return f"is {found}, which cannot be read as {column.type}" if refused else ""


def _count(session: Session, columns: Columns) -> dict[str, dict[str, int]]:
    """Rows of sessions by month, and of the other tables in total, under an empty month."""
    counted: dict[str, dict[str, int]] = {name: {} for name in RAW}
    for name in columns:
        month: exp.Expression = exp.Literal.string("")
        if name == "sessions":
            start = exp.column(columns[name]["session_start"], quoted=True)
            text = exp.Anonymous(this="to_char", expressions=[start, _MONTH_FORMAT])
            month = exp.Coalesce(this=text, expressions=[month])
        rows = exp.cast(exp.func("count", exp.Star()), "bigint")
        query = exp.select(month.as_("month"), rows).from_(exp.table_(name, quoted=True))
        counted[name] = {str(m): int(str(n)) for m, n in session.rows(query.group_by("month"))}
    return counted


def _select(name: str, columns: Mapping[str, str]) -> exp.Select:
    """The query of a table, as text and under the names of the lake."""
    texts = [
        exp.cast(exp.column(theirs, quoted=True), "text").as_(ours, quoted=True)
        for ours, theirs in columns.items()
    ]
    return exp.select(*texts).from_(exp.table_(name, quoted=True))


def _time(name: str) -> exp.Expression:
    return exp.cast(setting(f"traveltide.{name}"), "timestamp")


def _numbered(table: ibis.Table, name: str) -> ibis.Table:
    """The table with row numbers, in the order of the rows' content."""
    key = key_of(name)
    order = [*key, *[column for column in table.columns if column not in key]]
    return table.mutate(source_row=ibis.row_number().over(order_by=order) + 1)


def _remove_unused(folder: Path) -> None:
    """Remove the staged files of earlier runs. A run in progress has used its own recently."""
    for old in unused(folder.iterdir(), _UNUSED_SECONDS):
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)

"""A session in a PostgreSQL database, for the source and for publishing.

`ConnectionLost` is worth another attempt; any other `PostgresError` is not. No message contains the
connection string or the password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from sqlglot import exp

from traveltide_assets.connections.config import Config
from traveltide_assets.connections.locations import PostgresLocation
from traveltide_assets.schema.errors import TravelTideError

# Settings of every session, whatever the defaults of the server and the role. Parallel workers are
# off: a server that shuts down ends those first, with an error that looks like a refusal.
_SESSION = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "extra_float_digits": "1",
    "max_parallel_workers_per_gather": "0",
}
# Detects a dead network within two minutes instead of two hours.
_LIBPQ = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
# On a server in another language none of these match, which costs a few attempts before the error.
_REFUSALS = ("authentication failed", "does not exist", "pg_hba.conf", "password supplied", " URI")
# A domain counts as the type that it restricts, and an enumeration as text.
_COLUMNS = """
    WITH RECURSIVE resolved AS (
        SELECT attnum, attname, atttypid AS type
        FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT attnum, attname, typbasetype
        FROM resolved JOIN pg_type ON pg_type.oid = type
        WHERE typtype = 'd'
    )
    SELECT attname::text, CASE typtype WHEN 'e' THEN 'text' ELSE typname::text END
    FROM resolved JOIN pg_type ON pg_type.oid = type
    WHERE typtype <> 'd'
    ORDER BY attnum
"""


class PostgresError(TravelTideError):
    """The database refused a request. The message names the database and the reason."""


class ConnectionLost(PostgresError):
    """The database is unreachable or the connection broke. A later attempt may succeed."""

    permanent = False


class Session:
    """One connection. Outside `transaction`, each statement is its own transaction."""

    def __init__(self, connection: adbc.Connection, location: PostgresLocation) -> None:
        self._connection = connection
        self.location = location

    def rows(self, statement: str | exp.Expression, *values: object) -> list[tuple[object, ...]]:
        """The rows that a statement returns. `values` are bound to $1, $2, …"""
        with self._reporting(), self._connection.cursor() as cursor:
            cursor.execute(_sql(statement), values or None)
            return cursor.fetchall()

    def run(self, statement: str | exp.Expression, *values: object) -> None:
        """Execute a statement that returns nothing."""
        with self._reporting(), self._connection.cursor() as cursor:
            cursor.execute(_sql(statement), values or None)

    @contextmanager
    def stream(self, statement: exp.Expression) -> Iterator[tuple[pa.Schema, Iterator[pa.Table]]]:
        """Schema and batches of a query of any size. Batches already read are not kept.

        The driver fetches the whole result of a statement with bound values, so pass values by
        `set` and `setting`.
        """
        with self._connection.cursor() as cursor:
            with self._reporting():
                cursor.execute(_sql(statement))
                reader = cursor.fetch_record_batch()
            with closing(reader):
                yield reader.schema, self._batches(reader)

    def columns(self, table: str) -> dict[str, str]:
        """The type of each column of a table, in table order. Empty if there is no such table."""
        # `to_regclass` parses its argument as an identifier, so it is quoted like any other.
        identifier = exp.to_identifier(table, quoted=True).sql("postgres")
        return {str(name): str(kind) for name, kind in self.rows(_COLUMNS, identifier)}

    def append(self, table: str, content: pa.Table) -> None:
        """Append rows to a table with the same columns."""
        with self._reporting(), self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, content, mode="append")

    @contextmanager
    def transaction(self, mode: str = "") -> Iterator[None]:
        """A transaction: all statements inside take effect or none, even if the process dies."""
        self.run(f"BEGIN {mode}")
        try:
            yield
        except BaseException:
            if not self._is_lost():
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def set(self, name: str, value: object) -> None:
        """Set a session parameter. `setting` reads it in a statement."""
        self.rows("SELECT set_config($1, $2, false)", name, str(value))

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            with self._reporting():
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield batch

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        # In mid-stream the error comes from Arrow, which presents each SQLSTATE in its own way.
        except (adbc.Error, pa.ArrowException, OSError) as error:
            kind = ConnectionLost if self._is_lost() else PostgresError
            raise kind(_message(self.location, error)) from None

    def _is_lost(self) -> bool:
        """Ask the server, because the error does not say. Any answer means it is still there."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except adbc.Error as error:
            return not error.sqlstate
        return False


@contextmanager
def connect(location: PostgresLocation, config: Config) -> Iterator[Session]:
    """A session whose statements time out."""
    options = {"connect_timeout": config.connect_timeout_seconds} | _LIBPQ
    missing = [f"{name}={value}" for name, value in options.items() if name not in location.url]
    joint = "&" if "?" in location.url else "?"
    try:
        connection = adbc.connect(f"{location.url}{joint}{'&'.join(missing)}", autocommit=True)
    except adbc.Error as error:
        message = _message(location, error)
        refused = any(word in message for word in _REFUSALS)
        raise (PostgresError if refused else ConnectionLost)(message) from None
    with closing(connection):
        session = Session(connection, location)
        timeout = f"{config.statement_timeout_seconds}s"
        for name, value in {**_SESSION, "statement_timeout": timeout}.items():
            session.set(name, value)
        yield session


def setting(name: str) -> exp.Expression:
    """An expression for the value of a session parameter, read once per statement."""
    value = exp.func("current_setting", exp.Literal.string(name))
    return exp.select(value).subquery()


def _sql(statement: str | exp.Expression) -> str:
    return statement if isinstance(statement, str) else statement.sql("postgres")


def _message(location: PostgresLocation, error: Exception) -> str:
    text = str(error).partition("Query was:")[0].partition(". SQLSTATE")[0]
    reason = " ".join(text.split()) or "the connection is gone"
    if "statement timeout" in reason:
        reason += " (set by postgres.statement_timeout_seconds)"
    if "row-level security" in reason:
        reason += (
            ". A policy would hide rows, and a part of the rows is not the data: let the role "
            "bypass policies (ALTER ROLE … BYPASSRLS), or provide a view of all rows"
        )
    return f"{location}: {location.conceal(reason)}"

"""The four raw tables in a PostgreSQL database, typed as an application would type them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from traveltide_assets.schema.sources import KEYS, SOURCES

_TYPES = {
    "int64": "integer",
    "float64": "double precision",
    "string": "text",
    "boolean": "boolean",
    "date": "date",
    "timestamp(6)": "timestamp",
}
_MONEY = ("flight_discount_amount", "hotel_discount_amount", "base_fare_usd", "hotel_per_room_usd")


@contextmanager
def cursor(url: str) -> Iterator[Any]:
    """A cursor whose statements are committed one by one."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as opened:
            yield opened
    finally:
        connection.close()


def execute(url: str, statement: Any, *values: object) -> list[tuple[Any, ...]]:
    """The rows that a statement returns, if any."""
    with cursor(url) as opened:
        opened.execute(statement, values)
        return opened.fetchall() if opened.description else []


def create_tables(url: str, types: Mapping[str, str] | None = None) -> None:
    """Empty tables, with other types for the columns named."""
    for name, columns in SOURCES.items():
        fields = [
            sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(_type(c.name, c.type, types)))
            for c in columns
        ]
        fields.append(sql.SQL("PRIMARY KEY ({})").format(sql.Identifier(KEYS[name])))
        statement = sql.SQL("CREATE TABLE {} ({})")
        execute(url, statement.format(sql.Identifier(name), sql.SQL(", ").join(fields)))


def _type(name: str, kind: str, types: Mapping[str, str] | None) -> str:
    return (types or {}).get(name) or ("numeric" if name in _MONEY else _TYPES[kind])


def load(url: str, folder: Path) -> None:
    """The CSV files of a folder as tables; an empty field is null, quoted or not."""
    create_tables(url)
    for name in SOURCES:
        with cursor(url) as opened, (folder / f"{name}.csv").open(encoding="utf-8") as file:
            header = file.readline().strip().replace('"', "").split(",")
            theirs = [_ALIASES.get(column, column) for column in header]
            columns = sql.SQL(", ").join(map(sql.Identifier, theirs))
            copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, FORCE_NULL ({}))")
            opened.copy_expert(copy.format(sql.Identifier(name), columns, columns), file)


_ALIASES = {alias: c.name for columns in SOURCES.values() for c in columns for alias in c.aliases}


def generate_sessions(url: str, rows: int) -> None:
    """Plausible sessions of 2022-08 to 2023-07, made by the server."""
    execute(
        url,
        """
        INSERT INTO sessions
        SELECT
            (n / 5) || '-' || md5(n::text), n / 5,
            CASE WHEN n %% 2 = 0 THEN (n / 5) || '-' || md5((-n)::text) END,
            time, time + (n %% 900) * interval '1 second',
            n %% 7 = 0, n %% 11 = 0,
            CASE WHEN n %% 7 = 0 THEN (n %% 8) * 0.05 END, NULL,
            n %% 2 = 0, n %% 3 = 0, n %% 60, false
        FROM generate_series(1, %s) AS n,
            LATERAL (SELECT '2022-08-01'::timestamp + (n %% 525600) * interval '1 minute' AS time)
        """,
        rows,
    )
    execute(url, "ANALYZE sessions")

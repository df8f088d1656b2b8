"""Extraction of sessions from PostgreSQL, compared with a plain COPY of the same table.

Each way has its own process: the source stages all sessions as Parquet in a snapshot (the other
tables are empty), COPY writes them to a CSV file. Memory is the peak of that process, without the
server. The server is the one of the tests.

    python -m benchmarks.postgres_extraction --rows 2000000
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

import psycopg2

from traveltide_assets.connections.locations import PostgresLocation
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.resources import open_source
from traveltide_assets.settings import Settings, load_settings
from traveltide_assets.sources.base import Run
from traveltide_assets_tests.support.database import create_tables, execute, generate_sessions
from traveltide_assets_tests.support.postgres_server import PostgresServer

MONTHS = ("2022-08", "2023-07")


def with_source(settings: Settings) -> None:
    """Extract all sessions as staged Parquet."""
    source = open_source(settings, DuckDB(settings.home / "scratch"), Run("benchmark", MONTHS))
    source.table("sessions")


def with_copy(settings: Settings) -> None:
    """Copy all sessions to CSV."""
    connection = psycopg2.connect(cast(PostgresLocation, settings.source).url)
    settings.home.mkdir(parents=True)
    with connection.cursor() as cursor, (settings.home / "sessions.csv").open("wb") as file:
        cursor.copy_expert("COPY sessions TO STDOUT (FORMAT csv)", file)
    connection.close()


def measure(way: str) -> None:
    """Run one way in this process. Print seconds and its peak memory in MB, before and in total."""
    settings = load_settings()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    {"source": with_source, "copy": with_copy}[way](settings)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(seconds, peak / 1024, before / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--way", choices=["source", "copy"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.way:
        measure(chosen.way)
        return
    server = PostgresServer()
    try:
        server.start()
        compare(server, chosen.rows, chosen.repetitions)
    finally:
        server.remove()


def compare(server: PostgresServer, rows: int, repetitions: int) -> None:
    """Run both ways alternately. Print a line per way and repetition, and the ratio of medians."""
    url = server.create_database()
    create_tables(url)
    generate_sessions(url, rows)
    size = execute(url, "SELECT pg_table_size('sessions') / 1e6")[0][0]
    print(f"{rows:,} sessions, {size:,.0f} MB on the server")
    seconds: dict[str, list[float]] = {"source": [], "copy": []}
    for _ in range(repetitions):
        for way, taken in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                said = subprocess.run(
                    [sys.executable, __file__, "--way", way],
                    env={
                        "PYTHONPATH": ":".join(sys.path),
                        "TRAVELTIDE_SOURCE": url,
                        "TRAVELTIDE_HOME": str(Path(folder) / "home"),
                    },
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout.split()
            duration, peak, before = map(float, said)
            taken.append(duration)
            print(
                f"{way:7} {duration:6.1f} s {rows / duration:10,.0f} rows/s  "
                f"peak {peak:5.0f} MB, of which {before:4.0f} MB before the first row",
                flush=True,
            )
    medians = {way: sorted(taken)[len(taken) // 2] for way, taken in seconds.items()}
    print(f"the source takes {medians['source'] / medians['copy']:.2f} times as long as COPY")


if __name__ == "__main__":
    main()

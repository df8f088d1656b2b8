"""Ways from the raw tables to a result. `benchmarks.scale` runs each in its own process.

`python -m benchmarks.ways WAY SOURCE WORK` writes its results to WORK, and prints the seconds of
its stages as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Each way imports only what it needs, because its whole process is measured.
if TYPE_CHECKING:
    import dagster as dg
    import ibis

    from benchmarks.pandas_peer import Tables
    from traveltide_assets.settings import Settings

MONTH = "2023-07"
BEFORE = "2023-06"
Stages = dict[str, float]

_PER_USER = """
    user_id, count(*) AS sessions, count(*) FILTER (cancellation) AS cancellations,
    avg(page_clicks) AS clicks, median(page_clicks) AS median_clicks, max(session_start) AS last,
    avg(epoch(session_end) - epoch(session_start)) AS seconds,
    avg(flight_discount::INT) AS flight_discounts, avg(hotel_discount::INT) AS hotel_discounts,
    avg(flight_discount_amount) AS flight_discount, avg(hotel_discount_amount) AS hotel_discount,
    count(base_fare_usd) AS flights, avg(seats) AS seats, sum(checked_bags) AS bags,
    avg(checked_bags) AS mean_bags, sum(base_fare_usd) AS fares, avg(base_fare_usd) AS mean_fare,
    avg(destination_airport_lat) AS latitude, avg(destination_airport_lon) AS longitude,
    avg(epoch(departure_time) - epoch(session_start)) AS lead, count(rooms) AS stays,
    count(DISTINCT hotel_name) AS hotels, sum(nights) AS nights, avg(nights) AS mean_nights,
    avg(rooms) AS rooms, avg(hotel_per_room_usd) AS price,
    sum(hotel_per_room_usd * nights * rooms) AS spend
"""


@contextmanager
def timed(stages: Stages, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    stages[name] = stages.get(name, 0.0) + time.perf_counter() - start


def floor(source: Path, work: Path) -> Stages:
    """The lower bound: DuckDB reads the four files, writes them, and aggregates per user."""
    import duckdb

    stages: Stages = {}
    engine = duckdb.connect(config={"temp_directory": str(work / "scratch")})
    for name in ("users", "sessions", "flights", "hotels"):
        with timed(stages, name):
            rows = engine.read_csv(str(source / f"{name}.csv"))
            rows.write_parquet(str(work / f"{name}.parquet"))
    with timed(stages, "aggregate"):
        sessions, flights, hotels = (
            engine.read_parquet(str(work / f"{name}.parquet"))
            for name in ("sessions", "flights", "hotels")
        )
        trips = sessions.join(flights, "trip_id", how="left").join(hotels, "trip_id", how="left")
        trips.aggregate(_PER_USER, "user_id").write_parquet(str(work / "wide.parquet"))
    return stages


def perks(source: Path, work: Path) -> Stages:
    """The pipeline with the default cohort rule, with all checks of the assets it needs."""
    with _opened(source, work) as run:
        return run.ingest(MONTH) | run.decide(MONTH)


def report(source: Path, work: Path) -> Stages:
    """The whole pipeline: every strategy, evidence, predictor, campaign and report."""
    with _opened(source, work) as run:
        return run.ingest(MONTH) | run.decide(MONTH, everything=True)


def everybody(source: Path, work: Path) -> Stages:
    """`perks` with every user in the cohort, and a memory limit of one gigabyte for the engine."""
    with _opened(source, work, everybody=True) as run:
        return run.ingest(MONTH) | run.decide(MONTH)


def before(source: Path, work: Path) -> Stages:
    """Everything up to the month before, in a lake that `increment` continues with."""
    with _opened(source, work) as run:
        return run.ingest(BEFORE) | run.decide(BEFORE)


def increment(source: Path, work: Path) -> Stages:
    """One more month: its files have landed, it is ingested and decided."""
    with _opened(source, work) as run:
        return run.ingest(MONTH, first=MONTH) | run.decide(MONTH)


def again(source: Path, work: Path) -> Stages:
    """The same month once more, with the same files."""
    with _opened(source, work) as run:
        return run.ingest(MONTH, first=MONTH)


def pure(source: Path, work: Path) -> Stages:
    """The work of `perks` without Dagster: its files, its pictures and its checks."""
    from benchmarks.pure import decided, gold
    from traveltide_assets.catalogue.perks import load_perks
    from traveltide_assets.defs.checks import every_table, ingestion
    from traveltide_assets.defs.checks.check import Check, Context
    from traveltide_assets.lake.parts import Parts
    from traveltide_assets.resources import open_engine, open_lake, open_source
    from traveltide_assets.sources.base import Run

    stages: Stages = {}
    settings = _settings(source, work, everybody=False)
    catalogue = load_perks(settings.perks_file)
    engine = open_engine(settings)
    lake = open_lake(settings, engine)
    every_month = settings.partitions.months()

    def keep(path: str, rows: ibis.Table) -> ibis.Table:
        table = lake.contract(path)
        months = [MONTH] if table.layer == "gold" else every_month
        with timed(stages, path):
            if table.layer == "bronze":
                own = every_month if table.partitioned else []
                for part, file in origin.parts(table.name.removesuffix("_raw"), own).items():
                    lake.take(table, file, part)
            elif table.layer == "gold":
                lake.write(table, rows, MONTH)
            elif table.partitioned:
                lake.write_parts(table, rows, months)
            else:
                Parts(rows, lake.parts(f"bronze/{table.name.partition('_')[0]}_raw")).write(
                    lake, table
                )
        if table.layer == "gold":
            passes(every_table.checks(table), replace(ingested, months=(MONTH,)))
        return lake.table(path, months if table.partitioned else [])

    def passes(checks: Iterable[Check], seen: Context) -> None:
        with timed(stages, "checks"):
            for check in checks:
                outcome = check.outcome(seen)
                if check.blocking and not outcome.passed:
                    raise AssertionError(f"{check.table}: {check.name}: {outcome.facts}")

    with timed(stages, "read"):
        origin = open_source(settings, engine, Run("pure", (every_month[0], every_month[-1])))
        origin.table("users")
    months = tuple(every_month)
    ingested = Context(lake.tables, lake, settings, catalogue, months, months, origin)
    found = gold(origin, settings.cohort, MONTH, every_month, keep)
    for step in ingestion.STEPS:
        if all(lake.months(path) or lake.exists(path) for path in step.tables):
            basic = [every_table.checks(lake.contract(path)) for path in step.tables]
            passes([*chain.from_iterable(basic), *step.checks], ingested)
    with timed(stages, "perks"):
        decided(found.features, settings, catalogue, keep)
    return stages


def pandas(source: Path, work: Path) -> Stages:
    """The same perks of every user in pandas. Nothing else is kept, and nothing is checked."""
    from benchmarks import pandas_peer

    return _in_pandas(source, work, pandas_peer.tables)


def keeping(source: Path, work: Path) -> Stages:
    """The same in pandas, with raw text, typed rows and refused rows kept, and with checks."""
    from benchmarks import pandas_keeping

    return _in_pandas(source, work, lambda folder: pandas_keeping.tables(folder, work / "lake"))


def _in_pandas(source: Path, work: Path, read: Callable[[Path], Tables]) -> Stages:
    from benchmarks import pandas_peer
    from traveltide_assets.catalogue.perks import load_perks, of_program

    stages: Stages = {}
    settings = _settings(source, work, everybody=True)
    with timed(stages, "tables"):
        valid = read(source)
    with timed(stages, "features"):
        known = pandas_peer.customers(valid, settings.cohort, MONTH)
    with timed(stages, "perks"):
        classic = of_program(load_perks(settings.perks_file), "classic")
        made = pandas_peer.assignments(known, settings.kmeans, settings.seed, classic)
    with timed(stages, "write"):
        known.to_parquet(work / "features.parquet")
        made.to_parquet(work / "perks.parquet")
    return stages


def _settings(source: Path, work: Path, everybody: bool) -> Settings:
    from traveltide_assets.settings import Settings
    from traveltide_assets.transforms.config import Config as Cohort

    settings = Settings(source=source, lake=work / "lake", home=work / "home", strategy="kmeans")
    if not everybody:
        return settings
    # Data that does not fit is spilled to disk, as on a machine without memory to spare.
    rule = Cohort(min_sessions=1, active_since=None)
    return settings.model_copy(update={"cohort": rule, "memory": "1GB"})


@dataclass(frozen=True)
class _Pipeline:
    """The definitions of the project, with its jobs executed as by `traveltide run`."""

    settings: Settings
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def ingest(self, last: str, first: str | None = None) -> Stages:
        """Ingest bronze and silver of the months."""
        from traveltide_assets.defs import tags as dagster_tags

        months = {
            dagster_tags.RANGE_START: first or self.settings.partitions.first,
            dagster_tags.RANGE_END: last,
        }
        return self._execute("ingest", tags=months)

    def decide(self, month: str, everything: bool = False) -> Stages:
        """Compute gold: everything, or only the perks and their upstream assets."""
        wanted = None if everything else self._needed()
        return self._execute("assign_perks", partition_key=month, asset_selection=wanted)

    def _needed(self) -> list[dg.AssetKey]:
        """The assets needed for the perks, without the strategies that do not decide."""
        import dagster as dg

        decides = dg.AssetSelection.assets(f"gold/segments/{self.settings.strategy}").upstream()
        wanted = decides | dg.AssetSelection.assets(
            "gold/decided_segments", "gold/perk_assignments"
        )
        gold = wanted & dg.AssetSelection.key_prefixes("gold")
        return sorted(
            gold.required_multi_asset_neighbors().resolve(self.definitions.resolve_asset_graph())
        )

    def _execute(self, job: str, **options: Any) -> Stages:
        from traveltide_assets.defs.run import QUIET

        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_config=QUIET,
            **options,
        )
        return {
            str(event.step_key): event.step_success_data.duration_ms / 1000
            for event in result.all_events
            if event.is_step_success
        }


@contextmanager
def _opened(source: Path, work: Path, everybody: bool = False) -> Iterator[_Pipeline]:
    from traveltide_assets.definitions import build_definitions
    from traveltide_assets.defs.instance.home import open_instance

    settings = _settings(source, work, everybody)
    with open_instance(settings) as dagster:
        yield _Pipeline(settings, build_definitions(settings), dagster)


def main() -> None:
    way, source, work = sys.argv[1:]
    pipeline = (perks, report, everybody, before, increment, again)
    ways: dict[str, Callable[[Path, Path], Stages]] = {
        made.__name__: made for made in (floor, pure, *pipeline, pandas, keeping)
    }
    print(json.dumps(ways[way](Path(source), Path(work))))


if __name__ == "__main__":
    main()

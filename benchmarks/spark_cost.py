"""The cost of Spark where one machine would suffice: bronze to features, on DuckDB and on Spark.

    python -m benchmarks.spark_cost --users 20000 100000 --engine sail 'local[2]' spark://host:7077

An engine is `sail`, a master of Spark, or a server of Spark Connect at `sc://host:port`.

Measures whole processes, with the checks and the start of Python and of the Spark session.
`features again` is the same job a second time in the same process, without any start-up. The CPU
and memory shown do not include the executors of a cluster; the second line shows what their tasks
report. A share of the rows is damaged: duplicates and refused rows cost more than sound ones.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.scale import goal
from traveltide_assets.definitions import build_definitions
from traveltide_assets.defs import tags as dagster_tags
from traveltide_assets.defs.jobs import ASSIGN_PERKS, INGEST
from traveltide_assets.defs.run import QUIET
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.settings import Settings

MONTH = "2023-07"
GOLD = ("users_final", "sessions_final", "flights_final", "hotels_final", "trips_final")
DUCKDB, SAIL = "duckdb", "sail"
_MB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[20_000])
    parser.add_argument("--engine", nargs="+", default=[SAIL, "local[2]"])
    parser.add_argument("--dirt", type=float, default=0.05, help="share of damaged rows")
    parser.add_argument("--run", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.run:
        run(chosen.run[0], Path(chosen.run[1]))
        return
    costs: dict[str, dict[int, float]] = {engine: {} for engine in (DUCKDB, *chosen.engine)}
    for users in chosen.users:
        with tempfile.TemporaryDirectory() as name:
            write_sample(Path(name) / "source", SampleSpec(users=users, dirt=chosen.dirt))
            print(
                f"{users:,} users, dirt {chosen.dirt:g}, load {os.getloadavg()[0]:.1f}", flush=True
            )
            for engine, cost in costs.items():
                cost[users] = measure(engine, Path(name))
    for engine in chosen.engine:
        goals(engine, costs[engine], costs[DUCKDB])


def goals(engine: str, cost: Mapping[int, float], duckdb: Mapping[int, float]) -> None:
    """Print the goals of an engine, in CPU seconds by number of users. They hold on one machine."""
    few, many = min(cost), max(cost)
    if engine == SAIL:
        goal(f"sail_per_duckdb_at_{many}", cost[many] / duckdb[many], "<=", 2)
        return
    goal(f"spark_per_duckdb_at_{many}", cost[many] / duckdb[many], "<=", 6)
    if many > few:
        further = (cost[many] - cost[few]) / (many - few)
        goal("spark_ms_per_further_user", 1000 * further, "<=", 0.4)


def measure(engine: str, folder: Path) -> float:
    """Measure an engine from start to end, in its own process. Returns its CPU seconds."""
    log = folder / "events"
    log.mkdir(exist_ok=True)
    conf = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": log.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }
    arguments = shlex.join(word for item in conf.items() for word in ("--conf", "=".join(item)))
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.spark_cost", "--run", engine, folder],
        env=os.environ | {"PYSPARK_SUBMIT_ARGS": f"{arguments} pyspark-shell"},
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{engine} failed")
    cpu = used.ru_utime + used.ru_stime
    print(
        f"{engine}: {time.monotonic() - start:.1f} s, {cpu:.1f} CPU s, "
        f"largest process {used.ru_maxrss / 1024:.0f} MB",
        flush=True,
    )
    for events in log.iterdir():
        print(f"  {tasks(events)}", flush=True)
        events.unlink()
    return cpu


def run(engine: str, folder: Path) -> None:
    """Run the jobs on an engine, and print the seconds that each took."""
    place = folder / re.sub(r"\W+", "-", engine)
    settings = Settings(
        source=folder / "source",
        home=place / "home",
        lake=place / "lake",
        **engine_settings(engine),
    )
    definitions = build_definitions(settings)
    months = settings.partitions.months()
    tags = {
        dagster_tags.RANGE_START: months[0],
        dagster_tags.RANGE_END: months[-1],
    }
    ingest = timed(definitions, INGEST, tags=tags)
    wanted = [dg.AssetKey(["gold", asset]) for asset in (*GOLD, "user_features")]
    features, again = (
        timed(definitions, ASSIGN_PERKS, partition_key=MONTH, asset_selection=wanted)
        for _ in range(2)
    )
    print(f"  ingest {ingest:.1f} s, features {features:.1f} s, features again {again:.1f} s")
    if settings.engine == "spark" and settings.spark.remote is None:
        stop()


def engine_settings(engine: str) -> dict[str, Any]:
    """The settings of an engine by its name, its master or its server."""
    if engine in (DUCKDB, SAIL):
        return {"engine": engine}
    place = {"remote": engine} if engine.startswith("sc://") else {"master": engine}
    return {"engine": "spark", "spark": place}


def timed(definitions: dg.Definitions, job: str, **options: Any) -> float:
    """The seconds that a job takes."""
    started = time.monotonic()
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance, run_config=QUIET, **options
        )
    if not result.success:
        raise SystemExit(f"{job} failed")
    return time.monotonic() - started


def stop() -> None:
    """End the session and wait for its process, since only then its CPU time counts as ours."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    SparkSession.builder.getOrCreate().stop()
    gateway: Any = SparkContext._gateway
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def tasks(events: Path) -> str:
    """A summary of the metrics of Spark's tasks, from its event log."""
    with events.open() as lines:
        ended = [event for event in map(json.loads, lines) if "Task Metrics" in event]
    metrics = [task["Task Metrics"] for task in ended]
    shuffled = sum(m["Shuffle Write Metrics"]["Shuffle Bytes Written"] for m in metrics)
    spilled = sum(m["Disk Bytes Spilled"] for m in metrics)
    peak = max(m["Peak Execution Memory"] for m in metrics)
    seconds = sum(m["Executor CPU Time"] for m in metrics) / 1e9
    returned = sum(m["Result Size"] for m in metrics)
    return (
        f"{len(ended):,} tasks, {seconds:.1f} CPU s in Java, shuffled {shuffled / _MB:.0f} MB, "
        f"spilled {spilled / _MB:.0f} MB, returned {returned / _MB:.0f} MB to the driver, "
        f"most memory of a task {peak / _MB:.0f} MB"
    )


if __name__ == "__main__":
    main()

"""What Spark costs where one machine would do: bronze to features, on DuckDB and on Spark.

    python -m benchmarks.spark_cost --users 20000 --master 'local[2]' --master spark://host:7077

Whole jobs with their checks; the first job of Spark includes the start of its session. All masters
share this process, so name one at a time to compare their starts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from traveltide_assets.automation import ASSIGN_PERKS, INGEST
from traveltide_assets.definitions import build_definitions
from traveltide_assets.partitions import months_within
from traveltide_assets.pipeline import QUIET
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.settings import Settings, Spark

MONTH = "2023-07"
GOLD = ("users_final", "sessions_final", "flights_final", "hotels_final", "trips_final")


def timed(definitions: dg.Definitions, job: str, **options: Any) -> float:
    """Seconds that a job takes."""
    started = time.monotonic()
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance, run_config=QUIET, **options
        )
    if not result.success:
        raise SystemExit(f"{job} failed")
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--master", action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample(folder / "source", SampleSpec(users=arguments.users, active_share=0.3))
        source = folder / "source"
        tried = {
            "duckdb": Settings(source=source, home=folder / "home", lake=folder / "lake"),
        } | {
            master: Settings(
                source=source,
                home=folder / f"home-{i}",
                lake=folder / f"lake-{i}",
                engine="spark",
                spark=Spark(master=master),
            )
            for i, master in enumerate(arguments.master)
        }
        for engine, settings in tried.items():
            definitions = build_definitions(settings)
            months = months_within(settings.partitions)
            tags = {
                ASSET_PARTITION_RANGE_START_TAG: months[0],
                ASSET_PARTITION_RANGE_END_TAG: months[-1],
            }
            ingest = timed(definitions, INGEST, tags=tags)
            wanted = [dg.AssetKey(["gold", asset]) for asset in (*GOLD, "user_features")]
            features = [
                timed(definitions, ASSIGN_PERKS, partition_key=MONTH, asset_selection=wanted)
                for _ in range(2)
            ]
            print(
                f"{engine}: ingest {ingest:.1f} s, features {features[0]:.1f} s, "
                f"again {features[1]:.1f} s; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

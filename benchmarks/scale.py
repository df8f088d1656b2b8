"""Speed and memory of the pipeline, compared with a lower bound, without Dagster, and pandas.

The source is generated once. Every way from it to a result (`benchmarks.ways`) is its own process.
Its time includes the start of the process, and its memory is the peak.

    python -m benchmarks.scale --users 1020926
    python -m benchmarks.scale --growth 100000 1000000 10000000

`--real FOLDER` also runs a source of your own, such as the real cohort.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pandas as pd

from benchmarks.ways import MONTH
from traveltide_assets.engines.checksum import digest_of
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.transforms.features.catalogue import OWN

USERS = 1_020_926
TOLERANCE = 1e-9
_SHOWN = 8
_MB = 1024
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Measured:
    """A finished process: wall and CPU seconds, peak memory in MB, seconds by stage."""

    wall: float
    cpu: float
    peak: float
    stages: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--growth", type=int, nargs="+", metavar="USERS", help="time and memory")
    parser.add_argument("--folder", type=Path, default=Path(".traveltide/bench"))
    parser.add_argument("--real", type=Path, help="folder of a source to run as well")
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    if chosen.growth:
        grow(folder, chosen.growth)
    else:
        compare(folder, chosen.users, chosen.real)


def compare(folder: Path, users: int, real: Path | None = None) -> None:
    """Run every way once, compare their results, and print a line per goal."""
    source = apart(sample, folder, users)
    split = apart(in_two, folder, source)
    ways = {
        way: measure(folder, way, source)
        for way in ("floor", "pure", "perks", "everybody", "pandas", "keeping", "report")
    }
    measure(folder, "before", land(folder, split, "before"))
    landing = land(folder, split, MONTH)
    ways["increment"] = measure(folder, "increment", landing, goes_on="before")
    print(f"\nsame features with and without Dagster: {same_bytes(folder, 'perks', 'pure')}")
    print(f"same features in one go and month by month: {same_bytes(folder, 'perks', 'increment')}")
    for peer in ("pandas", "keeping"):
        print(f"{peer}: {apart(same_result, folder / 'everybody', folder / peer)}")
    earlier = written(folder / "increment")
    ways["again"] = measure(folder, "again", landing, goes_on="increment")
    ways |= commands(folder, real)
    print(f"\n{'way':12}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'x floor':>9}")
    for name, way in ways.items():
        times = way.wall / ways["floor"].wall
        print(f"{name:12}{way.wall:9.1f}{way.cpu:9.1f}{way.peak:9.0f}{times:9.2f}")
    print()
    goals(ways, len(earlier.items() - written(folder / "again").items()))


def commands(folder: Path, real: Path | None) -> dict[str, Measured]:
    """What a person waits for: a run of the sample, and of a source of theirs; what reads it."""
    demo, own = folder / "sample", folder / "own"
    for place in (demo, own):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    measured = {"sample": command(demo, "run")}
    if real is not None:
        measured["real"] = command(own, "run", TRAVELTIDE_SOURCE=str(real.resolve()))
    given = next(demo.glob("lake-sample/gold/perk_assignments/*/*.parquet"))
    customer = pd.read_parquet(given, columns=["user_id"])["user_id"].iloc[0]
    measured["show"] = command(demo, "show")
    measured["explain"] = command(demo, "explain", str(customer))
    measured["help"] = command(demo, "--help")
    return measured


def goals(ways: dict[str, Measured], rewritten: int) -> None:
    """Print a line per goal. `rewritten` is the number of tables read again without need."""
    everybody = ways["everybody"]
    ratio("perks_per_floor", ways["perks"], ways["floor"], "<=", 2.5)
    ratio("pandas_per_everybody", ways["pandas"], everybody, ">=", 1)
    ratio("pandas_that_keeps_per_everybody", ways["keeping"], everybody, ">=", 3)
    goal("memory_of_everybody_per_pandas", everybody.peak / ways["pandas"].peak, "<=", 0.5)
    ratio("increment_per_perks", ways["increment"], ways["perks"], "<=", 0.15)
    goal("unchanged_tables_read_again", rewritten, "<=", 0)
    goal("dagster_share", 1 - ways["pure"].wall / ways["perks"].wall, "<=", 0.15)
    limits = {"sample": 20, "real": 30, "show": 1, "explain": 1, "help": 0.3}
    for name, limit in limits.items():
        if name in ways:
            seconds = ways[name]
            goal(f"{name}_seconds", seconds.wall, "<=", limit, f"(CPU {seconds.cpu:.3g})")


def grow(folder: Path, sizes: list[int]) -> None:
    """Run the pipeline up to the perks at several sizes."""
    found = {users: measure(folder, "perks", apart(sample, folder, users)) for users in sizes}
    print(f"\n{'users':>11}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'x before':>9}")
    last = None
    for users, way in found.items():
        ratio = f"{way.wall / last:9.2f}" if last else ""
        print(f"{users:11,}{way.wall:9.1f}{way.cpu:9.1f}{way.peak:9.0f}{ratio}")
        last = way.wall
    one, ten = (found.get(millions * 1_000_000) for millions in (1, 10))
    if one and ten:
        print()
        goal("growth_1_to_10_million", ten.wall / one.wall, "<=", 11)
        goal("peak_GB_at_10_million", ten.peak / _MB, "<", 8)


def ratio(name: str, one: Measured, other: Measured, sign: str, limit: float) -> None:
    """A goal in wall time, with the same ratio in CPU time beside it."""
    goal(name, one.wall / other.wall, sign, limit, f"(CPU {one.cpu / other.cpu:.3g})")


def goal(name: str, measured: float, sign: str, limit: float, beside: str = "") -> None:
    """Print a goal: the figure, what it should be, and whether it is."""
    reached = {"<=": measured <= limit, "<": measured < limit, ">=": measured >= limit}[sign]
    said = "ok" if reached else "missed"
    print(f"goal {name:32} {measured:8.3g} {sign} {limit:g} {said} {beside}".rstrip())


def apart(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Call a function in its own process: a child starts with the peak memory of this one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def sample(folder: Path, users: int) -> Path:
    """The generated source with this number of users, kept for the next time."""
    source = folder / f"source-{users}"
    if not source.exists():
        start = time.perf_counter()
        write_sample(source, SampleSpec(users=users))
        print(f"generated {users:,} users in {time.perf_counter() - start:.0f} s", flush=True)
    return source


def measure(folder: Path, way: str, source: Path, goes_on: str | None = None) -> Measured:
    """Run a way in an empty folder, or in the folder that the way `goes_on` has left."""
    work = folder / way
    shutil.rmtree(work, ignore_errors=True)
    if goes_on:
        (folder / goes_on).rename(work)
    work.mkdir(parents=True, exist_ok=True)
    arguments = ("benchmarks.ways", way, str(source), str(work))
    return executed(way, work, arguments, staged=True)


def command(work: Path, *arguments: str, **settings: str) -> Measured:
    """Run the command `traveltide` in a folder."""
    return executed(arguments[0], work, ("traveltide_assets", *arguments), settings)


def executed(
    name: str,
    work: Path,
    arguments: Sequence[str],
    settings: Mapping[str, str] | None = None,
    staged: bool = False,
) -> Measured:
    """Run a module in a folder. If it is `staged`, its last line is the seconds of its stages."""
    # Ignores the caller's settings in the environment and in files.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAVELTIDE_")}
    places = {"PYTHONPATH": str(Path(__file__).parents[1]), "DAGSTER_HOME": str(work / "dagster")}
    out = work / "output.txt"
    start = time.perf_counter()
    with out.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=work,
            env={**kept, **(settings or {}), **places},
            stdout=file,
        )
        _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{name} failed: {out.read_text()}")
    stages = json.loads(out.read_text().splitlines()[-1]) if staged else {}
    measured = Measured(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / _MB, stages)
    show(name, measured)
    return measured


def written(work: Path) -> dict[str, int]:
    """When each file of a table by file was written, in nanoseconds."""
    lake = work / "lake"
    return {
        str(file.relative_to(lake)): file.stat().st_mtime_ns
        for file in lake.glob("*/*/file=*/*.parquet")
    }


def show(way: str, measured: Measured) -> None:
    """Print a line, and the slowest stages if there are any."""
    print(
        f"\n{way}: {measured.wall:.1f} s, {measured.cpu:.1f} CPU s, peak {measured.peak:.0f} MB",
        flush=True,
    )
    stages = sorted(measured.stages.items(), key=lambda stage: -stage[1])
    if stages:
        checks = sum(seconds for name, seconds in stages if name.endswith("checks"))
        rest = measured.wall - sum(measured.stages.values())
        shown = [*stages[:_SHOWN], ("all checks", checks), ("start and between", rest)]
        print(f"  {', '.join(f'{name} {seconds:.1f}' for name, seconds in shown)}", flush=True)


def in_two(folder: Path, source: Path) -> Path:
    """Split the source into files up to a month, and files with the rows that are new in it."""
    split = folder / f"{source.name}-in-two"
    if split.exists():
        return split
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    engine = duckdb.connect()
    read = {
        name: engine.read_csv(str(source / f"{name}.csv"), all_varchar=True)
        for name in ("users", "sessions", "flights", "hotels")
    }
    first_day = duckdb.ConstantExpression(f"{MONTH}-01")
    start = duckdb.ColumnExpression("session_start")
    earlier = read["sessions"].filter(start < first_day).select("trip_id").distinct()
    signed_up = duckdb.ColumnExpression("sign_up_date")
    parts = {
        "before": {
            "users": read["users"].filter(signed_up < first_day),
            "sessions": read["sessions"].filter(start < first_day),
            **{n: read[n].join(earlier, "trip_id", how="semi") for n in ("flights", "hotels")},
        },
        MONTH: {
            "users": read["users"].filter(signed_up >= first_day),
            "sessions": read["sessions"].filter(start >= first_day),
            **{n: read[n].join(earlier, "trip_id", how="anti") for n in ("flights", "hotels")},
        },
    }
    for part, tables in parts.items():
        (partial / part).mkdir()
        for name, rows in tables.items():
            rows.write_csv(str(partial / part / f"{name}-{part}.csv"), quoting="all")
    partial.rename(split)
    return split


def land(folder: Path, split: Path, part: str) -> Path:
    """Land the files up to the month, or those of the month beside them."""
    landing = folder / "landing"
    if part != MONTH:
        shutil.rmtree(landing, ignore_errors=True)
    landing.mkdir(exist_ok=True)
    for file in (split / part).iterdir():
        (landing / file.name).symlink_to(file)
    return landing


def same_bytes(folder: Path, one: str, other: str) -> str:
    """Whether two ways have written the same features."""
    digests = {
        digest_of(file)
        for way in (one, other)
        for file in (folder / way / "lake/gold/user_features" / f"month={MONTH}").iterdir()
    }
    return "yes, byte by byte" if len(digests) == 1 else "NO"


def same_result(ours: Path, peer: Path) -> str:
    """Whether the pipeline and the peer give the same features and perks for the same customers."""
    gold = ours / "lake/gold"
    features = pd.read_parquet(gold / f"user_features/month={MONTH}/user_features.parquet")
    given = pd.read_parquet(gold / f"perk_assignments/month={MONTH}/perk_assignments.parquet")
    differing = differences(features, pd.read_parquet(peer / "features.parquet"))
    both = given[["user_id", "perk"]].merge(pd.read_parquet(peer / "perks.parquet"), on="user_id")
    equal = (both["perk_x"] == both["perk_y"]).sum() / len(given)
    return (
        f"{len(features):,} customers; features that differ from the peer's by more than "
        f"{TOLERANCE:g}: {', '.join(differing) or 'none'}; same perk: {equal:.2%}"
    )


def differences(ours: pd.DataFrame, peers: pd.DataFrame) -> list[str]:
    """The features that differ between two tables; `user_id` if the customers differ.

    The peer knows the features of models alone, not those of published works.
    """
    if list(ours["user_id"]) != list(peers["user_id"]):
        return ["user_id"]
    differing = []
    for name in (feature.name for feature in OWN if feature.name in ours):
        if pd.api.types.is_numeric_dtype(ours[name]):
            one, other = (table[name].to_numpy(dtype="float64") for table in (ours, peers))
            same = np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        else:
            same = ours[name].equals(peers[name])
        if not same:
            differing.append(name)
    return differing


if __name__ == "__main__":
    main()

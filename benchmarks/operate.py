"""Options of a deployment: S3 or a folder, one run or one per month, one process or several.

Each option is a run in its own process on the same generated source, so that the start of the
process counts, as it does in a deployment. The S3 server is the one of the tests, on this machine:
its work counts in the seconds but not in the CPU seconds. Ratios are given for CPU seconds and for
seconds. On a machine with other load, trust the former.

    python -m benchmarks.operate --users 20000 --megabytes 256
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import add, attrgetter
from pathlib import Path

import psutil

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.defs import tags as dagster_tags
from traveltide_assets.defs.jobs import ASSIGN_PERKS, INGEST
from traveltide_assets.lake.storage.base import Storage
from traveltide_assets.resources import open_storage
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.schema.config import Partitions
from traveltide_assets_tests.support.s3_server import S3Server, running_s3

MONTHS = ("2023-01", "2023-07")
_KEY = "object"
_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Taken:
    """Wall-clock seconds, and CPU seconds of the processes measured."""

    wall: float
    cpu: float

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.wall + other.wall, self.cpu + other.cpu)


def timed(who: int, do: Callable[[], object]) -> Taken:
    """The time that a call takes in this process or in its children."""
    wall, before = time.perf_counter(), resource.getrusage(who)
    do()
    after = resource.getrusage(who)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(time.perf_counter() - wall, cpu)


def adopt_orphans() -> None:
    """Become the parent of orphans (Linux).

    A forkserver outlives its run, and its CPU time only counts for the run if it is our child.
    """
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)


@dataclass(frozen=True)
class Place:
    """An empty lake, and an empty home for everything else that runs write."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, job: str, first: str, last: str, **settings: str) -> Taken:
        """Run a job over a range of months, or for one month."""
        one = {"dagster/partition": first}
        several = {dagster_tags.RANGE_START: first, dagster_tags.RANGE_END: last}
        command = [
            *(sys.executable, "-m", "dagster", "job", "execute"),
            *("-m", "traveltide_assets.definitions", "-j", job),
            *("--tags", json.dumps(one if first == last else several)),
        ]

        def do() -> None:
            before = set(psutil.Process().children())
            done = subprocess.run(
                command, env={**self.environment, **settings}, capture_output=True, text=True
            )
            if done.returncode != 0:
                raise RuntimeError(done.stderr[-3000:])
            for orphan in set(psutil.Process().children()) - before:
                os.waitpid(orphan.pid, 0)

        return timed(resource.RUSAGE_CHILDREN, do)


@contextmanager
def place(source: str, lake: str | None = None, **more: str) -> Iterator[Place]:
    """A place with its lake in a folder, unless `lake` gives another location."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dagster").mkdir()
        environment = {
            **{n: value for n, value in os.environ.items() if not n.startswith("TRAVELTIDE")},
            "PYTHONPATH": ":".join(sys.path),
            "DAGSTER_HOME": str(folder / "dagster"),
            "TRAVELTIDE_SOURCE": source,
            "TRAVELTIDE_LAKE": lake or str(folder / "lake"),
            "TRAVELTIDE_HOME": str(folder / "home"),
            "TRAVELTIDE_PARTITIONS__FIRST": MONTHS[0],
            "TRAVELTIDE_PARTITIONS__LAST": MONTHS[1],
            **more,
        }
        yield Place(folder, environment)


def compare_storage(s3: S3Server, megabytes: int, repetitions: int) -> None:
    """Compare writing and reading a large file: S3 as the lake uses it, plain boto3, a folder."""
    location, noise = S3Location(s3.bucket(), "lake"), os.urandom(megabytes * 2**20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = folder / "bare"

        def stored(storage: Storage, number: int) -> None:
            with storage.replacing(_KEY, storage.versions().get(_KEY)) as path:
                fill(path, number)

        def fill(path: Path, number: int) -> None:
            path.write_bytes(number.to_bytes(8, "big") + noise)  # Equal content is not sent again.

        def read(storage: Storage) -> None:
            for file in storage.files(storage.versions()):
                file.read_bytes()

        def in_s3(copies: str) -> Storage:
            return open_storage(location, folder / copies, "")

        def upload(number: int) -> None:
            fill(bare, number)
            s3.client.upload_file(str(bare), location.bucket, "bare")

        def download(_: int) -> None:
            s3.client.download_file(location.bucket, "bare", str(bare))
            bare.read_bytes()

        there = open_storage(folder / "lake", folder, "")
        ways: dict[str, tuple[Callable[[int], None], Callable[[int], None]]] = {
            "S3, as the lake uses it": (
                lambda n: stored(in_s3("written"), n),
                lambda n: read(in_s3(f"read-{n}")),
            ),
            "S3, plain boto3": (upload, download),
            "folder": (lambda n: stored(there, n), lambda _: read(there)),
        }
        taken: dict[str, list[tuple[Taken, Taken]]] = {way: [] for way in ways}
        for number in range(repetitions):
            for way, (write, get) in ways.items():
                both = [timed(resource.RUSAGE_SELF, partial(do, number)) for do in (write, get)]
                taken[way].append((both[0], both[1]))
    print(f"a file of {megabytes} MB        MB/s written  read    CPU s written  read")
    for way, runs in taken.items():
        wrote, got = (min((run[i] for run in runs), key=attrgetter("wall")) for i in (0, 1))
        speeds = f"{megabytes / wrote.wall:12.0f} {megabytes / got.wall:5.0f}"
        print(f"{way:24}{speeds} {wrote.cpu:16.2f} {got.cpu:5.2f}", flush=True)


def compare_runs(s3: S3Server, users: int) -> None:
    """Ingest the same months and decide the same month with each option, relative to the first."""
    first, last = MONTHS
    months = Partitions(first=first, last=last).months()
    with tempfile.TemporaryDirectory() as name:
        write_sample(Path(name), SampleSpec(users=users))
        landing = S3Location(s3.bucket(), "landing")
        s3.upload(Path(name), landing)
        print(f"\n{users:,} users, {len(months)} months              s   CPU s   times: s, CPU s")
        with place(name) as here:
            whole = show("ingest, one run, folder", here.run(INGEST, first, last))
            forked = here.run(INGEST, first, last, TRAVELTIDE_EXECUTOR="forkserver")
            show("ingest, forkserver", forked, whole)
            decided = show("a month decided, folder", here.run(ASSIGN_PERKS, last, last))
        lake = f"s3://{landing.bucket}/lake"
        with place(str(landing), lake, **s3.environment) as there:
            show("ingest, S3", there.run(INGEST, first, last), whole)
            show("a month decided, S3", there.run(ASSIGN_PERKS, last, last), decided)
        with place(name) as here:
            apart = reduce(add, (here.run(INGEST, month, month) for month in months))
            show("ingest, a run a month", apart, whole)


def show(what: str, taken: Taken, first: Taken | None = None) -> Taken:
    ratios = f"{taken.wall / first.wall:9.2f} {taken.cpu / first.cpu:6.2f}" if first else ""
    print(f"{what:28}{taken.wall:7.1f} {taken.cpu:7.1f} {ratios}", flush=True)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--repetitions", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_s3(Path(folder)) as s3:
        os.environ.update(s3.environment)
        adopt_orphans()
        compare_storage(s3, chosen.megabytes, chosen.repetitions)
        compare_runs(s3, chosen.users)


if __name__ == "__main__":
    main()

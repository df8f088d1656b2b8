"""One run at a time on a lake, by real processes, in a folder and in S3."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock, Timeout

from traveltide_assets.connections.locations import S3Location
from traveltide_assets.defs import tags
from traveltide_assets.defs.failures import root_cause
from traveltide_assets.lake.lease import KEY, Lease
from traveltide_assets.resources import open_lease
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets_tests.support.lease import (
    COUNT,
    QUICK,
    SPANS,
    WRITTEN,
    count_up,
    opened,
    put,
    write_until_it_cannot,
)
from traveltide_assets_tests.support.processes import ROOT
from traveltide_assets_tests.support.project import Project, failure, instance_in, succeed
from traveltide_assets_tests.support.s3_server import S3Server

MONTH = "2023-07"
# The process of the tests has threads, and what one of them locks stays locked in a fork for good.
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(params=["folder", "s3"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path | S3Location:
    if request.param == "folder":
        return tmp_path / "lake"
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return S3Location(server.bucket(), "some/lake")


@contextmanager
def ended(*processes: BaseProcess) -> Iterator[None]:
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


# Storage


def test_of_many_processes_one_at_a_time_has_the_lake(
    place: Path | S3Location, tmp_path: Path
) -> None:
    names = [str(number) for number in range(4)]
    processes = [
        SPAWN.Process(target=count_up, args=(place, tmp_path / name, name, 3)) for name in names
    ]
    with ended(*processes):
        for process in processes:
            process.join(120)
            assert process.exitcode == 0
    storage = opened(place, tmp_path / "cache")
    found = storage.look(COUNT)
    assert found is not None
    assert found[0].split()[0] == b"12"
    spans = [json.loads((tmp_path / f"{name}{SPANS}").read_text("utf-8")) for name in names]
    held = sorted(span for each in spans for span in each)
    assert len(held) == 12
    assert all(end <= start for (_, end), (start, _) in pairwise(held))
    assert list(storage.versions()) == [COUNT]


def pause_between_writes(pid: int, place: Path | S3Location) -> None:
    """Stop a process, but not while it renames a file: until then nobody else can write."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        if not isinstance(place, Path):
            return
        with suppress(Timeout), FileLock(place / ".lock", timeout=0.2):
            return
        os.kill(pid, signal.SIGCONT)


def test_a_paused_writer_that_wakes_up_after_another_took_over_writes_nothing(
    place: Path | S3Location, tmp_path: Path
) -> None:
    holds, lost = SPAWN.Event(), SPAWN.Event()
    arguments = (place, tmp_path / "one", "one", holds, lost)
    paused = SPAWN.Process(target=write_until_it_cannot, args=arguments)
    storage = opened(place, tmp_path / "cache")
    with ended(paused):
        assert holds.wait(60)
        assert paused.pid is not None
        pause_between_writes(paused.pid, place)
        with Lease(storage, QUICK, "another machine").held("two", "writing", lambda _: None):
            put(storage, WRITTEN, b"two")
            os.kill(paused.pid, signal.SIGCONT)
            assert lost.wait(60)
            paused.join(60)
            found = storage.look(WRITTEN)
            assert found is not None
            assert found[0] == b"two"
            # It must not have let go of a lease that is not its own.
            assert storage.look(KEY) is not None


def test_the_lease_of_a_killed_process_is_free_at_once(
    place: Path | S3Location, tmp_path: Path
) -> None:
    storage = opened(place, tmp_path / "cache")
    machine = Lease(storage, QUICK)._machine
    holds = SPAWN.Event()
    arguments = (place, tmp_path / "one", machine, holds, SPAWN.Event())
    killed = SPAWN.Process(target=write_until_it_cannot, args=arguments)
    with ended(killed):
        assert holds.wait(60)
        lease = Lease(storage, QUICK)
        assert lease.attempt(lease.claim("two", "writing")) is not None
        killed.kill()
        killed.join()
        assert lease.attempt(lease.claim("two", "writing")) is None


# Runs


@pytest.fixture
def project(tmp_path: Path, sample_source: Path) -> Project:
    bounds = {"first": MONTH, "last": MONTH}
    return Project(tmp_path, sample_source, partitions=bounds, lease={"wait_seconds": 0})


def test_a_run_holds_the_lease_from_its_first_step_to_its_last(project: Project) -> None:
    lease = open_lease(project.settings)
    home = project.folder / "dagster"
    home.mkdir()
    owners = []
    with instance_in(home) as instance:

        def listen(entry: dg.EventLogEntry) -> None:
            if entry.dagster_event and entry.dagster_event.is_step_event:
                owners.append(lease.holder and lease.holder.owner)

        run_id = "11111111-2222-3333-4444-555555555555"
        instance.add_event_listener(run_id, listen)
        result = project.definitions.resolve_job_def("ingest").execute_in_process(
            instance=instance,
            run_id=run_id,
            asset_selection=[dg.AssetKey(["bronze", f"{name}_raw"]) for name in SOURCES],
            partition_key=MONTH,
        )
        assert result.success
        stored = instance.get_run_by_id(run_id)
    assert set(owners) == {run_id}
    assert lease.holder is None
    assert stored is not None
    assert stored.tags[tags.LEASE] == run_id


def test_a_run_on_a_lake_in_use_ends_with_who_uses_it_and_writes_nothing(project: Project) -> None:
    with open_lease(project.settings).held("another", "a job", lambda _: None):
        result = project.ingest(MONTH, MONTH)
        assert not result.success
        (event,) = [event for event in result.all_events if event.is_failure]
        assert f"{project.lake} is in use by run another (a job) of process" in root_cause(event)
        assert [path.name for path in project.lake.rglob("*") if path.is_file()] == [KEY]
    succeed(project.ingest(MONTH, MONTH))


def test_a_run_that_loses_the_lease_fails_and_the_next_one_succeeds(project: Project) -> None:
    home = project.folder / "dagster"
    home.mkdir()
    with instance_in(home) as instance:
        run_id = "11111111-2222-3333-4444-555555555555"

        def listen(entry: dg.EventLogEntry) -> None:
            if entry.dagster_event and entry.dagster_event.is_step_success:
                (project.lake / KEY).unlink(missing_ok=True)

        instance.add_event_listener(run_id, listen)
        result = project.definitions.resolve_job_def("ingest").execute_in_process(
            instance=instance, run_id=run_id, partition_key=MONTH, raise_on_error=False
        )
    assert not result.success
    assert "lost" in failure(result) or "was removed" in failure(result)
    succeed(project.ingest(MONTH, MONTH))


def test_first_starts_on_a_fresh_home_at_once_work(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from traveltide_assets.defs.instance.home import open_instance
from traveltide_assets.settings import Settings
with open_instance(Settings(home=Path({str(tmp_path / "home")!r}))) as found:
    print(found.get_runs_count())
"""
    inherited = {name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"}
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**inherited, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for start in starts:
        said, complained = start.communicate(timeout=120)
        assert (start.returncode, said.strip()) == (0, "0"), complained

"""Which runs count as lost; test_deployment.py kills real ones and sees them start again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml

from traveltide_assets.defs import lost_runs
from traveltide_assets.defs.lost_runs import build_lost_runs, fail_lost_runs
from traveltide_assets.lake.lease import lives
from traveltide_assets_tests.support.lost_runs import started, status

HOUR = 3_600


@pytest.fixture
def ended() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def test_a_process_lives_until_it_has_ended(ended: int) -> None:
    assert lives(os.getpid(), time.time())
    assert not lives(ended, time.time())


def test_a_killed_process_that_nobody_has_waited_for_does_not_live() -> None:
    process = subprocess.Popen(["sleep", "60"])
    assert lives(process.pid, time.time())
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not lives(process.pid, time.time())
    process.wait()


def test_a_process_that_began_after_the_run_is_another() -> None:
    process = subprocess.Popen(["sleep", "60"])
    assert not lives(process.pid, time.time() - HOUR)
    process.kill()
    process.wait()


def test_a_run_whose_process_is_gone_fails_and_others_go_on(
    instance: dg.DagsterInstance, ended: int
) -> None:
    lost, alive = started(instance, ended), started(instance, os.getpid())
    assert fail_lost_runs(instance) == [lost.run_id]
    assert status(instance, lost) == dg.DagsterRunStatus.FAILURE
    assert status(instance, alive) == dg.DagsterRunStatus.STARTED
    assert fail_lost_runs(instance) == []


@pytest.mark.parametrize(
    "server",
    [None, {"host": "localhost", "socket": "/tmp/socket"}],  # noqa: S108
    ids=["that no code server started", "of a code server without a port"],
)
def test_a_run_is_left_alone(
    instance: dg.DagsterInstance, server: dict[str, Any] | None, ended: int
) -> None:
    run = started(instance, ended, server)
    assert fail_lost_runs(instance) == []
    assert status(instance, run) == dg.DagsterRunStatus.STARTED


def test_the_sensor_says_which_runs_it_failed(instance: dg.DagsterInstance, ended: int) -> None:
    sensor = build_lost_runs(dg.DefaultSensorStatus.RUNNING)
    lost = started(instance, ended)
    for expected in (f"failed: {lost.run_id}", "no lost runs"):
        said = sensor(dg.build_sensor_context(instance))
        assert isinstance(said, dg.SkipReason)
        assert said.skip_message == expected


# What follows fails when a new Dagster changes what this rests on.


def test_a_run_of_a_real_code_server_still_reports_its_process(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "import dagster as dg\n"
        "@dg.asset\ndef one() -> None: ...\n"
        'defs = dg.Definitions([one], jobs=[dg.define_asset_job("job")])\n'
    )
    at_once = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"run_coordinator": at_once}))
    dagster = Path(sys.executable).parent / "dagster"
    done = subprocess.run(
        [dagster, "job", "launch", "--job", "job", "--python-file", "one.py"],
        cwd=tmp_path,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        (run,) = instance.get_runs()
        deadline = time.monotonic() + 60
        while not run.is_finished and time.monotonic() < deadline:
            time.sleep(0.2)
            (run,) = instance.get_runs()
        assert run.is_success
        server = json.loads(run.tags[lost_runs._SERVER_TAG])
        # This short-lived server has a socket; seen as one with a port, its run is lost.
        instance.add_run_tags(
            run.run_id, {lost_runs._SERVER_TAG: json.dumps({"port": 1, **server})}
        )
        process_id = lost_runs._lost_process(instance, instance.get_runs()[0])
        assert process_id is not None
        told = [
            entry.message
            for entry in instance.all_logs(run.run_id, dg.DagsterEventType.ENGINE_EVENT)
        ]
        assert f"Started process for run (pid: {process_id})." in told

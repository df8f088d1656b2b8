"""Which process a run has, and whether it lives; test_deployment kills some for good."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from traveltide_assets.defs.instance.run_launcher import RunLauncher, lives
from traveltide_assets_tests.ports import free_port

HOUR = 3_600


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


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


@pytest.mark.parametrize(
    "server",
    [{"host": "127.0.0.1", "port": free_port()}, {"host": "elsewhere", "port": 4266}, None],
    ids=["whose server is away", "on another machine", "that no server launched"],
)
def test_a_run_is_left_alone(server: dict[str, Any] | None, ended: int) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        launcher = RunLauncher()
        launcher.register_instance(instance)
        run = instance.create_run_for_job(
            dg.GraphDefinition("nothing").to_job(),
            tags={GRPC_INFO_TAG: json.dumps(server)} if server else {},
        )
        told = f"Started process for run (pid: {ended})."
        instance.report_engine_event(told, run, EngineEventData.in_process(ended))
        assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING

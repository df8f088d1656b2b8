"""Dagster's run launcher, which here also tells whether a run's process still lives.

A code server reports the runs that died under it. One that was killed with them, or a machine that
went down, reports nothing: such a run would count as started, and keep its place in the queue, for
as long as any run may take. Run monitoring asks this launcher instead, fails the run, and Dagster's
retries start it again.
"""

from __future__ import annotations

import json
import re
from typing import Any

import dagster as dg
import psutil
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")
_HERE = ("127.0.0.1", "localhost")
# The start of a process is reckoned from the machine's clock of today, which may have been set.
_CLOCK_SECONDS = 60
_RUNNING = CheckRunHealthResult(WorkerStatus.RUNNING)


class RunLauncher(DefaultRunLauncher):
    """Named in `deploy/dagster.yaml` as `run_launcher`; for a code server on this machine."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a started run's process is there; what was launched elsewhere is left alone."""
        server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        if server.get("host") not in _HERE:
            return _RUNNING
        for entry in self._instance.all_logs(run.run_id, dg.DagsterEventType.ENGINE_EVENT):
            if told := _STARTED.match(entry.message):
                if lives(int(told[1]), entry.timestamp) or not _answers(server):
                    return _RUNNING
                return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"process {told[1]} is gone")
        return _RUNNING


def lives(number: int, told_at: float) -> bool:
    """Whether a process lives; one that began later is another with the same number."""
    try:
        process = psutil.Process(number)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.create_time() <= told_at + _CLOCK_SECONDS
        )
    except psutil.NoSuchProcess:
        return False


def _answers(server: dict[str, Any]) -> bool:
    """Whether the code server is back: a run failed before could not be started again."""
    try:
        DagsterGrpcClient(port=server.get("port"), host=server["host"]).ping("")
    except DagsterUserCodeUnreachableError:
        return False
    return True

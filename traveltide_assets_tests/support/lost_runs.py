"""Runs that a code server has started in a process, which may have ended since."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import GRPC_INFO_TAG

SERVER = {"host": "127.0.0.1", "port": 4266}


def started(
    instance: dg.DagsterInstance, process_id: int | None, server: dict[str, Any] | None = SERVER
) -> dg.DagsterRun:
    """A run that a code server has started in a process."""
    run = instance.create_run_for_job(
        dg.GraphDefinition("nothing").to_job(),
        status=dg.DagsterRunStatus.STARTED,
        tags={GRPC_INFO_TAG: json.dumps(server)} if server else {},
    )
    instance.report_engine_event("Launched.", run)
    if process_id is not None:
        instance.report_engine_event("Started.", run, EngineEventData.in_process(process_id))
    return run


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    current = instance.get_run_by_id(run.run_id)
    assert current is not None
    return current.status

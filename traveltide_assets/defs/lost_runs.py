"""The sensor that detects runs without a process, and fails them so that Dagster retries them.

A code server reports runs that die while it is up. It reports nothing if it was killed together
with its runs, or if its machine or container went down. Dagster's own launcher cannot tell whether
a run is still alive, so run monitoring waits for `max_runtime_seconds`, and the run keeps its place
in the queue for that long.

A sensor is the right place to check, because it is evaluated in the code server:

- It sees the processes of the runs, even if each Dagster process has its own container.
- It only ticks once the code server is back. A run failed before that could not be retried.

The daemon's run monitoring still covers runs that never started or cannot be cancelled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import dagster as dg

from traveltide_assets.lake.lease import lives

# Private names of Dagster. They are copied, not imported, so that a renamed module cannot keep the
# whole code location from loading. test_lost_runs.py fails when Dagster changes one of them.
_SERVER_TAG = ".dagster/grpc_info"  # dagster._core.storage.tags.GRPC_INFO_TAG
_PROCESS = "pid"  # the metadata of dagster._core.events.EngineEventData.in_process

_TICK_SECONDS = 15


def build_lost_runs(status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor, switched on or off."""

    @dg.sensor(
        name="lost_runs",
        default_status=status,
        minimum_interval_seconds=_TICK_SECONDS,
        description="Fails runs that have lost their process, so that Dagster starts them again.",
    )
    def lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        failed = fail_lost_runs(context.instance)
        return dg.SkipReason(f"failed: {', '.join(failed)}" if failed else "no lost runs")

    return lost_runs


def fail_lost_runs(instance: dg.DagsterInstance) -> Sequence[str]:
    """Mark every lost run as failed. Returns their ids."""
    failed = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        process = _lost_process(instance, run)
        # The run may have ended normally since it was listed.
        if process is not None and not _has_ended(instance, run):
            instance.report_run_failed(run, f"The run's process ({process}) is gone.")
            failed.append(run.run_id)
    return failed


def _lost_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The id of a run's process if it is gone; None if it is alive or cannot be checked here."""
    # A code server with a port stays on its machine. Without a port the run belongs to
    # `dagster dev` or `traveltide run`, and its process may be on another machine.
    if "port" not in json.loads(run.tags.get(_SERVER_TAG, "{}")):
        return None
    for entry in instance.all_logs(run.run_id, dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        found = event.engine_event_data.metadata.get(_PROCESS) if event else None
        if found is not None:
            process_id = int(str(found.value))
            return None if lives(process_id, entry.timestamp) else process_id
    return None


def _has_ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    current = instance.get_run_by_id(run.run_id)
    return current is None or current.is_finished

"""Runs the pipeline from outside the UI: the same jobs, in one process, on the same instance."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import dagster as dg

from traveltide_assets.defs import tags
from traveltide_assets.defs.assets.inputs import Inputs
from traveltide_assets.defs.assets.published import PUBLISHED
from traveltide_assets.defs.assets.release import KEY, described
from traveltide_assets.defs.failures import root_cause
from traveltide_assets.defs.jobs import ASSIGN_PERKS, INGEST, RELEASE
from traveltide_assets.defs.staleness import Stale, count_stored, find_stale
from traveltide_assets.lake.ownership import Told
from traveltide_assets.lake.release import Release
from traveltide_assets.resources import open_engine, open_lease, open_source
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import Run

# The caller shows the progress of a run, so Dagster's own log stays quiet.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_log = logging.getLogger(__name__)

OnStep = Callable[[str, int, int], None]
Say = Callable[[str], None]


class PipelineFailed(TravelTideError):
    """A run failed. The message names the step and the reason."""


@dataclass
class Outcome:
    """The results of the checks in the runs."""

    checks: int = 0
    warnings: list[str] = field(default_factory=list)


def run(
    definitions: dg.Definitions,
    settings: Settings,
    month: str,
    dagster: dg.DagsterInstance,
    on_step: OnStep,
    say: Say,
    told: Told | None = None,
) -> Outcome:
    """Ingest every month of the settings, then decide `month`. Raises `PipelineFailed`.

    Another run on the same lake is waited for, and named by `say`; see `Lease.held`. `told` says
    what to do if the lake is another source's.
    """
    months = settings.partitions.months()
    outcome = Outcome()
    owner = str(uuid.uuid4())
    ours = {tags.LEASE: owner}
    every_month = {
        tags.RANGE_START: months[0],
        tags.RANGE_END: months[-1],
        **({tags.LAKE: told.value} if told else {}),
        **ours,
    }
    with open_lease(settings).held(owner, "traveltide run", say):
        _execute(definitions, INGEST, dagster, on_step, outcome, every_month, run_id=owner)
        _execute(definitions, ASSIGN_PERKS, dagster, on_step, outcome, ours, month=month)
    return outcome


def release(
    definitions: dg.Definitions,
    settings: Settings,
    month: str,
    dagster: dg.DagsterInstance,
    on_step: OnStep,
    say: Say,
) -> Outcome:
    """Release a decided month: its campaign and report are made again. Raises `PipelineFailed`.

    Another run is waited for, as in `run`.
    """
    outcome = Outcome()
    owner = str(uuid.uuid4())
    ours = {tags.LEASE: owner}
    with open_lease(settings).held(owner, "traveltide release", say):
        _execute(definitions, RELEASE, dagster, on_step, outcome, ours, month, owner)
    return outcome


def tell_of_release(
    definitions: dg.Definitions, settings: Settings, dagster: dg.DagsterInstance, made: Release
) -> None:
    """Show in the UI that a release was made current by a command, and publish it."""
    dagster.report_runless_asset_event(
        dg.AssetMaterialization(
            KEY,
            partition=made.month,
            metadata=described(made, made.id),
            tags={tags.DATA_VERSION: made.id},
        )
    )
    if settings.publish is not None:
        job = definitions.resolve_job_def(ASSIGN_PERKS)
        result = job.execute_in_process(
            instance=dagster,
            partition_key=made.month,
            asset_selection=[PUBLISHED],
            raise_on_error=False,
            run_config=QUIET,
        )
        if not result.success:
            raise PipelineFailed(_reason(result, Outcome(), []))


def out_of_date(
    definitions: dg.Definitions, settings: Settings, dagster: dg.DagsterInstance
) -> tuple[list[Stale], int]:
    """The stored assets that are out of date, given the files of today, and the number stored."""
    source = open_source(settings, open_engine(settings), Run("status"))
    for error, names in Inputs(settings, source).observe(dagster).items():
        _log.warning("changes of %s cannot be seen: %s", ", ".join(names), error)
    return find_stale(definitions, dagster), count_stored(definitions, dagster)


def _execute(
    definitions: dg.Definitions,
    name: str,
    dagster: dg.DagsterInstance,
    on_step: OnStep,
    outcome: Outcome,
    labels: Mapping[str, str],
    month: str | None = None,
    run_id: str | None = None,
) -> None:
    job = definitions.resolve_job_def(name)
    run_id = run_id or str(uuid.uuid4())
    total, done = len(job.nodes), 0

    def listen(entry: dg.EventLogEntry) -> None:
        nonlocal done
        if interrupted():
            raise KeyboardInterrupt
        event = entry.dagster_event
        if event is not None and event.is_step_success:
            done += 1
            on_step(f"{name}: {event.step_key}", done, total)

    dagster.add_event_listener(run_id, listen)
    with _ctrl_c() as interrupted:
        try:
            result = job.execute_in_process(
                instance=dagster,
                run_id=run_id,
                tags=labels,
                partition_key=month,
                raise_on_error=False,
                run_config=QUIET,
            )
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            _cancel(dagster, run_id)
            raise KeyboardInterrupt from None
    stopped: list[str] = []
    for evaluation in result.get_asset_check_evaluations():
        outcome.checks += 1
        if not evaluation.passed:
            blocks = evaluation.blocking and evaluation.severity is dg.AssetCheckSeverity.ERROR
            (stopped if blocks else outcome.warnings).append(_words(evaluation))
    if not result.success:
        raise PipelineFailed(_reason(result, outcome, stopped))


def _words(evaluation: dg.AssetCheckEvaluation) -> str:
    """A failed check in words: its name and its problem."""
    where = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}"
    return f"{where}: {evaluation.metadata['problem'].value}"


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether Ctrl-C was pressed, even if its exception got lost.

    DuckDB turns `KeyboardInterrupt` into its own error, and other extensions drop it. The run would
    then continue with the steps that do not depend on the interrupted one.

    Ctrl-C reaches every process of the terminal. The processes that Dagster starts to capture a
    run's output would print tracebacks, so they inherit a blocked signal, which one idle thread
    receives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # Python delivers signals to the main thread only.
        return
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    pressed = False

    def interrupted() -> bool:
        nonlocal pressed
        with suppress(BlockingIOError):
            pressed = pressed or signal.SIGINT in reader.recv(64)
        return pressed

    ended = threading.Event()
    threading.Thread(target=ended.wait, daemon=True).start()
    earlier = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield interrupted
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.set_wakeup_fd(earlier)
        ended.set()
        reader.close()
        writer.close()


def _cancel(dagster: dg.DagsterInstance, run_id: str) -> None:
    """Mark an interrupted run as canceled, so that the UI does not show it as still running."""
    run = dagster.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        dagster.report_run_canceled(run, "Stopped by Ctrl-C.")


def _reason(result: dg.ExecuteInProcessResult, outcome: Outcome, stopped: list[str]) -> str:
    """The failed blocking checks, or else the first failed step; then the warnings."""
    if stopped:
        return "\n".join([*stopped, *(f"warning: {warning}" for warning in outcome.warnings)])
    for event in result.all_events:
        if event.is_step_failure:
            lines = [f"{root_cause(event)} (in step {event.step_key})"]
            return "\n".join([*lines, *outcome.warnings])
        if event.is_failure:
            return root_cause(event)
    return f"run {result.run_id} failed before its first step"

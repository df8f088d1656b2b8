"""What runs together and when: jobs, schedules, alerts, executor, retries and freshness.

The sensor of new files is in `landing.py`.
"""

from __future__ import annotations

import datetime as dt
import warnings

import dagster as dg
from dagster._core.storage.tags import RETRY_STRATEGY_TAG

from traveltide_assets.connections.notify import AlertDelayed, Alerts
from traveltide_assets.months import shift
from traveltide_assets.partitions import months_of_run
from traveltide_assets.settings import Automation, Settings

INGEST = "ingest"
ASSIGN_PERKS = "assign_perks"
FULL_REFRESH = "full_refresh"

# Dagster warns that one month per run is the policy of a job with both; a test pins that it is.
warnings.filterwarnings("ignore", message=f"Asset job {FULL_REFRESH} materializes assets with")

# For reads of a source, or of a lake in S3, that is away for a moment. What is wrong with the data
# itself raises a `dg.Failure` that allows no retries.
READ_RETRIES = dg.RetryPolicy(
    max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
# A run that crashed is started again from its beginning: a source that goes on changing is not what
# its first steps have copied, and reconciliation would say so.
WHOLE = {RETRY_STRATEGY_TAG: "ALL_STEPS"}
# What has landed comes before the refreshes that are due, these before backfills, which have 0.
LANDED, DUE = ({"dagster/priority": priority} for priority in ("2", "1"))


def build_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """`ingest` takes any range of months in one run; the others take one month per run.

    A range of months of everything is a backfill of all assets, not of `full_refresh`: Dagster then
    ingests the range in one run and decides month by month.
    """
    return [
        dg.define_asset_job(
            INGEST,
            dg.AssetSelection.key_prefixes("bronze", "silver"),
            description="Bronze and silver of a range of months, from the source.",
            tags=WHOLE,
        ),
        dg.define_asset_job(
            ASSIGN_PERKS,
            dg.AssetSelection.key_prefixes("gold"),
            description="Cohort, features, segments and perks as of the end of a month.",
        ),
        dg.define_asset_job(
            FULL_REFRESH,
            dg.AssetSelection.all(),
            description="Everything of a month: ingest it, then decide it.",
            tags=WHOLE,
        ),
    ]


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The month just ended is refreshed once more, the current one every day."""
    automation = settings.automation
    return [
        _schedule("month_just_ended", automation.monthly, settings, months_ago=1),
        _schedule("current_month", automation.daily, settings, months_ago=0),
    ]


def _schedule(name: str, cron: str, settings: Settings, months_ago: int) -> dg.ScheduleDefinition:
    bounds = settings.partitions

    @dg.schedule(
        name=name,
        job_name=FULL_REFRESH,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=_schedule_status(settings.automation),
        description=f"Refreshes everything of the {name.replace('_', ' ')}.",
    )
    def due(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        month = shift(f"{at:%Y-%m}", -months_ago)
        if not bounds.include(month):
            return dg.SkipReason(
                f"{month} lies outside the partitions, {bounds.first} to {bounds.last or 'today'}; "
                "a live deployment sets TRAVELTIDE_PARTITIONS__LAST=open"
            )
        return dg.RunRequest(run_key=f"{month}@{at.isoformat()}", partition_key=month, tags=DUE)

    return due


def build_alerts(settings: Settings) -> list[dg.SensorDefinition]:
    """Sensors that alert people to failed and slow runs, where the settings say."""
    alerts = Alerts(settings.automation.webhook, settings.home / "alerts")
    limit = dt.timedelta(minutes=settings.automation.slow_minutes)
    status = sensor_status(settings.automation)

    @dg.run_failure_sensor(default_status=status, description="Alerts when a run has failed.")
    def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
        steps = [event.step_key for event in context.get_step_failure_events()]
        where = f" in {', '.join(str(step) for step in steps)}" if steps else ""
        causes = [root_cause(event) for event in context.get_step_failure_events()]
        why = "; ".join(causes) or context.failure_event.message
        alerts.send(f"{_name(context.dagster_run)} failed{where}: {why}")

    @dg.sensor(
        default_status=status,
        minimum_interval_seconds=60,
        description=f"Alerts when a run takes longer than {limit}, and sends alerts that wait.",
    )
    def alert_on_slow_run(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        records = context.instance.get_run_records(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        )
        told = set((context.cursor or "").split())
        now = dt.datetime.now(dt.UTC).timestamp()
        slow = [
            record.dagster_run
            for record in records
            if record.start_time and now - record.start_time > limit.total_seconds()
        ]
        new = [
            f"{_name(run)} has been running for more than {limit}"
            for run in slow
            if run.run_id not in told
        ]
        delayed = ""
        try:
            alerts.send(*new)
        except AlertDelayed as error:
            # Not the tick's error, with which the cursor would be lost and the runs told again.
            delayed = f"; {error}"
        context.update_cursor(" ".join(run.run_id for run in slow))
        return dg.SkipReason(
            f"{len(slow)} of {len(records)} runs take longer than {limit}{delayed}"
        )

    return [alert_on_failure, alert_on_slow_run]


def _name(run: dg.DagsterRun) -> str:
    months = " to ".join(dict.fromkeys(months_of_run(run.tags) or ()))
    return f"run {run.run_id[:8]} of {run.job_name}{f' ({months})' if months else ''}"


def root_cause(event: dg.DagsterEvent) -> str:
    """The message of the error that a failed step began with."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "unknown error"
    message = error.message.strip()
    if error.cls_name == "OutOfMemoryException":
        # Behind its first line DuckDB advises SQL, which nobody can give it here.
        return f"{message.partition(chr(10))[0]}; set TRAVELTIDE_MEMORY to more"
    return message


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """Steps in one process, or each in a fork of a process that has imported everything."""
    if settings.executor == "in_process":
        return dg.in_process_executor
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": settings.parallel_steps,
            "start_method": {"forkserver": {"preload_modules": ["traveltide_assets.definitions"]}},
        }
    )


def freshness(settings: Settings) -> dg.FreshnessPolicy | None:
    """How old gold may grow; none where the months are history, which does not grow stale."""
    if settings.partitions.last is not None:
        return None
    stale = dt.timedelta(hours=settings.automation.stale_hours)
    return dg.FreshnessPolicy.time_window(fail_window=stale, warn_window=stale / 2)


def sensor_status(automation: Automation) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if automation.running else dg.DefaultSensorStatus.STOPPED


def _schedule_status(automation: Automation) -> dg.DefaultScheduleStatus:
    return (
        dg.DefaultScheduleStatus.RUNNING if automation.running else dg.DefaultScheduleStatus.STOPPED
    )

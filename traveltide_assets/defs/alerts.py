"""Sensors that alert people to failed and slow runs. `connections/notify.py` sends the alerts."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from traveltide_assets.connections.notify import AlertDelayed, Alerts
from traveltide_assets.defs.failures import failed_checks, root_cause
from traveltide_assets.defs.partitions import months_of_run
from traveltide_assets.defs.schedules import sensor_status
from traveltide_assets.settings import Settings


def build_alerts(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors for failed and slow runs. They send alerts as `automation.webhook` says."""
    alerts = Alerts(settings.automation.webhook, settings.home / "alerts")
    limit = dt.timedelta(minutes=settings.automation.slow_minutes)
    status = sensor_status(settings.automation)

    @dg.run_failure_sensor(default_status=status, description="Sends an alert when a run fails.")
    def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
        steps = [event.step_key for event in context.get_step_failure_events()]
        where = f" in {', '.join(str(step) for step in steps)}" if steps else ""
        causes = [root_cause(event) for event in context.get_step_failure_events()]
        found = failed_checks(context.instance, context.dagster_run.run_id)
        why = "; ".join([*causes, *found]) or root_cause(context.failure_event)
        alerts.send(f"{_name(context.dagster_run)} failed{where}: {why}")

    @dg.sensor(
        default_status=status,
        minimum_interval_seconds=60,
        description=f"Sends an alert when a run takes longer than {limit}. Also sends alerts that "
        "could not be sent before.",
    )
    def alert_on_slow_run(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        records = context.instance.get_run_records(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        )
        reported = set((context.cursor or "").split())
        now = dt.datetime.now(dt.UTC).timestamp()
        slow = [
            record.dagster_run
            for record in records
            if record.start_time and now - record.start_time > limit.total_seconds()
        ]
        new = [
            f"{_name(run)} has been running for more than {limit}"
            for run in slow
            if run.run_id not in reported
        ]
        delayed = ""
        try:
            alerts.send(*new)
        except AlertDelayed as error:
            # Not raised: a failed tick loses its cursor, and the runs would be reported again.
            delayed = f"; {error}"
        context.update_cursor(" ".join(run.run_id for run in slow))
        return dg.SkipReason(
            f"{len(slow)} of {len(records)} runs take longer than {limit}{delayed}"
        )

    return [alert_on_failure, alert_on_slow_run]


def _name(run: dg.DagsterRun) -> str:
    months = " to ".join(dict.fromkeys(months_of_run(run.tags) or ()))
    return f"run {run.run_id[:8]} of {run.job_name}{f' ({months})' if months else ''}"

"""The schedules, and the freshness policy of gold. `landing.py` watches for new files."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from traveltide_assets.defs import tags
from traveltide_assets.defs.config import Automation
from traveltide_assets.defs.jobs import FULL_REFRESH
from traveltide_assets.schema.months import shift
from traveltide_assets.settings import Settings

# Priorities: landed files first, then due refreshes, then backfills, which have 0.
LANDED, DUE = ({tags.PRIORITY: priority} for priority in ("2", "1"))


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules: the month just ended is refreshed once more, the current one every day."""
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
        description=f"Ingests and decides the {name.replace('_', ' ')} again.",
    )
    def due(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        month = shift(f"{at:%Y-%m}", -months_ago)
        if not bounds.include(month):
            return dg.SkipReason(
                f"{month} is outside the partitions, {bounds.first} to {bounds.last or 'today'}. "
                "In a live deployment, set TRAVELTIDE_PARTITIONS__LAST=open"
            )
        return dg.RunRequest(run_key=f"{month}@{at.isoformat()}", partition_key=month, tags=DUE)

    return due


def _schedule_status(automation: Automation) -> dg.DefaultScheduleStatus:
    return (
        dg.DefaultScheduleStatus.RUNNING if automation.running else dg.DefaultScheduleStatus.STOPPED
    )


def freshness(settings: Settings) -> dg.FreshnessPolicy | None:
    """The freshness policy of gold; None for historical months, which do not become stale."""
    if settings.partitions.last is not None:
        return None
    stale = dt.timedelta(hours=settings.automation.stale_hours)
    return dg.FreshnessPolicy.time_window(fail_window=stale, warn_window=stale / 2)


def sensor_status(automation: Automation) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if automation.running else dg.DefaultSensorStatus.STOPPED

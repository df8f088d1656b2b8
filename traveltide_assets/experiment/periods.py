"""The periods of an experiment.

The decision as of the end of a month is mailed in the following month. So the first campaign of an
experiment is the one decided in the month before its start. The experiment keeps the customers and
segments of that month to its end.
"""

from __future__ import annotations

import datetime as dt

from traveltide_assets.experiment.config import Config
from traveltide_assets.schema.months import FORMAT, end_of, previous_month


def starts_at(start: dt.date) -> dt.datetime:
    """The first instant of the experiment."""
    return dt.datetime.combine(start, dt.time())


def planned_end(start: dt.date, config: Config) -> dt.datetime:
    """The first instant after the planned length."""
    return starts_at(start) + dt.timedelta(weeks=config.weeks)


def month_of_assignment(start: dt.date) -> str:
    """The month with the decision that the experiment starts from."""
    return previous_month(start.strftime(FORMAT))


def runs_in_campaign(config: Config, month: str) -> bool:
    """Whether the campaign decided in a month, mailed in the next, carries the control offer."""
    if config.start is None or month < month_of_assignment(config.start):
        return False
    return end_of(month) < planned_end(config.start, config)


def weeks_read(start: dt.date, config: Config, month: str) -> int:
    """The whole weeks of the experiment that are over by the end of a month."""
    weeks = (end_of(month) - starts_at(start)) // dt.timedelta(weeks=1)
    return max(0, min(weeks, config.weeks))


def looks_at(weeks: int, config: Config) -> tuple[float, ...]:
    """When the experiment has been looked at after some weeks, as shares of its planned length.

    Each week counts as a look, whenever it was that somebody read it: the readout tells of every
    week, and stops at the first that decides.
    """
    return tuple((week + 1) / config.weeks for week in range(weeks))


def has_begun(config: Config, month: str) -> bool:
    """Whether the experiment starts before the end of a month."""
    return config.start is not None and starts_at(config.start) < end_of(month)


def latest_followed_up(config: Config, month: str) -> str:
    """The latest month that is followed by enough time for a whole experiment, as of `month`."""
    earlier = month
    while end_of(earlier) + dt.timedelta(weeks=config.weeks) > end_of(month):
        earlier = previous_month(earlier)
    return earlier

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


def read_until(start: dt.date, config: Config, month: str) -> dt.datetime:
    """The end (exclusive) of the outcomes read as of a month: its own end or the experiment's."""
    return min(end_of(month), planned_end(start, config))


def looks_taken(start: dt.date, config: Config, month: str) -> tuple[float, ...]:
    """When the experiment has been looked at as of a month, as shares of its planned length.

    It is read with every month that is decided: each end of a month counts, and the planned end.
    """
    ends: list[dt.datetime] = []
    while (end := read_until(start, config, month)) > starts_at(start):
        ends.append(end)
        month = previous_month(month)
    length = dt.timedelta(weeks=config.weeks)
    return tuple(sorted({(end - starts_at(start)) / length for end in ends}))


def has_begun(config: Config, month: str) -> bool:
    """Whether the experiment starts before the end of a month."""
    return config.start is not None and starts_at(config.start) < end_of(month)


def latest_followed_up(config: Config, month: str) -> str:
    """The latest month that is followed by enough time for a whole experiment, as of `month`."""
    earlier = month
    while end_of(earlier) + dt.timedelta(weeks=config.weeks) > end_of(month):
        earlier = previous_month(earlier)
    return earlier

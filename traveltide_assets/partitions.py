"""Monthly partitions: of sessions and of everything decided from them.

The bounds come from the settings because the data may be historical: an open-ended definition would
then offer a new, empty month with every month of the calendar. A live deployment leaves the end
open. Its last partition is the current month, which holds what is known so far and is refreshed
until the month is over.
"""

from __future__ import annotations

import dagster as dg

from traveltide_assets.months import FORMAT, next_month

_CRON = "0 0 1 * *"

# The shape that the assets are declared with; `build_definitions` sets the bounds.
MONTHLY = dg.TimeWindowPartitionsDefinition(start="2000-01", fmt=FORMAT, cron_schedule=_CRON)

# As of the end of a month, an asset sees that month and everything before it, never after it.
# Dagster walks back month by month, so the thirty years are also a matter of speed.
ALL_UP_TO = dg.TimeWindowPartitionMapping(start_offset=-360, end_offset=0)
PREVIOUS = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def bounded(first: str, last: str | None) -> dg.TimeWindowPartitionsDefinition:
    """Monthly partitions from `first` to `last`, both included; without `last`, to today's."""
    return dg.TimeWindowPartitionsDefinition(
        start=first,
        end=next_month(last) if last else None,
        end_offset=0 if last else 1,
        fmt=FORMAT,
        cron_schedule=_CRON,
    )

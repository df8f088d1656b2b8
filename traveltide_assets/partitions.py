"""Monthly partitions: of sessions and of everything decided from them.

The bounds come from the settings because the data may be historical: an open-ended definition would
then offer a new, empty month with every month of the calendar. A live deployment leaves the end
open. Its last partition is the current month, which holds what is known so far and is refreshed
until the month is over.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from traveltide_assets.months import FORMAT, next_month
from traveltide_assets.settings import Partitions

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


def months_within(bounds: Partitions) -> list[str]:
    """The months of the bounds, in order; with an open end, up to today's."""
    return list(bounded(bounds.first, bounds.last).get_partition_keys())


def months_of_run(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """The first and last month that a run is for, from its tags; none if it is for no month."""
    if month := tags.get(PARTITION_NAME_TAG):
        return month, month
    if ASSET_PARTITION_RANGE_START_TAG in tags:
        return tags[ASSET_PARTITION_RANGE_START_TAG], tags[ASSET_PARTITION_RANGE_END_TAG]
    return None

"""Monthly partitions of sessions and of everything decided from them.

The bounds come from the settings because the data may be historical: with an open end, every
calendar month would add an empty partition. A live deployment leaves the end open. Its last
partition is the current month, which holds the data so far and is refreshed until the month is
over.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from traveltide_assets.defs import tags
from traveltide_assets.defs.beta import relied_on
from traveltide_assets.schema.months import FORMAT, next_month

_CRON = "0 0 1 * *"

# Assets are declared with this definition; `build_definitions` sets the bounds.
MONTHLY = dg.TimeWindowPartitionsDefinition(start="2000-01", fmt=FORMAT, cron_schedule=_CRON)

with relied_on():
    RANGE_PER_RUN = dg.BackfillPolicy.single_run()

# As of the end of a month, an asset sees that month and everything before it, nothing after it.
# Dagster walks back month by month, so the limit of thirty years also bounds the time this takes.
ALL_UP_TO = dg.TimeWindowPartitionMapping(start_offset=-360, end_offset=0)
PREVIOUS = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
AND_PREVIOUS = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=0)
ALL_BEFORE = dg.TimeWindowPartitionMapping(start_offset=-360, end_offset=-1)


def bounded(first: str, last: str | None) -> dg.TimeWindowPartitionsDefinition:
    """Monthly partitions from `first` to `last`, both included; without `last`, to this month."""
    return dg.TimeWindowPartitionsDefinition(
        start=first,
        end=next_month(last) if last else None,
        end_offset=0 if last else 1,
        fmt=FORMAT,
        cron_schedule=_CRON,
    )


def months_of_run(labels: Mapping[str, str]) -> tuple[str, str] | None:
    """The first and last month of a run, from its tags; None if it has no months."""
    if month := labels.get(tags.PARTITION):
        return month, month
    if tags.RANGE_START in labels:
        return labels[tags.RANGE_START], labels[tags.RANGE_END]
    return None

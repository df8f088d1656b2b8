"""Dagster's private names of run tags, copied here. A test compares them with Dagster's."""

from __future__ import annotations

import json
from collections.abc import Mapping

from traveltide_assets.lake.ownership import TAG

PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
RETRY_STRATEGY = "dagster/retry_strategy"
WILL_RETRY = "dagster/will_retry"
PRIORITY = "dagster/priority"
DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
# Prefixes: the name of the input follows.
INPUT_VERSION = "dagster/input_data_version/"
INPUT_EVENT = "dagster/input_event_pointer/"
# Our own: the id of the run, once it has observed its inputs.
OBSERVED = "traveltide/observed"
# Our own: the owner of the lease of the lake that the run writes under; see `defs/lease.py`.
LEASE = "traveltide/lease"
# Our own: the run makes its release current, also where releases wait for somebody.
RELEASE = "traveltide/release"
# Our own: what a run is told about a lake of another source.
LAKE = TAG
# Our own: the names of files that the run leaves out, as a JSON list.
WITHOUT = "traveltide/without"


def without(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The files that a run leaves out, from its tags."""
    return tuple(json.loads(labels.get(WITHOUT, "[]")))

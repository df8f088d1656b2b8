"""Dagster's names of run tags, which it keeps private: copied here, and held against it by a test."""

from __future__ import annotations

PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
RETRY_STRATEGY = "dagster/retry_strategy"
WILL_RETRY = "dagster/will_retry"
PRIORITY = "dagster/priority"
DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
# Ours: the run has looked at its inputs.
OBSERVED = "traveltide/observed"

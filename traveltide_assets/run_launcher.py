"""Dagster's run launcher, for installed copies of `dagster.yaml` that still name this module.

A new `dagster.yaml` names no launcher, because the sensor in `defs/lost_runs.py` does that work
now. docs/operator/deploy.md gives the reason.
"""

from dagster import DefaultRunLauncher as RunLauncher

__all__ = ["RunLauncher"]

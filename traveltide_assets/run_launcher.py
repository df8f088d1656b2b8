"""Dagster's run launcher, for installed copies of `dagster.yaml` that still name this module.

A new `dagster.yaml` names no launcher. What this one did, the sensor in `defs/lost_runs.py` does;
docs/operator/deploy.md says why.
"""

from dagster import DefaultRunLauncher as RunLauncher

__all__ = ["RunLauncher"]

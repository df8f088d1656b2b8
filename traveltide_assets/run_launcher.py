"""The old place of `defs/instance/run_launcher.py`, which copies of deploy's `dagster.yaml` name."""

from traveltide_assets.defs.instance.run_launcher import RunLauncher

__all__ = ["RunLauncher"]

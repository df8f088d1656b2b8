"""The old place of `defs/instance/event_log.py`, which installed copies of `dagster.yaml` name."""

from traveltide_assets.defs.instance.event_log import EventLog

__all__ = ["EventLog"]

"""The former module of `defs/instance/event_log.py`: installed copies of `dagster.yaml` name it."""

from traveltide_assets.defs.instance.event_log import EventLog

__all__ = ["EventLog"]

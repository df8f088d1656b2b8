"""Dagster's event log in one SQLite file, with connections that stay open.

Dagster's own event log opens the database and compiles its statements again for every event, which
takes longer than most steps of a small run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage

from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.settings import load_settings

_BUSY_SECONDS = 60


class EventLog(ConsolidatedSqliteEventLogStorage):
    """The event log that `dagster.yaml` names as `event_log_storage`."""

    def _init_db(self) -> None:
        # Dagster's web server may be the first to open it, with any mask.
        earlier = os.umask(_mask())
        try:
            super()._init_db()  # type: ignore[no-untyped-call]
        finally:
            os.umask(earlier)

    @cached_property
    def _engine(self) -> sa.Engine:
        engine = sa.create_engine(self._conn_string, connect_args={"timeout": _BUSY_SECONDS})
        sa.event.listen(engine, "connect", _sync_less_often)
        return engine

    @cached_property
    def _tables(self) -> set[str]:
        """The tables known to exist. Dagster asks with every event, and none is ever dropped."""
        return set()

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables:
            if not super().has_table(table_name):
                return False
            self._tables.add(table_name)
        return True

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        self._engine.dispose()
        super().dispose()  # type: ignore[no-untyped-call]


def _mask() -> int:
    """The mask of the settings, or the strictest one where they cannot be read."""
    try:
        return int(load_settings().umask, 8)
    except SettingsError:
        return 0o077


def _sync_less_often(connection: Any, _: Any) -> None:
    # With a write-ahead log the file stays intact; a power cut can only lose the last events.
    connection.execute("PRAGMA synchronous=NORMAL")

"""The event log over connections that stay open rests on private parts of Dagster's."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage

from traveltide_assets.event_log import EventLog


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance whose dagster.yaml names the module as installed copies do."""
    log = {"module": "traveltide_assets.event_log", "class": "EventLog"}
    settings = {"event_log_storage": {**log, "config": {"base_dir": str(tmp_path)}}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


@pytest.mark.parametrize("name", ["_connect", "has_table", "dispose"])
def test_what_it_overrides_still_exists_in_dagsters_own(name: str) -> None:
    assert name in vars(ConsolidatedSqliteEventLogStorage), "see event_log.py"


def test_dagsters_own_still_makes_all_its_connections_where_this_one_steps_in() -> None:
    own = ConsolidatedSqliteEventLogStorage
    for name in ("run_connection", "index_connection"):
        assert "self._connect()" in inspect.getsource(vars(own)[name]), "see event_log.py"


def test_a_run_is_logged_over_one_connection_that_does_not_wait_for_the_disk(
    instance: dg.DagsterInstance,
) -> None:
    log = instance.event_log_storage
    assert isinstance(log, EventLog)
    opened: list[object] = []
    sa.event.listen(log._engine, "connect", lambda connection, _: opened.append(connection))

    @dg.asset
    def one() -> None: ...

    assert dg.materialize([one], instance=instance).success
    kinds = [entry.dagster_event_type for entry in instance.all_logs(instance.get_runs()[0].run_id)]
    assert dg.DagsterEventType.ASSET_MATERIALIZATION in kinds
    # Without the override every event opens one, some twenty here. A thread may have its own.
    assert len(opened) <= 3
    with log._connect() as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 1
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"


def test_it_still_holds_where_dagsters_own_reads_and_writes(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    @dg.asset
    def one() -> None: ...

    assert dg.materialize([one], instance=instance).success
    own = ConsolidatedSqliteEventLogStorage(str(tmp_path))
    run_id = instance.get_runs()[0].run_id
    assert len(own.get_logs_for_run(run_id)) == len(instance.all_logs(run_id)) > 0
    own.dispose()  # type: ignore[no-untyped-call]

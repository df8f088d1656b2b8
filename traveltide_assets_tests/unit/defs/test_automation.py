"""What runs by itself: schedules, the landing sensor, alerts, retries and open months."""

import datetime as dt
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from hypothesis import given
from hypothesis import strategies as st
from tenacity import wait_none

from traveltide_assets.connections import notify
from traveltide_assets.definitions import build_definitions
from traveltide_assets.defs import alerts, jobs, landing, partitions
from traveltide_assets.defs import tags as dagster_tags
from traveltide_assets.defs.failures import root_cause
from traveltide_assets.defs.retries import READ_RETRIES, permanent_errors_end_the_step
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.storage.base import Refused, StorageError
from traveltide_assets.resources import open_lease
from traveltide_assets.schema.errors import ContractError, SettingsError
from traveltide_assets.schema.months import next_month, shift
from traveltide_assets.settings import Settings, load_settings
from traveltide_assets.sources.base import SourceError
from traveltide_assets_tests.support.inbox import Inbox
from traveltide_assets_tests.support.landing import BOUNDS, Folder, StoredMonths, Watch

OPEN = {"first": "2022-10", "last": "open"}


def tick(settings: Settings, name: str, at: dt.datetime) -> dg.RunRequest | str:
    """What a schedule does at a time: its run request, or the reason it gives for none."""
    definitions = build_definitions(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=at,
            repository_def=definitions.get_repository_def(),
        )
        result = definitions.resolve_schedule_def(name).evaluate_tick(context)
    if result.skip_message:
        return result.skip_message
    (request,) = result.run_requests or ()
    return request


# Months and schedules


@pytest.mark.parametrize("last", ["open", ""])
def test_open_months_go_on_to_the_current_one(last: str) -> None:
    settings = Settings(partitions={"first": "2023-05", "last": last})
    months = partitions.bounded(settings.partitions.first, settings.partitions.last)
    with partition_loading_context(effective_dt=dt.datetime(2023, 8, 1, tzinfo=dt.UTC)):
        assert months.get_partition_keys() == ["2023-05", "2023-06", "2023-07", "2023-08"]
    with partition_loading_context(effective_dt=dt.datetime(2023, 7, 31, tzinfo=dt.UTC)):
        assert months.get_partition_keys() == ["2023-05", "2023-06", "2023-07"]


@pytest.mark.parametrize(
    ("name", "at", "month"),
    [
        ("current_month", dt.datetime(2024, 2, 29, 5, tzinfo=dt.UTC), "2024-02"),
        ("month_just_ended", dt.datetime(2024, 1, 1, 4, tzinfo=dt.UTC), "2023-12"),
        ("month_just_ended", dt.datetime(2023, 3, 1, 4, tzinfo=dt.UTC), "2023-02"),
    ],
)
def test_a_schedule_asks_for_the_month_of_the_time_it_was_scheduled_for(
    name: str, at: dt.datetime, month: str
) -> None:
    request = tick(Settings(partitions=OPEN), name, at)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == month
    again = tick(Settings(partitions=OPEN), name, at)
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == request.run_key, "a tick that is repeated asks for nothing new"


@pytest.mark.parametrize("name", ["current_month", "month_just_ended"])
@pytest.mark.parametrize("year", [2021, 2026])
def test_a_schedule_skips_months_outside_the_bounds_and_says_what_to_set(
    name: str, year: int
) -> None:
    reason = tick(Settings(partitions=BOUNDS), name, dt.datetime(year, 9, 1, tzinfo=dt.UTC))
    assert isinstance(reason, str)
    assert "2022-10 to 2023-07" in reason
    assert "TRAVELTIDE_PARTITIONS__LAST=open" in reason


def test_nothing_runs_by_itself_until_it_is_switched_on() -> None:
    for running in (False, True):
        settings = Settings(automation={"running": running})
        definitions = build_definitions(settings)
        found = [*(definitions.schedules or ()), *(definitions.sensors or ())]
        assert len(found) == 6
        for item in found:
            assert isinstance(item, dg.ScheduleDefinition | dg.SensorDefinition)
            assert (item.default_status.value == "RUNNING") == running, item.name


def test_gold_grows_stale_only_where_the_months_are_open() -> None:
    for bounds, stale in ((BOUNDS, False), (OPEN, True)):
        for spec in build_definitions(Settings(partitions=bounds)).resolve_all_asset_specs():
            expected = stale and spec.key.path[0] == "gold"
            assert (spec.freshness_policy is not None) == expected, spec.key


# Landing


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def blocks(requests: list[dg.RunRequest]) -> list[tuple[str, str]]:
    return [(r.tags[dagster_tags.RANGE_START], r.tags[dagster_tags.RANGE_END]) for r in requests]


def test_new_files_ask_for_their_months_a_block_per_run_and_only_once(
    instance: dg.DagsterInstance,
) -> None:
    watch = Watch(
        Folder(
            users=("1", set()),
            sessions_a=("1", {"2023-01", "2023-02"}),
            sessions_b=("1", {"2023-03", "2023-06"}),
        ),
        instance,
    )
    assert blocks(watch.tick()) == [("2023-01", "2023-03"), ("2023-06", "2023-06")]
    assert watch.tick() == []


def test_a_changed_file_asks_for_the_months_it_has_and_those_it_had(
    instance: dg.DagsterInstance,
) -> None:
    watch = Watch(Folder(sessions=("1", {"2023-01"}), sessions_2=("1", {"2023-05"})), instance)
    watch.tick()
    watch.source.files["sessions"] = ("2", {"2023-03"})
    assert blocks(watch.tick()) == [("2023-01", "2023-01"), ("2023-03", "2023-03")]


def test_a_file_that_touches_no_month_asks_for_the_snapshots_alone(
    instance: dg.DagsterInstance,
) -> None:
    watch = Watch(Folder(users=("1", set()), sessions=("1", {"1999-01"})), instance)
    (request,) = watch.tick()
    assert request.asset_selection == [dg.AssetKey(["bronze", "users_raw"])]
    assert blocks_of(request) is None


def blocks_of(request: dg.RunRequest) -> str | None:
    return request.tags.get(dagster_tags.RANGE_START)


def test_a_tick_whose_cursor_was_lost_asks_under_the_same_keys(
    instance: dg.DagsterInstance,
) -> None:
    """Dagster starts no second run for a key that it knows."""
    watch = Watch(Folder(sessions=("1", {"2023-01", "2023-04"})), instance)
    first = watch.tick()
    watch.cursor = None
    assert [r.run_key for r in watch.tick()] == [r.run_key for r in first]
    assert len({r.run_key for r in first}) == 2


def test_a_file_whose_run_failed_is_asked_for_again_at_most_three_times(
    instance: dg.DagsterInstance,
) -> None:
    watch = Watch(Folder(sessions=("1", {"2023-01"}), users=("1", set())), instance)
    keys = []
    for _ in range(landing._ATTEMPTS):
        (request,) = watch.tick()
        keys.append(request.run_key)
        assert watch.tick() == [], "while it runs, nothing is asked for"
        watch.fail(request)
    assert watch.tick() == []
    assert len(set(keys)) == landing._ATTEMPTS
    watch.source.files["sessions"] = ("2", {"2023-01"})
    assert len(watch.tick()) == 1, "a new version is a new chance"


def test_a_run_that_dagster_or_a_person_runs_again_is_left_to_them(
    instance: dg.DagsterInstance,
) -> None:
    watch = Watch(Folder(sessions=("1", {"2023-01"})), instance)
    (request,) = watch.tick()
    failed = watch.fail(request)
    instance.add_run(
        dg.DagsterRun(
            job_name="ingest",
            status=dg.DagsterRunStatus.SUCCESS,
            tags=dict(request.tags),
            parent_run_id=failed.run_id,
            root_run_id=failed.run_id,
        )
    )
    assert watch.tick() == []


def test_a_failed_run_is_left_to_dagster_until_it_has_said_that_it_will_not_retry_it(
    tmp_path: Path,
) -> None:
    retries = {"run_retries": {"enabled": True, "max_retries": 2}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=retries) as instance:
        watch = Watch(Folder(sessions=("1", {"2023-01"})), instance)
        (request,) = watch.tick()
        failed = watch.fail(request)
        assert watch.tick() == []
        instance.add_run_tags(failed.run_id, {dagster_tags.WILL_RETRY: "true"})
        assert watch.tick() == []
        instance.add_run_tags(failed.run_id, {dagster_tags.WILL_RETRY: "false"})
        assert len(watch.tick()) == 1


@pytest.mark.parametrize("said", [{}, {dagster_tags.WILL_RETRY: "true"}])
@pytest.mark.parametrize(("minutes", "asked"), [(55, 0), (65, 1)])
def test_a_failed_run_that_dagster_overlooks_for_an_hour_is_asked_for_again(
    tmp_path: Path, said: dict[str, str], minutes: int, asked: int
) -> None:
    retries = {"run_retries": {"enabled": True, "max_retries": 2}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=retries) as instance:
        watch = Watch(Folder(sessions=("1", {"2023-01"})), instance)
        (request,) = watch.tick()
        failed = watch.fail(request, ago=dt.timedelta(minutes=minutes))
        instance.add_run_tags(failed.run_id, said)
        assert len(watch.tick()) == asked


def test_a_tick_asks_dagster_for_all_deliveries_at_once(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(Folder(), instance)
    for number in range(5):
        watch.source.files[f"sessions_{number}"] = ("1", {"2023-01"})
        (request,) = watch.tick()
    watch.fail(request)
    asked = []
    get_run_records = type(instance).get_run_records

    def counted(self: dg.DagsterInstance, *arguments: Any) -> Any:
        asked.append(arguments)
        return get_run_records(self, *arguments)

    monkeypatch.setattr(type(instance), "get_run_records", counted)
    assert len(watch.tick()) == 1
    assert len(asked) == 2


def test_months_that_the_lake_lacks_are_ingested_with_a_later_one(
    instance: dg.DagsterInstance,
) -> None:
    """A month without any session in any file would otherwise never be known to be empty."""
    lake = StoredMonths("2022-10", "2022-11", "2023-01")
    watch = Watch(Folder(sessions=("1", {"2023-03"})), instance, lake)
    assert blocks(watch.tick()) == [("2022-12", "2022-12"), ("2023-02", "2023-03")]


def test_a_damaged_file_is_told_once_and_the_others_go_on(
    instance: dg.DagsterInstance, inbox: Inbox, tmp_path: Path
) -> None:
    source = Folder(
        users=("1", set()), sessions_a=("1", {"2023-01"}), sessions_b=("1", {"2023-05"})
    )
    source.damaged = {"sessions_b"}
    watch = Watch(source, instance, automation={"webhook": inbox.url}, home=tmp_path)
    (request,) = watch.tick()
    assert blocks([request]) == [("2023-01", "2023-01")]
    assert dagster_tags.without(request.tags) == ("sessions_b",)
    assert watch.tick() == []
    assert "sessions_b" in watch.said
    (text,) = inbox.texts
    assert "sessions_b is damaged" in text

    source.files["sessions_c"] = ("1", {"2023-02"})
    (request,) = watch.tick()
    assert blocks([request]) == [("2023-02", "2023-02")]

    source.files["sessions_b"] = ("2", {"2023-05"})
    assert watch.tick() == []
    assert len(inbox.texts) == 2, "another version that is damaged, too, is told again"

    source.files["sessions_b"] = ("3", {"2023-05"})
    source.damaged = set()
    (request,) = watch.tick()
    assert blocks([request]) == [("2023-05", "2023-05")]
    assert dagster_tags.without(request.tags) == ()


def test_a_table_without_a_sound_file_keeps_what_bronze_has(instance: dg.DagsterInstance) -> None:
    source = Folder(users=("1", set()), sessions=("1", {"2023-01"}))
    source.damaged = {"users"}
    (request,) = Watch(source, instance).tick()
    assert request.asset_selection == [dg.AssetKey(["bronze", "sessions_raw"])]


def test_what_bronze_was_read_from_is_not_asked_for(instance: dg.DagsterInstance) -> None:
    """Such as when the sensor is switched on after `traveltide run`."""
    for table, month in (("users", None), ("sessions", "2023-01"), ("sessions", "2023-02")):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                ["bronze", f"{table}_raw"],
                partition=month,
                metadata={"files": dg.MetadataValue.json({table: "1"})},
            )
        )
    lake = StoredMonths("2023-01", "2023-02")
    lake.snapshots = True
    source = Folder(users=("1", set()), sessions=("1", {"2023-01", "2023-02"}))
    watch = Watch(source, instance, lake)
    assert watch.tick() == []
    source.files["sessions"] = ("2", {"2023-02"})
    assert blocks(watch.tick()) == [("2022-10", "2023-02")]


def test_an_incomplete_delivery_is_told_after_an_hour(
    instance: dg.DagsterInstance, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Incomplete(Folder):
        def versions(self) -> dict[str, str]:
            raise SourceError("no file for hotels")

    watch = Watch(Incomplete(), instance, automation={"webhook": inbox.url}, home=tmp_path)
    for _ in range(2):
        assert watch.tick() == []
        assert "no file for hotels" in watch.said
    assert inbox.texts == []
    monkeypatch.setattr(landing, "_PATIENCE_SECONDS", 0)
    for _ in range(2):
        watch.tick()
    (text,) = inbox.texts
    assert "no file for hotels" in text


MONTHS = st.integers(0, 40).map(lambda n: shift("2021-11", n))


@given(st.sets(MONTHS))
def test_blocks_hold_every_month_once_and_are_as_few_as_can_be(months: set[str]) -> None:
    found = landing._blocks(months)
    held = []
    for first, last in found:
        while first <= last:
            held.append(first)
            first = next_month(first)
    assert held == sorted(months)
    ends = [next_month(last) for _, last in found]
    assert not set(ends) & {first for first, _ in found}


# Retries


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
def read(context: dg.OpExecutionContext) -> None:
    errors = {
        "away": ConnectionError("away"),
        "disk": PermissionError(13, "denied", "lake"),
        "busy": StorageError("busy"),
        "source": SourceError("wrong"),
        "lake": ContractError("wrong"),
        "rights": Refused("wrong"),
    }
    with permanent_errors_end_the_step():
        raise errors[context.run.tags["what"]]


@pytest.mark.parametrize(
    ("what", "attempts"),
    [("away", 3), ("busy", 3), ("disk", 1), ("source", 1), ("lake", 1), ("rights", 1)],
)
def test_reads_are_tried_again_unless_data_or_rights_are_wrong(what: str, attempts: int) -> None:
    @dg.job
    def reading() -> None:
        read()

    result = reading.execute_in_process(tags={"what": what}, raise_on_error=False)
    starts = [e for e in result.all_events if e.is_step_start or e.is_step_restarted]
    assert len(starts) == attempts


def test_only_what_reads_the_source_is_tried_again() -> None:
    definitions = build_definitions(Settings())
    graph = definitions.resolve_asset_graph()
    made = [graph.get(key).assets_def for key in graph.materializable_asset_keys]
    assert len(made) > 30
    for asset in made:
        reads = asset.keys <= {key for key in asset.keys if key.path[0] == "bronze"}
        policy = READ_RETRIES if reads else None
        assert isinstance(asset.node_def, dg.OpDefinition)
        assert asset.node_def.retry_policy == policy, asset.keys


def test_a_crashed_run_that_reads_the_source_is_started_again_from_its_beginning() -> None:
    definitions = build_definitions(Settings())
    for name in ("ingest", "full_refresh"):
        assert definitions.resolve_job_def(name).tags["dagster/retry_strategy"] == "ALL_STEPS"


# Alerts


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    monkeypatch.setattr(notify, "_WAIT", wait_none())
    inbox = Inbox()
    inbox.start()
    yield inbox
    inbox.stop()


def alerting(inbox: Inbox, home: Path, **automation: Any) -> Settings:
    return Settings(automation={"webhook": inbox.url, **automation}, home=home)


@dg.op
def broken() -> None:
    raise ValueError("the cause")


@dg.job
def breaks() -> None:
    broken()


def alert_on_failure(settings: Settings, instance: dg.DagsterInstance) -> None:
    result = breaks.execute_in_process(instance=instance, raise_on_error=False)
    sensor, _ = alerts.build_alerts(settings)
    context = dg.build_run_status_sensor_context(
        sensor_name="alert_on_failure",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    ).for_run_failure()
    sensor(context)


def test_a_failed_run_is_posted_to_the_webhook_with_its_cause(
    inbox: Inbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    alert_on_failure(alerting(inbox, tmp_path), instance)
    (text,) = inbox.texts
    assert "of breaks failed in broken: the cause" in text.replace("ValueError: ", "")


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({}, "of ingest"),
        ({"dagster/partition": "2023-05"}, "of ingest (2023-05)"),
        (
            {
                dagster_tags.RANGE_START: "2023-05",
                dagster_tags.RANGE_END: "2023-07",
            },
            "of ingest (2023-05 to 2023-07)",
        ),
    ],
)
def test_an_alert_names_the_months_of_the_run(tags: dict[str, str], said: str) -> None:
    assert alerts._name(dg.DagsterRun(job_name="ingest", tags=tags)).endswith(said)


def test_without_a_webhook_alerts_are_logged(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, notify.__name__):
        alert_on_failure(Settings(), instance)
    assert "the cause" in caplog.text


def test_an_alert_that_is_not_taken_is_the_error_of_the_tick_and_kept(
    inbox: Inbox, instance: dg.DagsterInstance, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.answers = itertools.repeat(500)
    with pytest.raises(Exception, match="the webhook answered 500") as raised:
        alert_on_failure(alerting(inbox, tmp_path), instance)
    assert "the cause" in str(raised.value), "whoever reads the tick is told what was not sent"
    assert "trying again" in caplog.text
    assert "s3cret" not in str(raised.value) + caplog.text
    (file,) = (tmp_path / "alerts").glob("*.json")
    assert "the cause" in file.read_text()


def test_the_webhook_is_a_secret_that_no_file_and_no_print_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://example.com/hook/s3cret"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAVELTIDE_AUTOMATION__WEBHOOK", url)
    assert "s3cret" not in repr(load_settings())
    monkeypatch.delenv("TRAVELTIDE_AUTOMATION__WEBHOOK")
    Path("traveltide.toml").write_text(f'[automation]\nwebhook = "{url}"\n')
    with pytest.raises(SettingsError, match="TRAVELTIDE_AUTOMATION__WEBHOOK") as raised:
        load_settings()
    assert "s3cret" not in str(raised.value)


class SlowRun:
    """A run that goes on and on, and the sensor that is to notice."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        _, sensor = alerts.build_alerts(settings)
        assert isinstance(sensor, dg.SensorDefinition)
        self.sensor = sensor
        self.instance = instance
        self.run = instance.create_run_for_job(breaks)
        self.cursor: str | None = None
        instance.report_engine_event("start", self.run)

    def tick(self, minutes: int) -> str:
        """What the sensor says when the run has taken so long."""
        started = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)
        start_run(self.instance, self.run, started)
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor
        return str(result.skip_message)


def test_a_slow_run_is_told_once(
    inbox: Inbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    slow = SlowRun(alerting(inbox, tmp_path, slow_minutes=10), instance)
    for minutes, told in ((5, 0), (11, 1), (12, 1)):
        slow.tick(minutes)
        assert len(inbox.received) == told
    assert "has been running for more than 0:10:00" in inbox.texts[0]


def test_a_slow_run_is_told_once_also_where_the_webhook_was_down(
    inbox: Inbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    slow = SlowRun(alerting(inbox, tmp_path, slow_minutes=10), instance)
    inbox.stop()
    for minutes in (11, 12, 13):
        assert "cannot be reached; alerts waiting" in slow.tick(minutes)
    inbox.start()
    assert "wait" not in slow.tick(14)
    slow.tick(15)
    (text,) = inbox.texts
    assert "has been running for more than 0:10:00" in text


def test_the_next_tick_sends_the_alert_of_a_failed_run_that_the_webhook_did_not_take(
    inbox: Inbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = alerting(inbox, tmp_path)
    inbox.stop()
    with pytest.raises(Exception, match="cannot be reached"):
        alert_on_failure(settings, instance)
    inbox.start()
    SlowRun(settings, instance).tick(1)
    (text,) = inbox.texts
    assert "the cause" in text


def start_run(instance: dg.DagsterInstance, run: dg.DagsterRun, at: dt.datetime) -> None:
    """Record that a run has started at a time."""
    event = dg.DagsterEvent(event_type_value="PIPELINE_START", job_name=run.job_name)
    instance.run_storage.handle_run_event(run.run_id, event, at)


# Executor


def test_forkserver_is_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    lease = open_lease(load_settings())
    assert jobs.executor(load_settings(), lease) is dg.in_process_executor
    monkeypatch.setitem(os.environ, "TRAVELTIDE_EXECUTOR", "forkserver")
    assert jobs.executor(load_settings(), lease).name == "multiprocess"


@pytest.mark.parametrize(
    ("error", "beneath", "said"),
    [
        (SourceError("users.csv: the file is empty"), None, "users.csv: the file is empty"),
        (SourceError("users.csv: no rows"), OSError("read(4)"), "users.csv: no rows"),
        (StorageError("the bucket is gone"), KeyError("Bucket"), "the bucket is gone"),
        (dg.Failure("2023-04 has no features"), None, "2023-04 has no features"),
        (KeyError("nights"), None, "KeyError: 'nights'"),
        (RuntimeError("late"), KeyError("early"), "KeyError: 'early'"),
    ],
)
def test_a_failed_step_says_what_is_wrong_and_not_in_which_class(
    error: Exception, beneath: Exception | None, said: str
) -> None:
    @dg.asset
    def broken() -> None:
        raise error from beneath

    result = dg.materialize([broken], raise_on_error=False)
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    assert root_cause(failed) == said


def test_too_little_memory_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    engine = DuckDB(tmp_path, memory="1MB")

    @dg.asset
    def numbers() -> None:
        engine.write_parquet(ibis.range(10_000_000).unnest().as_table(), tmp_path / "numbers")

    result = dg.materialize([numbers], raise_on_error=False)
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    said = root_cause(failed)
    assert "TRAVELTIDE_MEMORY" in said
    assert "SET " not in said

"""What we rely on though Dagster does not promise it: each fails where Dagster changes it.

That of the event log is in `test_event_log.py`, that of lost runs in `test_lost_runs.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions import data_version
from dagster._core.storage import tags as dagsters

import traveltide_assets
from traveltide_assets.defs import tags
from traveltide_assets.defs.staleness import Stale, find_stale

PACKAGE = Path(traveltide_assets.__file__).parent
# Modules that may import what Dagster keeps private.
ALLOWED = {"defs/staleness.py", "defs/instance/event_log.py"}
MONTHS = dg.StaticPartitionsDefinition(["2023-06", "2023-07"])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tags.PARTITION, dagsters.PARTITION_NAME_TAG),
        (tags.RANGE_START, dagsters.ASSET_PARTITION_RANGE_START_TAG),
        (tags.RANGE_END, dagsters.ASSET_PARTITION_RANGE_END_TAG),
        (tags.RETRY_STRATEGY, dagsters.RETRY_STRATEGY_TAG),
        (tags.WILL_RETRY, dagsters.WILL_RETRY_TAG),
        (tags.PRIORITY, dagsters.PRIORITY_TAG),
        (tags.DATA_VERSION, data_version.DATA_VERSION_TAG),
        (tags.CODE_VERSION, data_version.CODE_VERSION_TAG),
        (tags.INPUT_VERSION, f"{data_version.INPUT_DATA_VERSION_TAG_PREFIX}/"),
        (tags.INPUT_EVENT, f"{data_version.INPUT_EVENT_POINTER_TAG_PREFIX}/"),
    ],
)
def test_a_copied_tag_is_called_as_dagster_calls_it(ours: str, theirs: str) -> None:
    assert ours == theirs


def test_no_tag_is_copied_that_is_not_held_against_dagster_here() -> None:
    copied = {text for name, text in vars(tags).items() if name.isupper()}
    ours = {tags.OBSERVED, tags.WITHOUT, tags.RELEASE, tags.LEASE, tags.LAKE}
    assert {text for text in copied if text.startswith("dagster/")} == copied - ours
    assert len(copied) == 15


def imported(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_private_modules_of_dagster_are_imported_in_few_places_only() -> None:
    private = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.startswith("dagster._") for name in imported(path))
    }
    assert private == ALLOWED


class Storing(dg.IOManager):
    """Says of every month that it stored what the lake's IO manager says."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        for month in context.asset_partition_keys:
            context.step_context.add_asset_metadata(
                {"month": month}, asset_key=context.asset_key, partition_key=month
            )
        context.step_context.set_data_version(context.asset_key, dg.DataVersion("a version"))

    def load_input(self, context: dg.InputContext) -> None:
        return None


def test_an_io_manager_sets_data_version_and_metadata_of_each_month(
    instance: dg.DagsterInstance,
) -> None:
    @dg.asset(partitions_def=MONTHS, backfill_policy=dg.BackfillPolicy.single_run())
    def stored() -> int:
        return 1

    months = {tags.RANGE_START: "2023-06", tags.RANGE_END: "2023-07"}
    result = dg.materialize(
        [stored], instance=instance, tags=months, resources={"io_manager": Storing()}
    )
    events = result.asset_materializations_for_node("stored")
    assert {event.partition for event in events} == {"2023-06", "2023-07"}
    for event in events:
        assert event.metadata["month"].value == event.partition
        assert (event.tags or {})[tags.DATA_VERSION] == "a version"


def test_the_function_of_an_asset_is_found_below_its_op() -> None:
    def body() -> None: ...

    asset = dg.asset(body)
    assert isinstance(asset.op, dg.OpDefinition)
    assert asset.op.compute_fn.decorated_fn is body  # type: ignore[union-attr]


def chain(code: str = "code=1 seed=1") -> dg.Definitions:
    """An input, what is made of it for every month, and what is made of that."""

    @dg.observable_source_asset
    def file() -> dg.DataVersion:
        return dg.DataVersion("unused: the tests report observations")

    @dg.asset(deps=[file], partitions_def=MONTHS, code_version=code)
    def first() -> None: ...

    @dg.asset(deps=[first], partitions_def=MONTHS, code_version="code=1")
    def second() -> None: ...

    return dg.Definitions(assets=[file, first, second])


def observe(instance: dg.DagsterInstance, version: str) -> None:
    found = dg.AssetObservation("file", tags={tags.DATA_VERSION: version})
    instance.report_runless_asset_event(found)


def materialize(instance: dg.DagsterInstance, definitions: dg.Definitions, month: str) -> None:
    job = definitions.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, partition_key=month).success


@pytest.fixture
def stored(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance in which a chain is stored for a month."""
    observe(instance, "one")
    materialize(instance, chain(), "2023-07")
    return instance


def test_what_was_just_stored_is_up_to_date(stored: dg.DagsterInstance) -> None:
    assert find_stale(chain(), stored) == []


def test_a_changed_code_version_is_found_with_its_part_and_passed_on(
    stored: dg.DagsterInstance,
) -> None:
    assert find_stale(chain("code=1 seed=2"), stored) == [
        Stale("first", "2023-07", ("changed: setting seed",), ()),
        Stale("second", "2023-07", (), ("first",)),
    ]


def test_a_changed_input_is_found_and_passed_on(stored: dg.DagsterInstance) -> None:
    observe(stored, "two")
    assert find_stale(chain(), stored) == [
        Stale("first", "2023-07", ("file has changed",), ()),
        Stale("second", "2023-07", (), ("first",)),
    ]


def test_an_asset_whose_upstream_was_made_anew_is_found_for_the_months_it_has(
    stored: dg.DagsterInstance,
) -> None:
    job = chain("code=2").resolve_implicit_global_asset_job_def()
    alone = job.get_subset(asset_selection={dg.AssetKey("first")})
    assert alone.execute_in_process(instance=stored, partition_key="2023-07").success
    assert find_stale(chain("code=2"), stored) == [
        Stale("second", "2023-07", ("first of 2023-07 has changed",), ()),
    ]

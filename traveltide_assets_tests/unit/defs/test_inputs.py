"""When the inputs outside the lake are observed, and what happens if one cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from traveltide_assets.defs import tags
from traveltide_assets.defs.assets.inputs import PERKS, SUPPRESSION_LIST, Inputs, table_of
from traveltide_assets.resources import open_engine, open_source
from traveltide_assets.schema.sources import RAW
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import Run


@dg.job
def any_job() -> None:
    """What the runs of these tests belong to."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        yield found


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of customers who must not be contacted."""
    file = tmp_path / "suppressed.csv"
    file.write_text("user_id\n1\n", encoding="utf-8")
    return file


def inputs_of(folder: Path, suppression_file: Path) -> Inputs:
    """The inputs of a project whose source is away."""
    settings = Settings(
        source=folder / "away",
        home=folder / "home",
        campaign={"suppression_file": suppression_file},
    )
    return Inputs(settings, open_source(settings, open_engine(settings), Run("test")))


def observations(instance: dg.DagsterInstance, key: dg.AssetKey) -> int:
    return len(instance.fetch_observations(key, limit=100).records)


def test_a_source_that_is_away_does_not_stop_a_run(
    tmp_path: Path, listed: Path, instance: dg.DagsterInstance
) -> None:
    ((error, names),) = inputs_of(tmp_path, listed).observe(instance).items()
    assert "away has no file for users, sessions, flights, hotels" in error
    assert names == [f"inputs/{name}" for name in RAW]
    assert observations(instance, table_of("sessions")) == 0
    assert observations(instance, PERKS) == observations(instance, SUPPRESSION_LIST) == 1


def test_a_file_that_cannot_be_read_does_not_stop_a_run(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    too_long = tmp_path / ("x" * 300)  # Root may read every file, but not one of such a name.
    failed = inputs_of(tmp_path, too_long).observe(instance)
    assert ["inputs/suppression_list"] in failed.values()
    assert observations(instance, PERKS) == 1


def test_a_run_observes_once_and_its_re_execution_again(
    tmp_path: Path, listed: Path, instance: dg.DagsterInstance
) -> None:
    inputs = inputs_of(tmp_path, listed)
    run = instance.create_run_for_job(any_job)
    for _ in range(2):
        inputs.observe_once(instance, run)
        listed.write_text("user_id\n1\n2\n", encoding="utf-8")
    assert observations(instance, SUPPRESSION_LIST) == 1
    inherited = instance.get_run_by_id(run.run_id).tags  # type: ignore[union-attr]
    assert tags.OBSERVED in inherited
    again = instance.create_run_for_job(
        any_job, tags=inherited, parent_run_id=run.run_id, root_run_id=run.run_id
    )
    inputs.observe_once(instance, again)
    assert observations(instance, SUPPRESSION_LIST) == 2

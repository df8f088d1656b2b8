"""Which runs count as lost; test_deployment.py kills real ones and sees them start again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.storage.tags import GRPC_INFO_TAG

from traveltide_assets.defs import lost_runs
from traveltide_assets.defs.lost_runs import fail_lost_runs
from traveltide_assets_tests.support.lost_runs import started, status


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def test_a_run_that_has_not_reported_its_process_is_left_alone(
    instance: dg.DagsterInstance,
) -> None:
    run = started(instance, None)
    assert fail_lost_runs(instance) == []
    assert status(instance, run) == dg.DagsterRunStatus.STARTED


# What follows fails when a new Dagster changes what this rests on.


def test_the_copied_tag_is_still_the_one_of_dagster() -> None:
    assert lost_runs._SERVER_TAG == GRPC_INFO_TAG


def test_dagsters_own_launcher_still_cannot_tell_whether_a_run_lives() -> None:
    # Once it can, `lost_runs` is no longer needed.
    assert not dg.DefaultRunLauncher().supports_check_run_worker_health


def test_an_installed_dagster_yaml_that_names_the_old_launcher_still_loads(tmp_path: Path) -> None:
    old = {"run_launcher": {"module": "traveltide_assets.run_launcher", "class": "RunLauncher"}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(old))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, dg.DefaultRunLauncher)

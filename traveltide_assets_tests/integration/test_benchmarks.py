"""The benchmarks compare what is equal: the chain without Dagster, the pipeline and the peer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import pandas_peer, pure, scale
from traveltide_assets.catalogue.perks import load_perks, of_program
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.settings import Settings
from traveltide_assets.sources.files import Files
from traveltide_assets.transforms.config import Config as Cohort
from traveltide_assets_tests.conftest import BOUNDS, FIRST, LAST
from traveltide_assets_tests.support.project import DECIDING, Project

EVERYBODY = Cohort(min_sessions=1, active_since=None)


def known(source: Path, folder: Path, rule: Cohort, settings: Settings) -> pd.DataFrame:
    """The features that the chain without Dagster gives."""
    files = Files(Folder(source), DuckDB(folder / "scratch"), folder / "staging")
    with pure.in_memory() as keep:
        return pure.gold(files, rule, LAST, settings.partitions.months(), keep).known()


def test_the_chain_without_dagster_ends_where_the_lake_does(tmp_path: Path) -> None:
    write_sample(tmp_path / "source", SampleSpec(users=400, seed=2, active_share=0.5, dirt=0.02))
    project = Project(tmp_path, tmp_path / "source", partitions=BOUNDS, strategy="kmeans")
    assert project.ingest(FIRST, LAST).success
    assert project.materialize_all(
        [f"gold/{name}" for name in (*DECIDING, "decided_segments", "perk_assignments")], LAST
    ).success
    settings = project.settings
    features = known(project.source, tmp_path / "alone", settings.cohort, settings)
    stored = project.frame("gold/user_features", LAST)
    pd.testing.assert_frame_equal(features, stored, check_dtype=False, check_exact=True)
    given = pure.assignments(features, settings, load_perks(settings.perks_file))
    decided = project.frame("gold/perk_assignments", LAST)
    columns = ["user_id", "segment", "perk", "runner_up", "deciding_features"]
    pd.testing.assert_frame_equal(given[columns], decided[columns])


@pytest.mark.parametrize("rule", [Cohort(), EVERYBODY], ids=["active", "everybody"])
def test_the_pandas_peer_knows_the_same_and_gives_the_same_perks(
    sample_source: Path, tmp_path: Path, rule: Cohort
) -> None:
    settings = Settings.model_construct(cohort=rule)
    ours = known(sample_source, tmp_path, rule, settings)
    peers = pandas_peer.customers(sample_source, rule, LAST)
    assert len(ours) > 100
    assert scale.differences(ours, peers) == []
    catalogue = load_perks(settings.perks_file)
    given = pure.assignments(ours, settings, catalogue)
    theirs = pandas_peer.assignments(
        peers, settings.kmeans, settings.seed, of_program(catalogue, "classic")
    )
    both = given.merge(theirs, on="user_id", validate="one_to_one")
    assert (both["perk_x"] == both["perk_y"]).mean() > 0.99


def test_a_feature_that_differs_is_named() -> None:
    ours = pd.DataFrame({"user_id": [1, 2], "age": [30, 40], "mean_seats": [1.0, None]})
    assert scale.differences(ours, ours) == []
    assert scale.differences(ours, ours.assign(mean_seats=[1.0, 2.0])) == ["mean_seats"]
    assert scale.differences(ours, ours.assign(age=[30, 41])) == ["age"]
